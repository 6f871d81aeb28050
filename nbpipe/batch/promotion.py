"""Promote a run, compare it with a release, accept differences; what each of them records."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pathspec

from nbpipe.errors import UsageError
from nbpipe.reference import crate
from nbpipe.reference.comparison import Rules, compare, default_rules, kept
from nbpipe.reference.comparison.model import Made
from nbpipe.reference.manifest import LINK, SPECIAL, Acceptance, Promotion
from nbpipe.reference.store import RECORD, contents
from nbpipe.system.accounts import user_name
from nbpipe.system.files import digest
from nbpipe.system.wildmatch import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.config import Config
    from nbpipe.reference.comparison import Comparison
    from nbpipe.reference.manifest import Manifest, Output
    from nbpipe.reference.store import Store, StoredRelease, StoredRun


@dataclass(frozen=True, slots=True)
class Against:
    """What a run is compared with."""

    manifest: Manifest
    files: Path | None
    release: StoredRelease | None = None
    run: StoredRun | None = None


def promote(keep: Store, run: StoredRun, *, release: str, reason: str) -> StoredRelease:
    """Make a collected run the reference of a release.

    Raises:
        UsageError: It did not pass or was not collected, the reason is empty, or the release has
            a reference already.
    """
    manifest = run.manifest()
    _check_reason(reason)
    bad = [job for job in manifest.jobs if job.state != "completed"]
    if bad or not manifest.jobs:
        told = ", ".join(f"{job.id} {job.state}" for job in bad) or "it has no job"
        raise UsageError(
            f"run {run.id} of {run.name} cannot be a reference: {told}",
            hint="Only a run whose jobs completed is promoted; look at `nbpipe reference show`.",
        )
    _check_whole(manifest)
    by = Promotion(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        by=user_name(),
        host=socket.gethostname(),
    )
    made = replace(manifest, release=release, reason=reason, promoted=by)
    return keep.promote(run, made, _documents)


def _check_whole(manifest: Manifest) -> None:
    """Refuse a reference without the content of one of its files.

    Raises:
        UsageError: One could not be read, or changed while it was.
    """
    for each in manifest.outputs:
        if each.sha256 is None and each.kind not in {SPECIAL, LINK} and each.link is None:
            raise UsageError(
                f"{each.path}: {each.error}: the reference was not made",
                hint="Let it rest, give yourself the right to read it, and collect the run again.",
            )


def _documents(manifest: Manifest) -> dict[str, bytes]:
    """Return what stands beside a manifest for others; nothing where the library is missing."""
    if find_spec("rocrate") is None:
        return {}
    return {crate.METADATA: crate.encoded(manifest, crate.About())}


def verify(release: StoredRelease) -> list[str]:
    """Return what of a release is not as it was promoted; [] where all of it is.

    Raises:
        ManifestError: Its manifest cannot be read.
    """
    manifest = release.manifest()
    wanted = {
        f"files/{each.path}": each.sha256 for each in manifest.outputs if each.sha256 is not None
    }
    if release.files is None:
        wanted = {}  # somebody purged the data, as `compare` says; the record stays
    wanted |= {f"{RECORD}/{each.path}": each.sha256 for each in manifest.record}
    unread: list[OSError] = []
    found = {
        file.relative_to(release.folder).as_posix(): file
        for file in contents(release, unread.append)
    }
    if unread:
        closed = [Path(each.filename).relative_to(release.folder) for each in unread]
        return [f"{each.as_posix()}: cannot be read: this was not verified" for each in closed]
    problems = [f"{path}: is missing" for path in sorted(wanted.keys() - found.keys())]
    problems += [f"{path}: does not belong to it" for path in sorted(found.keys() - wanted.keys())]
    for path in sorted(wanted.keys() & found.keys()):
        try:
            same = digest(found[path]) == wanted[path]
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
            continue
        if not same:
            problems.append(f"{path}: has other content than what was promoted")
    return problems


def reference(keep: Store, run: StoredRun, against: str | None) -> Against:
    """Return what a run is to be compared with: a release, another run, or the newest release.

    Raises:
        UsageError: There is none.
    """
    if against is None:
        releases = keep.releases(run.name)
        if not releases:
            raise UsageError(
                f"{run.name} has no release to compare with",
                hint=f"Promote a run first: nbpipe reference promote {run.id} --release R.",
            )
        return _of_release(releases[-1])
    found = keep.release(run.name, against.removeprefix(f"{run.name}/"))
    if found is not None:
        return _of_release(found)
    try:
        other = keep.run(against)
    except UsageError as error:
        known = ", ".join(each.release for each in keep.releases(run.name)) or "none"
        raise UsageError(
            f"{run.name} has neither a release nor a run {against!r}",
            hint=f"Releases: {known}. Runs: nbpipe reference list.",
        ) from error
    return Against(other.manifest(), other.files, run=other)


def _of_release(release: StoredRelease) -> Against:
    return Against(release.manifest(), release.files, release)


def judge(
    keep: Store, against: Against, run: StoredRun, config: Config, *, now: datetime
) -> Comparison:
    """Compare a collected run by the rules of its name in the configuration."""
    settings = config.settings.reference.get(run.name)
    rules = Rules(settings) if settings is not None else default_rules()
    past = [each.manifest() for each in keep.releases(run.name)]
    digests = kept.digest(against.release or against.run or run), kept.digest(run)
    found = compare(
        against.manifest, against.files, run.manifest(), run.files, rules, now.date(), history=past
    )
    where = config.file or f"a configuration for {config.root}"
    notes = found.notes
    if settings is None:
        notes = (f"no [reference.{run.name}] in {where}: everything was compared exactly", *notes)
    revision = against.release.revision if against.release else None
    return replace(
        found,
        notes=notes,
        reference=replace(found.reference, revision=revision, manifest=digests[0]),
        new=replace(found.new, manifest=digests[1]),
        made=Made(
            when=now.isoformat(timespec="seconds"),
            configuration=None if settings is None else str(where),
            rules=kept.settings_of(rules),
        ),
    )


def accept(
    keep: Store, run: StoredRun, *, release: str | None, only: Sequence[str], reason: str
) -> StoredRelease:
    """Make a run's outputs that match the reference's from now on; recorded with the reason.

    Raises:
        UsageError: There is no such release, nothing matches, or the reason is empty.
    """
    _check_reason(reason)
    against = reference(keep, run, release)
    if against.release is None:
        raise UsageError(
            f"{release!r} is a run, not a release", hint="Only a release is a reference."
        )
    old, new = against.manifest, run.manifest()
    chosen = _matching(new, only) | _matching(old, only)
    if not chosen:
        raise UsageError(
            f"run {run.id}: no output matches {' '.join(only)}",
            hint=f"It has: {', '.join(each.path for each in new.outputs[:10])}.",
        )
    kept = [each for each in old.outputs if each.path not in chosen]
    taken = [each for each in new.outputs if each.path in chosen]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    acceptance = Acceptance(only=tuple(only), reason=reason, when=now, run=run.id)
    manifest = replace(
        old,
        outputs=tuple(sorted((*kept, *taken), key=_path)),
        accepted=(*old.accepted, acceptance),
    )
    files = {each.path: run.work / each.path for each in taken}
    if against.files is not None:
        files |= {each.path: against.files / each.path for each in kept}
    return keep.accept(against.release, manifest, files, _documents)


def _path(output: Output) -> str:
    return output.path


def _matching(manifest: Manifest, patterns: Sequence[str]) -> set[str]:
    spec = pathspec.GitIgnoreSpec.from_lines(patterns, pattern_factory=compiled)
    return set(spec.match_files(each.path for each in manifest.outputs))


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError(
            "a reason is missing", hint="Say why in --reason: it is kept with the reference."
        )
