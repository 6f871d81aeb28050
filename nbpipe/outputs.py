"""The folder of a run's executed copies and logs; in the default place the newest are kept.

Who makes a folder there holds a lock on its mark (flock(2)) until the process ends, so that short
runs do not take away the folder of a long one. What holds no lock is as new as its run's end. A
folder that somebody named is locked while a run writes into it: two at once would mix their copies.

And the reports that a run is to write: which, and whether they can be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe import reports
from nbpipe.collecting import RUN_MARK
from nbpipe.collecting.paths import on_disk
from nbpipe.errors import UsageError
from nbpipe.system import locks, private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config import Config
    from nbpipe.model import Plan, Task

KEPT_RUNS = 20
_LEFT_SECONDS = 30 * 86_400.0
"""For so long does the folder of a run stay that `--resume` could take up."""

_HELD: set[Path] = set()
"""Folders of the default place that this process has locked already."""


def make_folder(wanted: Path | None, run_id: str, tasks: tuple[Task, ...]) -> Path:
    """Return the folder for executed copies and logs, made if need be.

    Args:
        wanted: What was asked for; None: a new one under the user's state directory, where the
            newest runs are kept.
        run_id: The run's.
        tasks: Their sources must not be overwritten.

    Raises:
        UsageError: It cannot be made, holds something else than an earlier run, or another run
            writes into it.
    """
    folder = wanted or _default_place() / run_id
    mark = folder / RUN_MARK
    try:
        private.make_folder(folder)
        occupied = any(folder.iterdir()) and not mark.exists()
        if occupied:
            raise UsageError(
                f"the output directory {folder} is not empty, and no run of nbpipe made it",
                hint="Name a new folder with --output-dir, or empty that one.",
            )
        if _is_held(mark):
            raise _in_use(mark)
        private.write(mark, f"{json.dumps({'run': run_id})}\n".encode())
        if wanted is None:
            _hold(mark)
            _HELD.add(folder.resolve())
    except OSError as error:
        raise UsageError(
            f"the output directory {folder} cannot be written: {error.strerror}",
            hint="Name another one with --output-dir.",
        ) from error
    _refuse_sources(folder.resolve(), tasks)
    if wanted is None:
        _forget_old_runs(folder.parent)
    return folder.resolve()


@contextlib.contextmanager
def used(folder: Path) -> Iterator[None]:
    """Keep other runs out of a run's folder in here.

    Raises:
        UsageError: Another run writes into it.
    """
    mark = folder / RUN_MARK
    descriptor = None
    if folder not in _HELD:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            descriptor = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    try:
        if descriptor is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                if not locks.take(descriptor):
                    raise _in_use(mark)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _in_use(mark: Path) -> UsageError:
    run = ""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        run = f" ({json.loads(mark.read_text(encoding='utf-8'))['run']})"
    return UsageError(
        f"another run{run} writes into the output directory {mark.parent}",
        hint="Wait until it has ended, or name another folder with --output-dir.",
    )


def requests(
    config: Config, plan: Plan, output_dir: Path, *, unasked: tuple[str, ...] = ()
) -> list[reports.Request]:
    """Return the reports that are wanted; each can be written, and over nothing that is read.

    Args:
        config: The configuration, with the options applied.
        plan: What will be read.
        output_dir: Where a report without a path goes.
        unasked: Kinds that come to standard output by themselves.

    Raises:
        UsageError: One cannot be written.
    """
    test = config.settings.test
    wanted = [reports.parse(on_disk(text), output_dir=output_dir) for text in test.reports]
    asked = {each.kind for each in wanted}
    wanted += [reports.Request(kind, None) for kind in unasked if kind not in asked]
    read = {task.file for task in plan.tasks} | {
        config.root / on_disk(file) for file in test.prerun
    }
    read |= {config.file} if config.file else set()
    for request in wanted:
        how = reports.reporter(request.kind)
        reports.check(request, how, sources={os.path.realpath(file) for file in read})
    reports.check_apart(wanted)
    return wanted


def note_use(folder: Path) -> None:
    """Have a folder count as new from now on."""
    with contextlib.suppress(OSError):
        os.utime(folder / RUN_MARK)


def drop_empty(folder: Path) -> None:
    """Remove a folder in which nothing but its mark is."""
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [RUN_MARK]:
            shutil.rmtree(folder)


def _refuse_sources(folder: Path, tasks: tuple[Task, ...]) -> None:
    from nbpipe.execution.workspace import copy_path  # noqa: PLC0415  (slow)

    for task in tasks:
        if folder / copy_path(task) == task.file:
            raise UsageError(
                f"the executed copy of {task.path} would overwrite its source in {folder}",
                hint="Name a folder outside of the collection with --output-dir.",
            )


def _default_place() -> Path:
    import platformdirs  # noqa: PLC0415

    return Path(platformdirs.user_state_path("nbpipe")) / "runs"


def _hold(mark: Path) -> None:
    """Lock a mark until the process ends: nobody closes the descriptor before."""
    descriptor = os.open(mark, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a file system without locks
        locks.take(descriptor, shared=True)


def _forget_old_runs(place: Path) -> None:
    """Remove all but the newest runs of the default place, and those whose process lives."""
    marks = []
    for mark in place.glob(f"*/{RUN_MARK}"):
        with contextlib.suppress(OSError):  # another process forgets, too
            marks.append((mark.stat().st_mtime_ns, mark))
    for _, mark in sorted(marks)[:-KEPT_RUNS]:
        if not (_is_held(mark) or _has_workers(mark.parent)):
            shutil.rmtree(mark.parent, ignore_errors=True)


def _has_workers(folder: Path) -> bool:
    """Return whether a client of `--cluster` that was killed left workers or results there."""
    now = time.time()
    for each in folder.glob(".cluster-*/logs"):
        with contextlib.suppress(OSError):
            if now - each.stat().st_mtime < _LEFT_SECONDS:
                return True
    return False


def _is_held(mark: Path) -> bool:
    try:
        with mark.open("r+b") as file:  # over NFS only who may write gets such a lock
            return not locks.take(file.fileno())
    except OSError:  # no locks here, or gone
        return False
