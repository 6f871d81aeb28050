"""What the store holds: runs and releases, each with the verdicts that are kept with it.

Values in, text out: lines for people, the manifest's JSON for programs.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from nbpipe.comparison_reports.wording import kept_line
from nbpipe.errors import NbpipeError
from nbpipe.reference import manifest as manifests
from nbpipe.reference.comparison import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbpipe.reference.comparison.kept import KeptVerdict
    from nbpipe.reference.store import Store, StoredRelease, StoredRun


def listing(keep: Store, name: str | None) -> list[str]:
    """Return the releases, then the runs, a line each; of one reference, or of all."""
    releases = keep.releases(name)
    lines = [_readable("release", each, partial(_release, each)) for each in releases]
    for run in keep.runs(name):
        known = [each for each in releases if each.name == run.name]
        lines.append(_readable("run    ", run, partial(_run, run, known)))
    return lines


def compared(keep: Store, run: StoredRun) -> list[str]:
    """Return each verdict that is kept with a run, in a line; none where it has no manifest."""
    if not _is_collected(run):
        return []
    releases = keep.releases(run.name)
    found = [f"  {kept_line(each)}" for each in _verdicts(run, releases)]
    if not found and releases:
        found = [f"  not compared yet: nbpipe reference compare {run.id}"]
    return found


def document(keep: Store, text: str) -> str:
    """Return the manifest of a release (`NAME/RELEASE`) or of a run, with its verdicts.

    Raises:
        UsageError: No run matches, or several do.
        NbpipeError: It has no manifest that can be read.
    """
    name, _, release = text.rpartition("/")
    found = keep.release(name, release) if name else None
    if found is not None:
        return manifests.encode(found.manifest()).decode()
    run = keep.run(text)
    manifest = json.loads(manifests.encode(run.manifest()))
    verdicts = _verdicts(run, keep.releases(run.name))
    manifest["comparisons"] = [asdict(each) for each in verdicts]
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def _readable(kind: str, stored: StoredRelease | StoredRun, describe: Callable[[], str]) -> str:
    """Return a line about a run or a release; one that cannot be read does not hide the others."""
    try:
        return describe()
    except NbpipeError as error:
        return f"{kind}  {stored.folder}: cannot be shown: {error.args[0]}"


def _release(release: StoredRelease) -> str:
    manifest = release.manifest()
    revision = f" (revision {release.revision})" if release.revision > 1 else ""
    who = f"{release.name}  {release.release}{revision}"
    return f"release  {who}  run {manifest.run}  {manifest.reason}"


def _run(run: StoredRun, releases: Sequence[StoredRelease]) -> str:
    request = run.request
    job = run.read("submission.json").get("job") or ""
    state = run.read("standing.json").get(job, {}).get("state", "submitted")
    collected = "  collected" if _is_collected(run) else ""
    profile = request.get("profile", {}).get("label", "")
    told = ", ".join(f"{each.against}: {each.told}" for each in _verdicts(run, releases))
    if not told and collected and releases:
        told = "not compared yet"
    head = f"run      {run.name}  {request.get('release', '?')}  {run.id}  {state}{collected}"
    return f"{head}  {profile}  {told}".rstrip()


def _is_collected(run: StoredRun) -> bool:
    return (run.folder / "manifest.json").exists()


def _verdicts(run: StoredRun, releases: Sequence[StoredRelease]) -> tuple[KeptVerdict, ...]:
    return kept.verdicts(run, releases, datetime.now(UTC).date())
