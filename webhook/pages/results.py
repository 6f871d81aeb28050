"""Pages about test results: collections, runs, one run, one notebook, one result.

Everything comes from the history (`nbpipe.history.Archive`) by questions that are each answered
from an index; what a notebook wrote is plain text here, and escaped by the templates.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, request, send_file, url_for
from markupsafe import Markup

from nbpipe.history import (
    Archive,
    NoHistory,
    PastFailure,
    PastResult,
    RunLine,
    statistics,
)
from nbpipe.reports.html.images import Place
from nbpipe.system.text import first_line, plain, plain_name
from nbpipe.system.units import count, duration, memory
from webhook.pages import pictures
from webhook.pages.answers import answer
from webhook.pages.contents import (
    BadgePage,
    Cause,
    CollectionPage,
    CollectionRow,
    CollectionsPage,
    NotebookPage,
    NotebookRow,
    ResultPage,
    RunPage,
    RunsPage,
)
from webhook.pages.feed import Feed
from webhook.pages.forge_links import commit_url, file_url
from webhook.pages.names import Named, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from nbpipe.history import PastLine
    from nbpipe.history.page_queries import Look, RunMark
    from nbpipe.publishing.releases.mirror import Pin
    from webhook.pages.copies import Copies
    from webhook.served import Served

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
STRIP = 50
"""Results that a strip has room for, and that flakiness is counted over."""
TREND = 200
CHART = 100
"""Runs in the charts of a collection."""
RUNS = 50
NOTEBOOKS = 50
RESULTS = 500
FAILURES = 50
NEWS = 50
FEW = 10
_OUTCOMES = frozenset({"failed", "flaky", "passed", "skipped", "missing"})
_SORTS = frozenset(
    {sign + word for word in ("path", "seconds", "memory", "ran") for sign in ("", "-")}
)


class Results:
    """The pages of one history.

    Args:
        archive: The history.
        origins: Address of an origin -> name of the collection that is published from it.
        copies: Shows executed copies.
        served: The published collections, by name.
        public: Badges are for everybody.
    """

    def __init__(
        self,
        archive: Archive,
        origins: Mapping[str, str],
        copies: Copies,
        served: Mapping[str, Served],
        *,
        public: bool,
    ) -> None:
        self._archive = archive
        self._origins = origins
        self._copies = copies
        self._served = served
        self._public = public

    def blueprint(self) -> Blueprint:
        """Return the routes and what the templates may use."""
        routes = Blueprint("results", __name__, template_folder="templates")
        pages = {
            "collections": "",
            "collection": "/<name>",
            "runs": "/<name>/runs",
            "run": "/<name>/runs/<run>",
            "result": "/<name>/runs/<run>/notebook",
            "log": "/<name>/runs/<run>/log",
            "copy": "/<name>/runs/<run>/copy",
            "file": "/<name>/runs/<run>/copy.ipynb",
            "notebook": "/<name>/notebook",
            "badge": "/<name>/badge.svg",
            "snippets": "/<name>/badge",
            "feed": "/<name>/feed.atom",
        }
        for page, address in pages.items():
            routes.add_url_rule(f"/collections{address}", page, getattr(self, f"_{page}"))
        for name, made in _FILTERS.items():
            routes.add_app_template_filter(made, name)
        return routes

    @contextmanager
    def _look(self) -> Iterator[tuple[Look | None, dict[str, Named]]]:
        """Give what answers questions, and the collections; nothing before the first run."""
        try:
            with self._archive.look() as look:
                yield look, named(look.collections(), self._origins)
        except NoHistory:
            yield None, {}

    @contextmanager
    def _of(self, name: str) -> Iterator[tuple[Look, Named]]:
        with self._look() as (look, known):
            if look is None or name not in known:
                abort(404, "no such collection in the history")
            yield look, known[name]

    def _collections(self) -> Response:
        rows: list[CollectionRow] = []
        with self._look() as (look, known):
            if look is not None:
                rows = [self._collection_row(look, each) for each in known.values()]
        return answer("collections.html", CollectionsPage(collections=tuple(rows)))

    def _collection_row(self, look: Look, known: Named) -> CollectionRow:
        last = look.runs(known.id, 1)
        pin = self._pin(known.name)
        return CollectionRow(
            name=known.name,
            title=known.title,
            standing=look.standing(known.id),
            last=last[0] if last else None,
            pinned=pin.commit if pin else "",
        )

    def _collection(self, name: str) -> Response:
        part, only, sort, page = _part(), _word("only", _OUTCOMES), _word("sort", _SORTS), _page()
        with self._of(name) as (look, known):
            found = look.notebooks(
                known.id, NOTEBOOKS + 1, page * NOTEBOOKS, part, outcome=only, order=sort
            )
            shown_here = found[:NOTEBOOKS]
            pasts = look.pasts(known.id, [each.path for each in shown_here], STRIP)
            runs = look.runs(known.id, CHART)
            pin = self._pin(name)
            content = CollectionPage(
                name=name,
                title=known.title,
                standing=look.standing(known.id),
                runs=tuple(runs[:FEW]),
                news=tuple(look.changes(known.id, FEW)),
                part=part,
                only=only,
                sort=sort,
                page=page,
                more=len(found) > NOTEBOOKS,
                pinned=pin.commit if pin else "",
                notebooks=tuple(
                    NotebookRow(notebook=each, statistics=statistics(pasts[each.path]))
                    for each in shown_here
                ),
            )
        marked = partial(pictures.marks, places=STRIP, href=partial(_result_url, name))
        strips = {path: marked(past) for path, past in pasts.items()}
        run_url = partial(_run_url, name)
        drawn = {"rates": pictures.rates(runs, run_url), "lengths": pictures.lengths(runs, run_url)}
        return answer("collection.html", content, places=STRIP, strips=strips, **drawn)

    def _runs(self, name: str) -> Response:
        only = _word("only", {"failed"})
        with self._of(name) as (look, known):
            line = look.run(known.id, request.args.get("before", ""))
            before = line.run if line else None
            found = look.runs(known.id, RUNS + 1, before=before, failing=bool(only))
        rest = found[RUNS - 1].run.id if len(found) > RUNS else None
        content = RunsPage(name=name, only=only, runs=tuple(found[:RUNS]), older=rest)
        return answer("runs.html", content)

    def _run(self, name: str, run: str) -> Response:
        part, only, sort, page = _part(), _word("only", _OUTCOMES), _word("sort", _SORTS), _page()
        with self._of(name) as (look, known):
            line = _run(look, known, run)
            run = line.run.id
            found = look.results(run, RESULTS + 1, page * RESULTS, part, outcome=only, order=sort)
            before = look.runs(known.id, 1, before=line.run)
            after = look.after(known.id, line.run)
            content = RunPage(
                name=name,
                run=line,
                news=tuple(look.changes(known.id, RESULTS, run=run)),
                causes=_causes(look.failures(run, FAILURES)),
                part=part,
                only=only,
                sort=sort,
                before=before[0].run.id if before else None,
                after=after.run.id if after else None,
                commit_link=commit_url(known.place, line.run.commit),
                page=page,
                more=len(found) > RESULTS,
                results=tuple(found[:RESULTS]),
            )
        return answer("run.html", content)

    def _notebook(self, name: str) -> Response:
        path = request.args.get("path", "")
        with self._of(name) as (look, known):
            results = look.notebook(known.id, path, TREND)
            last = look.known(known.id, path)
        if not results and last is None:
            abort(404, "no result of that notebook is known")
        numbers = statistics(results[:STRIP])
        content = NotebookPage(
            name=name, path=path, known=last, statistics=numbers, results=tuple(results)
        )
        href = partial(_result_url, name)
        picture = pictures.trend(results, numbers.median_seconds, href)
        strip = pictures.marks(results, STRIP, href)
        return answer("notebook.html", content, places=STRIP, trend=picture, strip=strip)

    def _result(self, name: str, run: str) -> Response:
        known, line, whole = self._past(name, run)
        result = _attempt(whole)
        content = ResultPage(
            name=name,
            run=line,
            result=result,
            attempt=result.attempts if result is not whole else None,
            copy=self._copies.find(line.run, result) is not None,
            log=self._log_file(line, result) is not None,
            source_link=file_url(known.place, line.run.commit, known.folder + result.path),
        )
        return answer("result.html", content)

    def _log(self, name: str, run: str) -> Response:
        """Answer with the log of a result, as plain text: kernels and notebooks wrote into it."""
        _, line, result = self._past(name, run)
        file = self._log_file(line, _attempt(result))
        if file is None:
            abort(404, "no log that may be shown")
        response = send_file(file, "text/plain; charset=utf-8", conditional=False, etag=False)
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    def _log_file(self, line: RunLine, result: PastResult) -> Path | None:
        """Return the log beside the executed copy, which alone decides what may be read."""
        copy = self._copies.find(line.run, result)
        log = copy.with_suffix(".log") if copy else None
        return log if log is not None and log.is_file() and not log.is_symlink() else None

    def _copy(self, name: str, run: str) -> Response:
        known, line, result = self._past(name, run)
        place = self._place(known, line.run.commit, result.path)
        return self._copies.show(line.run, _attempt(result), name, place)

    def _place(self, known: Named, commit: str | None, path: str) -> Place | None:
        """Return where the notebook's source lies as it was in the run: in a release of ours.

        Pictures beside it are shown from there; a release never changes.
        """
        served = self._served.get(known.name)
        if served is None or not commit or not _COMMIT.fullmatch(commit):
            return None
        place = Place(served.worker.mirror.release(commit), known.folder + path)
        return place if (place.root / place.path).is_file() else None

    def _file(self, name: str, run: str) -> Response:
        _, line, result = self._past(name, run)
        return self._copies.give(line.run, _attempt(result), text="text" in request.args)

    def _past(self, name: str, run: str) -> tuple[Named, RunLine, PastResult]:
        """Return the collection, the run and the result that the address names."""
        with self._of(name) as (look, known):
            line = _run(look, known, run)
            result = look.result(known.id, line.run.id, request.args.get("path", ""))
        if result is None:
            abort(404, "that notebook was not in the plan of the run")
        return known, line, result

    def _badge(self, name: str) -> Response:
        path = request.args.get("notebook")
        with self._of(name) as (look, known):
            if path is None:
                text = _told(name, look.standing(known.id), pinned=self._pin(name) is not None)
            else:
                last = look.known(known.id, path)
                outcome = {"passed": "passing", "failed": "failing"}
                state = outcome.get(last.outcome, last.outcome) if last else "unknown"
                text = (path.rpartition("/")[2], state, state)
        return Response(pictures.badge(*text), mimetype="image/svg+xml")

    def _feed(self, name: str) -> Response:
        with self._of(name) as (look, known):
            news = look.changes(known.id, NEWS)
            last = look.runs(known.id, 1)
        updated = last[0].run.started if last else None
        return Feed(known, news, updated, self._pin(name)).response()

    def _pin(self, name: str) -> Pin | None:
        """Return what holds back the published collection of that name."""
        return self._served[name].pinned() if name in self._served else None

    def _snippets(self, name: str) -> Response:
        notebook = request.args.get("notebook", "")
        with self._of(name):
            pass
        given = {"notebook": notebook} if notebook else {}
        picture = url_for("results.badge", name=name, _external=True, **given)
        target = url_for("results.collection", name=name, _external=True)
        if notebook:
            target = url_for("results.notebook", name=name, path=notebook, _external=True)
        content = BadgePage(
            name=name,
            notebook=notebook,
            public=self._public,
            picture=picture,
            target=target,
            snippets=_badge_snippets(notebook.rpartition("/")[2] or name, picture, target),
        )
        return answer("badge.html", content)


def _badge_snippets(label: str, picture: str, target: str) -> dict[str, str]:
    """Return what shows a badge that leads somewhere, in each language of a README."""
    text = plain_name(label)
    marked = "".join(f"\\{each}" if each in r"\`*_[]<>" else each for each in text)
    image = f'<img src="{escape(picture)}" alt="{escape(text)}">'
    return {
        "Markdown": f"[![{marked}]({picture})]({target})",
        "HTML": f'<a href="{escape(target)}">{image}</a>',
        "reStructuredText": f".. image:: {picture}\n   :target: {target}\n   :alt: {text}",
    }


def _result_url(name: str, each: RunMark | PastLine) -> str:
    return url_for("results.result", name=name, run=each.run, path=each.path)


def _run_url(name: str, line: RunLine) -> str:
    return url_for("results.run", name=name, run=line.run.id)


def _told(name: str, standing: Mapping[str, int], *, pinned: bool) -> tuple[str, str, str]:
    """Return the label, message and state of a collection's badge."""
    total, failed, flaky = (
        sum(standing.values()),
        standing.get("failed", 0),
        standing.get("flaky", 0),
    )
    if not total:
        return name, "unknown", "unknown"
    if failed:
        return name, f"{failed} of {total} failing", "failing"
    if pinned:
        return name, f"{total} passing, pinned", "pinned"
    if flaky:
        return name, f"{total} passing, {flaky} flaky", "flaky"
    return name, f"{total} passing", "passing"


