"""Open files: how many a run needs, and the limit that the system sets (getrlimit(2)).

The limit of a login is often 1,024 where up to half a million are allowed. It is raised for this
process while a run needs it; kernels start with the limit that it was before.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_NOTEBOOK = 16
"""What a notebook that runs takes (measured: 14)."""
_BESIDE = 64
"""What the run takes beside: reports, the history, fork servers, git, the other end of pipes."""

_before: list[int] = []
"""The soft limits before they were raised, the first one first."""


def fitting(jobs: int) -> int:
    """Return how many notebooks can run at once within what the system allows; at least 1."""
    if sys.platform == "win32":
        return jobs
    import resource  # noqa: PLC0415  (POSIX)

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return jobs
    return max(1, min(jobs, (hard - needed(0)) // PER_NOTEBOOK))


def needed(jobs: int) -> int:
    """Return the number of open files needed to run `jobs` notebooks in parallel."""
    return _BESIDE + _open() + jobs * PER_NOTEBOOK


@contextlib.contextmanager
def enough(jobs: int) -> Iterator[None]:
    """Raise the soft limit as far as `jobs` parallel notebooks need, then restore it."""
    if sys.platform == "win32":
        yield
        return
    import resource  # noqa: PLC0415  (POSIX)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(jobs)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        yield
        return
    _before.append(soft)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        _before.pop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def original() -> int:
    """Return the soft limit that a kernel starts with; 0: whatever this process has."""
    return _before[0] if _before else 0


def restore(process: int) -> None:
    """Give a process that was started here the soft limit that it would have without us."""
    if not _before:
        return
    import resource  # noqa: PLC0415  (POSIX)

    with contextlib.suppress(OSError):  # it has ended already
        _, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (_before[0], hard))


def _open() -> int:
    """Return how many are open now."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
