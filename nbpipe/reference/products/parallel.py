"""Many files described at once, in processes of their own; and how far that is.

Hashing and statistics take processor time, and libraries that read damaged files have crashed
before: processes, not threads. A few small files are not worth starting one.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nbpipe.system import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nbpipe.reference.manifest import Output

    Task = Callable[[str], Output]
    Tell = Callable[["Described"], None]

MOST_WORKERS = 8
"""More are limited by the file system, and every one takes memory."""
WORTH_BYTES = 300_000_000
WORTH_FILES = 2_000
"""From here on the start of a process (half a second) is soon made up for."""
BATCH = 16
"""Small files that are handed over at once."""
SMALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Described:
    """How much has been described."""

    files: int
    all_files: int
    bytes: int
    all_bytes: int


def nobody(_: Described) -> None:
    """Tell no one."""


def each_of(
    folder: Path, paths: Sequence[str], task: Task, tell: Tell, workers: int | None = None
) -> dict[str, Output]:
    """Return what a task makes of each path.

    Args:
        folder: What the paths are relative to.
        paths: What to describe.
        task: A function that can be sent to another process.
        tell: Called for every file, as they come.
        workers: How many processes; None: as many as there are processors, where it is worth it.
    """
    sizes = {path: _size(folder / path) for path in paths}
    found: dict[str, Output] = {}
    total = sum(sizes.values())
    done = 0

    def take(path: str, output: Output) -> None:
        nonlocal done
        found[path] = output
        done += sizes[path]
        tell(Described(len(found), len(sizes), done, total))

    count = _workers(sizes) if workers is None else workers
    if count > 1:
        # What a lost process leaves is described here.
        with suppress(BrokenProcessPool):
            for path, output in _in_processes(sizes, task, count):
                take(path, output)
    for path in sizes.keys() - found.keys():
        take(path, task(path))
    return found


def _in_processes(sizes: dict[str, int], task: Task, workers: int) -> Iterator[tuple[str, Output]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(partial(_batch, task), batch) for batch in _batches(sizes)]
        try:
            for future in as_completed(futures):
                yield from future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _batch(task: Task, paths: Sequence[str]) -> list[tuple[str, Output]]:
    return [(path, task(path)) for path in paths]


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Yield the large files one by one, the largest first, then the small ones together."""
    large = [path for path, size in sizes.items() if size >= SMALL]
    small = [path for path, size in sizes.items() if size < SMALL]
    yield from ([path] for path in sorted(large, key=lambda path: -sizes[path]))
    yield from (small[start : start + BATCH] for start in range(0, len(small), BATCH))


def _workers(sizes: dict[str, int]) -> int:
    if sum(sizes.values()) < WORTH_BYTES and len(sizes) < WORTH_FILES:
        return 1
    return min(machine.cores(), MOST_WORKERS, len(sizes))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