def _run(look: Look, known: Named, name: str) -> RunLine:
    if name == "latest":
        newest = look.runs(known.id, 1)
        found = newest[0] if newest else None
    else:
        found = look.run(known.id, name)
    if found is None:
        abort(404, "no such run of this collection")
    return found


def _causes(failed: list[PastResult]) -> tuple[Cause, ...]:
    """Return failures by what they are, the most frequent first."""
    groups: dict[tuple[str, str], list[PastResult]] = {}
    for each in failed:
        first = each.failures[0] if each.failures else None
        key = (first.signature, first.category) if first else (each.reason or "", "")
        groups.setdefault(key, []).append(each)
    ordered = sorted(groups.items(), key=lambda pair: -len(pair[1]))
    return tuple(
        Cause(signature=signature, category=category, results=tuple(results))
        for (signature, category), results in ordered
    )


def _part() -> str:
    """Return the part of a path that is looked for."""
    return request.args.get("q", "")[:200]


def _word(key: str, known: AbstractSet[str]) -> str:
    """Return what is asked for, if there is such a thing; empty otherwise."""
    word = request.args.get(key, "")
    return word if word in known else ""


def _page() -> int:
    """Return which page is asked for, from 0."""
    text = request.args.get("page", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0  # noqa: PLR2004  (digits)


def _traceback(result: PastResult) -> str:
    """Return the end of what a failure said."""
    first = result.failures[0] if result.failures else None
    text = (first.traceback.strip() or first.message) if first else ""
    return plain(text).strip("\n")


def _breakable(path: str) -> Markup:
    """Return a path as markup that breaks between its words, and only at need within one."""
    parts = re.split(r"(?<=[/_\- ])(?=[^/_\- ])|(?=\.ipynb$)", plain_name(path))
    return Markup("<wbr>").join(parts)


_FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "duration": duration,
    "first_line": first_line,
    "name": plain_name,
    "path": _breakable,
    "plain": plain,
    "size": memory,
    "traceback": _traceback,
}


def _attempt(result: PastResult) -> PastResult:
    """Return the result as the attempt that the address asks for left it; by default the last."""
    number = request.args.get("attempt", type=int)
    asked = next((each for each in result.tries if each.number == number), None)
    if number is None or asked is None:
        return result
    failures = tuple(
        PastFailure(
            **{name: getattr(each, name) for name in PastFailure.__dataclass_fields__}
            | {"category": each.category.value}
        )
        for each in asked.failures
    )
    return replace(
        result,
        outcome=asked.outcome.value,
        seconds=asked.seconds,
        memory=asked.memory,
        attempts=asked.number,
        failures=failures,
    )
