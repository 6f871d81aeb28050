"""Pages about reference runs: what the store holds, one record, a comparison.

A comparison here goes by the manifests alone (schemas, statistics, performance), so that no
request reads gigabytes; `nbpipe reference compare` compares value by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, url_for

from nbpipe.config import load
from nbpipe.errors import NbpipeError, UsageError
from nbpipe.reference.pages.wording import moment, size
from nbpipe.reference.store import Store, StoredRelease, StoredRun
from webhook.pages.answers import answer, wants_json, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbpipe.reference.comparison import Comparison, Rules
    from nbpipe.reference.manifest import Job, Manifest, Notebook

SHOWN = 200
"""Runs in the list, the newest."""

HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
"""The comparison is one file with its style in it; nothing else of it is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRow:
    """A release's reference."""

    name: str
    release: str
    revision: int
    run: str = ""
    reason: str = ""
    problem: str = ""


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
    against: tuple[str, ...]
    """Releases that it can be compared with, the newest first."""


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
    packages: dict[str, str]
    parameters: dict[str, str]
    against: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonPage:
    """The frame of a comparison."""

    name: str
    run: str
    release: str
    verdict: str
    summary: str


class References:
    """The pages of one store.

    Args:
        root: The store's folder; it need not be there.
        rules: The configured rules for a name, None where there are none.
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
        by_name: dict[str, list[str]] = {}
        for each in reversed(releases):
            by_name.setdefault(each.name, []).append(each.release)
        runs = list(reversed(self._store.runs()))[:SHOWN]
        content = ReferencesPage(
            releases=tuple(_release_row(each) for each in reversed(releases)),
            runs=tuple(_run_row(each, tuple(by_name.get(each.name, ()))) for each in runs),
        )
        return answer("references.html", content)

    def _run(self, name: str, run: str) -> Response:
        found = self._find_run(name, run)
        return answer("record.html", self._record(name, _manifest(found), None))

    def _release(self, name: str, release: str) -> Response:
        found = self._find_release(name, release)
        return answer("record.html", self._record(name, _manifest(found), found.revision))

    def _comparison(self, name: str, run: str, release: str) -> Response:
        made = self._compare(name, run, release)
        if wants_json():
            return written({"format": 1, "comparison": made})
        content = ComparisonPage(
            name=name, run=run, release=release, verdict=made.verdict.value, summary=made.summary
        )
        frame = url_for("references.frame", name=name, run=run, release=release)
        return answer("comparison.html", content, frame=frame)

    def _frame(self, name: str, run: str, release: str) -> Response:
        from nbpipe.reference.pages.html import html  # noqa: PLC0415  (slow)

        return Response(html(self._compare(name, run, release)), headers=HEADERS)

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

    def _compare(self, name: str, run: str, release: str) -> Comparison:
        from nbpipe.reference.comparison import compare, default_rules  # noqa: PLC0415  (slow)

        stored = self._find_run(name, run)
        reference, new = _manifest(self._find_release(name, release)), _manifest(stored)
        past = [made for each in self._store.releases() if (made := _readable(each, name))]
        rules = self._rules(name) or _own_rules(stored) or default_rules()
        today = datetime.now(UTC).date()
        return compare(reference, None, new, None, rules, today, history=past)

    def _record(self, name: str, made: Manifest, revision: int | None) -> RecordPage:
        releases = [each.release for each in self._store.releases() if each.name == name]
        return RecordPage(
            name=name,
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
            outputs=tuple(
                OutputRow(
                    path=each.path,
                    kind=each.kind,
                    bytes=each.bytes,
                    sha256=each.sha256,
                    error=each.error,
                )
                for each in made.outputs
            ),
            packages=made.packages,
            parameters={key: str(value) for key, value in made.parameters.items()},
            against=tuple(reversed(releases)) if revision is None else (),
        )


def _manifest(stored: StoredRun | StoredRelease) -> Manifest:
    try:
        return stored.manifest()
    except UsageError:
        abort(404, "it has no readable manifest (yet)")


def _readable(release: StoredRelease, name: str) -> Manifest | None:
    if release.name != name:
        return None
    try:
        return release.manifest()
    except UsageError:
        return None


def _own_rules(run: StoredRun) -> Rules | None:
    """Return the rules of the collection as it was submitted, None where it has none."""
    from nbpipe.reference.comparison import Rules  # noqa: PLC0415  (slow)

    try:
        settings = load(run.work).settings.reference.get(run.name)
    except (NbpipeError, OSError):
        return None
    return None if settings is None else Rules(settings)


def _release_row(stored: StoredRelease) -> ReleaseRow:
    given: dict[str, Any] = {
        "name": stored.name,
        "release": stored.release,
        "revision": stored.revision,
    }
    try:
        made = stored.manifest()
    except UsageError as error:
        return ReleaseRow(**given, problem=str(error).splitlines()[0])
    return ReleaseRow(**given, run=made.run, reason=made.reason)


def _run_row(stored: StoredRun, against: tuple[str, ...]) -> RunRow:
    try:
        request = stored.request
        job = stored.read("submission.json").get("job") or ""
        state = stored.read("standing.json").get(job, {}).get("state", "unknown")
    except UsageError:
        request, state = {}, "damaged"
    collected = (stored.folder / "manifest.json").is_file()
    return RunRow(
        name=stored.name,
        run=stored.id,
        release=str(request.get("release", "")),
        state=str(state),
        profile=str(request.get("profile", {}).get("label", "")),
        collected=collected,
        against=against if collected else (),
    )
