"""Pages about test results: collections, runs, one run, one notebook, one result.

Everything comes from the history (`nbpipe.history.Archive`) by questions that are each answered
from an index; what a notebook wrote is plain text here, and escaped by the templates.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, request

from nbpipe.history import (
    Archive,
    Known,
    NoHistory,
    PastLine,
    PastResult,
    RunLine,
    Statistics,
    statistics,
)
from nbpipe.system.text import first_line, plain, plain_name
from nbpipe.system.units import count, duration, memory
from webhook.pages import pictures
from webhook.pages.answers import answer
from webhook.pages.feed import Feed
from webhook.pages.names import Named, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.history.page_queries import Look
    from webhook.pages.copies import Copies

STRIP = 50
"""Results that a strip has room for, and that flakiness is counted over."""
TREND = 200
RUNS = 50
NOTEBOOKS = 50
RESULTS = 500
FAILURES = 50
NEWS = 50
FEW = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionRow:
    """One collection in the list."""

    name: str
    title: str
    standing: dict[str, int]
    """Outcome -> how many notebooks had it the last time."""
    last: RunLine | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionsPage:
    """All the collections of the history."""

    collections: tuple[CollectionRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotebookRow:
    """One notebook in its collection's table."""

    notebook: Known
    statistics: Statistics


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionPage:
    """One collection: how its notebooks are."""

    name: str
    title: str
    standing: dict[str, int]
    runs: tuple[RunLine, ...]
    """The newest few."""
    news: tuple[PastLine, ...]
    """The newest few new failures and recoveries."""
    part: str
    """Only notebooks with this in their path."""
    page: int
    more: bool
    notebooks: tuple[NotebookRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsPage:
    """The runs of a collection, the newest first."""

    name: str
    runs: tuple[RunLine, ...]
    older: str | None
    """The run before which the next page begins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Failures of a run that are alike."""

    signature: str
    category: str
    results: tuple[PastResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """One run."""

    name: str
    run: RunLine
    news: tuple[PastLine, ...]
    causes: tuple[Cause, ...]
    page: int
    more: bool
    results: tuple[PastLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotebookPage:
    """One notebook over time."""

    name: str
    path: str
    known: Known | None
    statistics: Statistics
    """Of the last 50 results."""
    results: tuple[PastLine, ...]
    """The newest first; as many as the trend shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultPage:
    """One notebook in one run."""

    name: str
    run: RunLine
    result: PastResult
    copy: bool
    """Whether its executed copy can be shown."""


class Results:
    """The pages of one history.

    Args:
        archive: The history.
        origins: Address of an origin -> name of the collection that is published from it.
        copies: Shows executed copies.
    """

    def __init__(self, archive: Archive, origins: Mapping[str, str], copies: Copies) -> None:
        self._archive = archive
        self._origins = origins
        self._copies = copies

    def blueprint(self) -> Blueprint:
        """Return the routes and what the templates may use."""
        routes = Blueprint("results", __name__, template_folder="templates")
        pages = {
            "collections": "",
            "collection": "/<name>",
            "runs": "/<name>/runs",
            "run": "/<name>/runs/<run>",
            "result": "/<name>/runs/<run>/notebook",
            "copy": "/<name>/runs/<run>/copy",
            "file": "/<name>/runs/<run>/copy.ipynb",
            "notebook": "/<name>/notebook",
            "badge": "/<name>/badge.svg",
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
                rows = [_collection_row(look, each) for each in known.values()]
        return answer("collections.html", CollectionsPage(collections=tuple(rows)))

    def _collection(self, name: str) -> Response:
        part, page = request.args.get("q", "")[:200], _page()
        with self._of(name) as (look, known):
            found = look.notebooks(known.id, NOTEBOOKS + 1, page * NOTEBOOKS, part)
            shown_here = found[:NOTEBOOKS]
            pasts = look.pasts(known.id, [each.path for each in shown_here], STRIP)
            content = CollectionPage(
                name=name,
                title=known.title,
                standing=look.standing(known.id),
                runs=tuple(look.runs(known.id, FEW)),
                news=tuple(look.changes(known.id, FEW)),
                part=part,
                page=page,
                more=len(found) > NOTEBOOKS,
                notebooks=tuple(
                    NotebookRow(notebook=each, statistics=statistics(pasts[each.path]))
                    for each in shown_here
                ),
            )
        return answer("collection.html", content, places=STRIP)

    def _runs(self, name: str) -> Response:
        with self._of(name) as (look, known):
            line = look.run(known.id, request.args.get("before", ""))
            found = look.runs(known.id, RUNS + 1, before=line.run if line else None)
        rest = found[RUNS - 1].run.id if len(found) > RUNS else None
        return answer("runs.html", RunsPage(name=name, runs=tuple(found[:RUNS]), older=rest))

    def _run(self, name: str, run: str) -> Response:
        page = _page()
        with self._of(name) as (look, known):
            line = _run(look, known, run)
            run = line.run.id
            found = look.results(run, RESULTS + 1, page * RESULTS)
            content = RunPage(
                name=name,
                run=line,
                news=tuple(look.changes(known.id, RESULTS, run=run)),
                causes=_causes(look.failures(run, FAILURES)),
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
        picture = pictures.trend(results, numbers.median_seconds)
        return answer("notebook.html", content, places=STRIP, trend=picture)

    def _result(self, name: str, run: str) -> Response:
        line, result = self._past(name, run)
        copy = self._copies.find(line.run, result) is not None
        content = ResultPage(name=name, run=line, result=result, copy=copy)
        return answer("result.html", content)

    def _copy(self, name: str, run: str) -> Response:
        line, result = self._past(name, run)
        return self._copies.show(line.run, result, name)

    def _file(self, name: str, run: str) -> Response:
        line, result = self._past(name, run)
        return self._copies.give(line.run, result, text="text" in request.args)

    def _past(self, name: str, run: str) -> tuple[RunLine, PastResult]:
        """Return the run and the result that the address names."""
        with self._of(name) as (look, known):
            line = _run(look, known, run)
            result = look.result(known.id, line.run.id, request.args.get("path", ""))
        if result is None:
            abort(404, "that notebook was not in the plan of the run")
        return line, result

    def _badge(self, name: str) -> Response:
        path = request.args.get("notebook")
        with self._of(name) as (look, known):
            if path is None:
                text = _told(name, look.standing(known.id))
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
        return Feed(known, news, last[0].run.started if last else None).response()


def _collection_row(look: Look, known: Named) -> CollectionRow:
    last = look.runs(known.id, 1)
    return CollectionRow(
        name=known.name,
        title=known.title,
        standing=look.standing(known.id),
        last=last[0] if last else None,
    )


def _told(name: str, standing: Mapping[str, int]) -> tuple[str, str, str]:
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


def _page() -> int:
    """Return which page is asked for, from 0."""
    text = request.args.get("page", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0  # noqa: PLR2004  (digits)


def _traceback(result: PastResult) -> str:
    """Return the end of what a failure said."""
    first = result.failures[0] if result.failures else None
    text = (first.traceback.strip() or first.message) if first else ""
    return plain(text).strip("\n")


_FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "duration": duration,
    "first_line": first_line,
    "name": plain_name,
    "plain": plain,
    "size": memory,
    "strip": pictures.strip,
    "traceback": _traceback,
}
