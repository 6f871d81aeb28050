"""Pages about reference runs: what the store holds, one record, a comparison.

A verdict is decided once, by `nbpipe reference compare` and the project's rules, and kept with the
run. These pages show it and decide nothing: no request reads gigabytes, and the tolerances of this
service's configuration do not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, request, url_for

from nbpipe.comparison_reports.wording import moment, size, tone
from nbpipe.errors import UsageError
from nbpipe.reference.comparison import kept
from nbpipe.reference.comparison.model import Verdict
from nbpipe.reference.store import Store, StoredRelease, StoredRun
from webhook.pages import products
from webhook.pages.answers import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nbpipe.reference.comparison import Comparison, Rules
    from nbpipe.reference.manifest import Job, Manifest, Notebook, Output

SHOWN = 200
"""Runs in the list, the newest."""

_STAMP = re.compile(r"\d{8}T\d{6}")

NEWEST = 5
"""Releases that a run in the list is shown against."""

HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
"""The comparison is one file with its style in it; nothing else of it is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictCell:
    """What is known of a run against a release."""

    release: str
    verdict: str
    """`not compared yet` where nothing is."""
    tone: str = ""
    """`good`, `warn` or `bad`; empty: neither."""
    revision: int | None = None
    when: str = ""
    """ISO 8601, UTC; empty where it was not compared yet."""
    outdated: str = ""
    """What has changed since."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRow:
    """A release's reference."""

    name: str
    release: str
    revision: int
    run: str = ""
    reason: str = ""
    problem: str = ""
    created: str = ""
    """When its run was recorded; ISO 8601, UTC."""
    commit: str = ""
    products: int = 0
    collected: bool = False
    """Whether its run is still in the store."""
    verdicts: tuple[VerdictCell, ...] = ()
    """On its run, against the releases before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """A reference run."""

    name: str
    run: str
    release: str
    """Which release it was submitted for."""
    state: str
    profile: str
    collected: bool
    created: str
    """When it was submitted; ISO 8601, UTC."""
    against: tuple[str, ...]
    """Releases that it can be compared with, the newest first."""
    verdicts: tuple[VerdictCell, ...]
    """Against these, as far as the list shows them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencesPage:
    """The store."""

    releases: tuple[ReleaseRow, ...]
    runs: tuple[RunRow, ...]
    """The newest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputRow:
    """A data product."""

    path: str
    kind: str
    bytes: int
    sha256: str | None
    error: str | None
    there: bool
    """Whether its file can be taken from here."""
    picture: bool
    """Whether the page can show it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordPage:
    """The manifest of one run or release, without the schemas."""

    name: str
    run: str
    release: str | None
    revision: int | None
    """Of a release; None of a run."""
    reason: str
    created: str
    commit: str | None
    host: str
    system: str
    notebook: Notebook
    jobs: tuple[Job, ...]
    outputs: tuple[OutputRow, ...]
    """The first ones; `products` has their number."""
    products: int
    packages: dict[str, str]
    parameters: dict[str, str]
    against: tuple[str, ...]
    verdicts: tuple[VerdictCell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonPage:
    """The frame of a comparison."""

    name: str
    run: str
    release: str
    verdict: str
    tone: str
    summary: str
    command: str
    """What compares them, again or for the first time."""
    revision: int | None = None
    when: str = ""
    outdated: str = ""
    remark: str = ""
    """What else a reader should know."""
    comparison: Comparison | None = None
    """As `nbpipe reference compare --report json` writes it; None where none was made."""


class References:
    """The pages of one store.

    Args:
        root: The store's folder; it need not be there.
        rules: This service's own rules for a name, None where there are none: never used to
            judge, only to say that they are others.
    """

    def __init__(self, root: Path, rules: Callable[[str], Rules | None]) -> None:
        self._store = Store(root)
        self._rules = rules

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("references", __name__, template_folder="templates")
        pages = {
            "index": "",
            "run": "/<name>/runs/<run>",
            "release": "/<name>/releases/<release>",
            "comparison": "/<name>/runs/<run>/against/<release>",
            "frame": "/<name>/runs/<run>/against/<release>/frame",
            "product": "/<name>/runs/<run>/products/<path:path>",
            "kept": "/<name>/releases/<release>/products/<path:path>",
        }
        for page, address in pages.items():
            routes.add_url_rule(f"/references{address}", page, getattr(self, f"_{page}"))
        routes.add_app_template_filter(size, "bytes")
        routes.add_app_template_filter(moment, "recorded")
        return routes

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return how many runs and releases each reference has."""
        names: dict[str, tuple[int, int]] = {}
        for run in self._store.runs():
            runs, releases = names.get(run.name, (0, 0))
            names[run.name] = (runs + 1, releases)
        for release in self._store.releases():
            runs, releases = names.get(release.name, (0, 0))
            names[release.name] = (runs, releases + 1)
        return names

    def _index(self) -> Response:
        releases = self._store.releases()
        by_name: dict[str, list[StoredRelease]] = {}
        for each in reversed(releases):
            by_name.setdefault(each.name, []).append(each)
        every = self._store.runs()
        known = {(each.name, each.id): each for each in every}
        runs = list(reversed(every))[:SHOWN]
        content = ReferencesPage(
            releases=tuple(
                _release_row(each, known, by_name[each.name]) for each in reversed(releases)
            ),
            runs=tuple(_run_row(each, by_name.get(each.name, ())) for each in runs),
        )
        return answer("references.html", content)

    def _run(self, name: str, run: str) -> Response:
        found = self._find_run(name, run)
        made = _manifest(found)
        releases = [each for each in reversed(self._store.releases(name)) if each.name == name]
        cells = tuple(_verdict_cell(found, each) for each in releases)
        return answer("record.html", _record(found, made, None, cells))

    def _release(self, name: str, release: str) -> Response:
        found = self._find_release(name, release)
        made = _manifest(found)
        runs = [each for each in self._store.runs() if (each.name, each.id) == (name, made.run)]
        others = [
            each
            for each in reversed(self._store.releases(name))
            if each.name == name and each.release != release
        ]
        cells = _verdict_cells(runs[0], others) if runs else ()
        return answer("record.html", _record(found, made, found.revision, cells))

    def _product(self, name: str, run: str, path: str) -> Response:
        found = self._find_run(name, run)
        return products.given(found, _manifest(found), path, shown="shown" in request.args)

    def _kept(self, name: str, release: str, path: str) -> Response:
        found = self._find_release(name, release)
        return products.given(found, _manifest(found), path, shown="shown" in request.args)

    def _comparison(self, name: str, run: str, release: str) -> Response:
        made, cell = self._recalled(name, run, release)
        content = ComparisonPage(
            name=name,
            run=run,
            release=release,
            verdict=cell.verdict,
            tone=cell.tone,
            summary=made.summary if made else "",
            command=f"nbpipe reference compare {run} --against {release}",
            revision=cell.revision,
            when=cell.when,
            outdated=cell.outdated,
            remark=self._remark(name, made),
            comparison=made,
        )
        frame = url_for("references.frame", name=name, run=run, release=release)
        return answer("comparison.html", content, frame=frame)

    def _frame(self, name: str, run: str, release: str) -> Response:
        from nbpipe.comparison_reports.html import html  # noqa: PLC0415  (slow)

        made, cell = self._recalled(name, run, release)
        if made is None:
            abort(404, cell.verdict)
        return Response(html(made), headers=HEADERS)

    def _recalled(self, name: str, run: str, release: str) -> tuple[Comparison | None, VerdictCell]:
        """Return the comparison that is kept, and what a list says of it."""
        stored, reference = self._find_run(name, run), self._find_release(name, release)
        made = kept.recalled(stored, reference)
        cell = _verdict_cell(stored, reference)
        if made is None or not cell.when:
            return None, VerdictCell(release=release, verdict=kept.NOT_YET)
        # Links into the store's folders lead nowhere from here.
        old, new = replace(made.reference, folder=None), replace(made.new, folder=None)
        return replace(made, reference=old, new=new), cell

    def _remark(self, name: str, made: Comparison | None) -> str:
        if made is None or not kept.other_rules(made, self._rules(name)):
            return ""
        return (
            f"[reference.{name}] of this service's configuration has other rules; "
            "the verdict is by those that the page names"
        )

    def _find_run(self, name: str, run: str) -> StoredRun:
        found = [each for each in self._store.runs() if (each.name, each.id) == (name, run)]
        if not found:
            abort(404, "no such run in the store")
        return found[0]

    def _find_release(self, name: str, release: str) -> StoredRelease:
        found = [
            each for each in self._store.releases() if (each.name, each.release) == (name, release)
        ]
        if not found:
            abort(404, "no such release in the store")
        return found[0]


def _record(
    stored: StoredRun | StoredRelease,
    made: Manifest,
    revision: int | None,
    verdicts: tuple[VerdictCell, ...],
) -> RecordPage:
    return RecordPage(
        name=stored.name,
        run=made.run,
        release=made.release,
        revision=revision,
        reason=made.reason,
        created=made.created,
        commit=made.commit,
        host=made.host,
        system=made.system,
        notebook=made.notebook,
        jobs=made.jobs,
        outputs=tuple(_output_row(stored, each) for each in made.outputs[: products.SHOWN]),
        products=len(made.outputs),
        packages=made.packages,
        parameters={key: str(value) for key, value in made.parameters.items()},
        against=tuple(each.release for each in verdicts),
        verdicts=verdicts,
    )


def _output_row(stored: StoredRun | StoredRelease, output: Output) -> OutputRow:
    file = products.there(stored, output.path)
    return OutputRow(
        path=output.path,
        kind=output.kind,
        bytes=output.bytes,
        sha256=output.sha256,
        error=output.error,
        there=file is not None,
        picture=file is not None and products.is_picture(file, output.kind),
    )


def _manifest(stored: StoredRun | StoredRelease) -> Manifest:
    try:
        return stored.manifest()
    except UsageError:
        abort(404, "it has no readable manifest (yet)")


def _verdict_cell(run: StoredRun, release: StoredRelease) -> VerdictCell:
    found = kept.verdict(run, release, datetime.now(UTC).date())
    if found is None:
        return VerdictCell(release=release.release, verdict=kept.NOT_YET)
    return VerdictCell(
        release=release.release,
        verdict=found.verdict,
        tone="warn" if found.outdated else tone(Verdict(found.verdict)),
        revision=found.revision,
        when=found.when,
        outdated=found.outdated,
    )


def _verdict_cells(run: StoredRun, releases: Sequence[StoredRelease]) -> tuple[VerdictCell, ...]:
    """Return the verdicts on a run that there are."""
    cells = (_verdict_cell(run, each) for each in releases)
    return tuple(each for each in cells if each.when)


def _release_row(
    stored: StoredRelease,
    runs: Mapping[tuple[str, str], StoredRun],
    releases: Sequence[StoredRelease],
) -> ReleaseRow:
    given: dict[str, Any] = {
        "name": stored.name,
        "release": stored.release,
        "revision": stored.revision,
    }
    try:
        made = stored.manifest()
    except UsageError as error:
        return ReleaseRow(**given, problem=str(error).splitlines()[0])
    run = runs.get((stored.name, made.run))
    others = [each for each in releases if each.release != stored.release]
    return ReleaseRow(
        **given,
        run=made.run,
        reason=made.reason,
        created=made.created,
        commit=made.commit or "",
        products=len(made.outputs),
        collected=run is not None and (run.folder / "manifest.json").is_file(),
        verdicts=_verdict_cells(run, others)[:NEWEST] if run else (),
    )


def _run_row(stored: StoredRun, releases: Sequence[StoredRelease]) -> RunRow:
    try:
        request = stored.request
        job = stored.read("submission.json").get("job") or ""
        state = stored.read("standing.json").get(job, {}).get("state", "unknown")
    except UsageError:
        request, state = {}, "damaged"
    collected = (stored.folder / "manifest.json").is_file()
    releases = releases if collected else ()
    # A run's id begins with when it was submitted; the manifest of each is not read for a list.
    moment = stored.id[:15]
    return RunRow(
        name=stored.name,
        run=stored.id,
        release=str(request.get("release", "")),
        state=str(state),
        profile=str(request.get("profile", {}).get("label", "")),
        collected=collected,
        created=(
            f"{moment[:4]}-{moment[4:6]}-{moment[6:11]}:{moment[11:13]}:{moment[13:]}Z"
            if _STAMP.fullmatch(moment)
            else ""
        ),
        against=tuple(each.release for each in releases),
        verdicts=tuple(_verdict_cell(stored, each) for each in releases[:NEWEST]),
    )
