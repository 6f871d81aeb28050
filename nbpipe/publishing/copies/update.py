"""Take a release into a folder, or bring an earlier copy up to date.

A new folder is built beside (`.NAME.getlatest`) and renamed; an old one is updated file by file.
Either way under the lock in its `.nbpipe`, which travels with the folder.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbpipe.publishing.copies import manifest
from nbpipe.publishing.copies.decision import Action
from nbpipe.publishing.copies.errors import CopyBusy, CopyError
from nbpipe.publishing.copies.folder import ENDED_JUST_NOW, CopyFolder
from nbpipe.publishing.copies.plans import EmptyPlace, Request, Wanted, plan, tell, tell_blocked
from nbpipe.publishing.copies.report import Report
from nbpipe.publishing.copies.writer import Writer, explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nbpipe.publishing.copies.plans import Place
    from nbpipe.publishing.copies.releases import Release

__all__ = ["Wanted", "take"]


def silent(_done: int, _total: int) -> None:
    """Show no progress."""


def take(
    release: Release,
    folder: Path,
    wanted: Wanted,
    progress: Callable[[int, int], None] = silent,
) -> Report:
    """Make `folder` a copy of the release, or bring it up to date.

    Args:
        release: What to take.
        folder: The copy; it need not exist, its parent must.
        wanted: Which part of it, and how.
        progress: Called with the steps done and the steps in all.

    Raises:
        UsageError: `wanted` names what the release does not hold.
        CopyBusy: Another getlatest is at work in the folder.
        ReleaseGone: The release was cleaned up meanwhile.
        NoSpace: The disk is full; nothing is half written.
        CopyError: The folder cannot be used.
    """
    request = Request(release, wanted, progress)
    if wanted.dry_run:
        return _look(request, folder)
    if not folder.exists():
        report = _make(request, folder)
        if report:
            return report
    with _opened(folder) as copy:
        copy.lock()
        report = _report(request, folder)
        _run(request, copy, report)
        return report


def _look(request: Request, folder: Path) -> Report:
    """Return what a run would do; nothing is written, not even a lock."""
    made = not folder.exists()
    report = _report(request, folder, dry_run=True, made=made)
    if made:
        _preview(request, EmptyPlace(), None, report)
        return report
    with _opened(folder) as copy:
        _preview(request, copy, copy.read_manifest(), report)
    return report


def _report(request: Request, folder: Path, *, dry_run: bool = False, made: bool = False) -> Report:
    release = request.release
    return Report(
        str(folder),
        release.source,
        release.commit,
        dry_run=dry_run,
        made=made,
        prune=request.wanted.prune,
        warning=release.warning,
    )


def _preview(request: Request, place: Place, data: bytes | None, report: Report) -> None:
    planned = plan(request, place, _known(data, report.folder), report)
    for step in planned.steps:
        beside = None
        if step.action is Action.BESIDE:
            beside, _ = planned.beside(step)
        if step.action is Action.RENEW and step.mine.content:
            beside, _, _ = planned.kept(step.path, step.mine.content, planned.placed)
        tell(report, step, beside)
    tell_blocked(report, planned)


def _run(request: Request, copy: CopyFolder, report: Report) -> None:
    """Update an open, locked copy."""
    known = _known(copy.read_manifest(), report.folder)
    taken = [*known.files.values(), *(placed.taken for placed in known.beside.values())]
    with explained(copy.path):
        blobs = {c.blob for each in taken for c in (each.base, each.writing) if c}
        for kept in copy.clear(blobs, report.release):
            report.notes.append(f"{kept} is a file of yours, saved in the instant of a crash")
        planned = plan(request, copy, known, report)
        Writer(planned, copy, known, fresh=report.made).run(report, request.progress)


def _known(data: bytes | None, folder: str) -> manifest.CopyManifest:
    """Return the manifest; an empty one where there is none."""
    where = f"{folder}/{manifest.FOLDER}/{manifest.NAME}"
    return manifest.load(data, where) if data is not None else manifest.CopyManifest()


def _make(request: Request, folder: Path) -> Report | None:
    """Build a new folder beside its place and rename it there; None where it appeared meanwhile."""
    building = folder.with_name(f".{folder.name}.getlatest")
    with _opened(building, make=True) as copy:
        if set(os.listdir(copy.descriptor)) - {manifest.FOLDER} and not _ours(copy):  # noqa: PTH208  (a descriptor)
            raise CopyError(
                f"{building}: is in the way", hint="Move it away; getlatest builds there."
            )
        copy.lock()
        same = _same(copy, building)
        if folder.exists():
            if same:
                shutil.rmtree(building, ignore_errors=True)
            return None
        if not same:
            raise CopyBusy(f"{building}: {ENDED_JUST_NOW}", hint="Run it again.")
        report = _report(request, folder, made=True)
        try:
            _empty(copy)
            _run(request, copy, report)
            with explained(folder):
                os.rename(building, folder)  # noqa: PTH104  (never replaces a folder with content)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return report


def _ours(copy: CopyFolder) -> bool:
    """Return whether a getlatest made the open folder, wherever another one has moved it since."""
    try:
        lock = os.lstat(f"{manifest.FOLDER}/lock", dir_fd=copy.descriptor)
    except OSError:
        return False
    return stat.S_ISREG(lock.st_mode)


def _same(copy: CopyFolder, path: Path) -> bool:
    """Return whether the path still is the folder that is open."""
    try:
        return os.path.samestat(os.fstat(copy.descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _empty(copy: CopyFolder) -> None:
    """Remove what a crashed run left in the folder that it was building."""
    for name in os.listdir(copy.descriptor):  # noqa: PTH208  (likewise)
        path = copy.path / name
        if path.is_dir() and not path.is_symlink() and name != manifest.FOLDER:
            shutil.rmtree(path)
        elif name != manifest.FOLDER:
            path.unlink()
    (copy.path / manifest.FOLDER / manifest.NAME).unlink(missing_ok=True)


@contextmanager
def _opened(folder: Path, *, make: bool = False) -> Iterator[CopyFolder]:
    with explained(folder):
        if make:
            folder.mkdir(exist_ok=True)
        copy = CopyFolder(folder)
    try:
        yield copy
    finally:
        copy.close()
