"""What each notebook gets of the machine, where several run at once.

Slots, memory and groups decide which of the waiting notebooks may start (`choose`); open files, how
many can run at all.

Threads: every numerical library takes one for each core, so that four notebooks on eight cores have
32 of them, which wait for each other. They all read how many they may have from the environment
when they are loaded. What somebody has set there, or in a kernelspec, is left as it is.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from nbpipe.model import Task

_FALL_BACK = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Without these the libraries take what OMP_NUM_THREADS says."""
VARIABLES = (
    "OMP_NUM_THREADS",
    *_FALL_BACK,
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""What libraries read. Not among them: what would raise a number (JULIA_NUM_THREADS is 1 by itself)
or is a limit over which a notebook's own wish fails (NUMBA_NUM_THREADS, OMP_THREAD_LIMIT).

Sources: OpenMP 5.2, 21.1.2; OpenBLAS, oneMKL and BLIS on threading; numexpr's and Polars' user
guides; rayon's ThreadPoolBuilder; TensorFlow's process_util.cc and local_device.cc.
"""

_JOBS = (
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "COBALT_JOBID",
    "LOADL_STEP_ID",
    "OAR_JOB_ID",
    "FLUX_JOB_ID",
    "_CONDOR_JOB_AD",
    "SGE_TASK_ID",
    "PE_HOSTFILE",
)
"""Each is set by a scheduler in its jobs."""


def scheduler_job(environ: Mapping[str, str]) -> str:
    """Return the variable by which a scheduler shows itself; empty outside of a job."""
    return next((name for name in _JOBS if environ.get(name)), "")


def share(
    wanted: int | Literal["auto", "off"],
    *,
    slots: int,
    at_once: int,
    cores: int,
    environ: Mapping[str, str],
) -> int | None:
    """Return how many threads a notebook's libraries get; None: as many as they take.

    Args:
        wanted: The setting.
        slots: Those that the notebook counts as.
        at_once: Slots that are in use at the same time.
        cores: What this process may use.
        environ: A scheduler's job has been given its cores, and its own variables, already.
    """
    if wanted == "off":
        return None
    if wanted != "auto":
        return wanted
    if at_once <= 1 or scheduler_job(environ):
        return None
    return min(cores, max(1, cores * min(slots, at_once) // at_once))


def at_once(tasks: Iterable[Task], jobs: int) -> int:
    """Return how many slots are in use at the same time."""
    runnable = (task for task in tasks if task.skip is None and task.failure is None)
    return min(jobs, sum(task.slots for task in runnable))


def shared(
    tasks: tuple[Task, ...], *, jobs: int, cores: int, environ: Mapping[str, str]
) -> tuple[Task, ...]:
    """Return the tasks, each with the threads that its libraries get."""
    together = at_once(tasks, jobs)
    return tuple(
        replace(
            task,
            cores=share(
                task.threads, slots=task.slots, at_once=together, cores=cores, environ=environ
            ),
        )
        for task in tasks
    )


def variables(
    count: int | None, environ: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that limit libraries to `count` threads, but for those already set.

    Args:
        count: None: nothing.
        environ: The runner's.
        own: What the kernelspec sets.
    """
    if count is None:
        return {}
    known = environ.keys() | own.keys()
    follow = _FALL_BACK if "OMP_NUM_THREADS" in known else ()
    return {name: str(count) for name in VARIABLES if name not in known and name not in follow}


PER_NOTEBOOK = 16
"""What a notebook that runs takes (measured: 14)."""
_BESIDE = 64
"""What the run takes beside: reports, the history, fork servers, git, the other end of pipes."""

_before: list[int] = []
"""The soft limits before they were raised, the first one first."""


def jobs_with_enough_files(jobs: int) -> int:
    """Return how many notebooks can run at once within what the system allows; at least 1."""
    if sys.platform == "win32":
        return jobs
    import resource  # noqa: PLC0415  (POSIX)

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return jobs
    return max(1, min(jobs, (hard - files_needed(0)) // PER_NOTEBOOK))


def files_needed(jobs: int) -> int:
    """Return the number of open files needed to run `jobs` notebooks in parallel."""
    return _BESIDE + _open() + jobs * PER_NOTEBOOK


@contextlib.contextmanager
def enough_files(jobs: int) -> Iterator[None]:
    """Raise the soft limit as far as `jobs` parallel notebooks need, then restore it."""
    if sys.platform == "win32":
        yield
        return
    import resource  # noqa: PLC0415  (POSIX)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files_needed(jobs)
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


def original_file_limit() -> int:
    """Return the soft limit that a kernel starts with; 0: whatever this process has."""
    return _before[0] if _before else 0


def restore_file_limit(process: int) -> None:
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Need:
    """What one notebook takes while it runs; two are never the same."""

    slots: int = 1
    memory: int = 0
    """Bytes."""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Running:
    """A notebook that runs."""

    need: Need
    overtook: Need | None = None
    """The head that waited when it started."""


@dataclass(frozen=True, slots=True)
class Room:
    """Slots and bytes of memory: all that there are, or what is left of them."""

    slots: int
    memory: int = 0

    def without(self, needs: Iterable[Need]) -> Room:
        """Return what is left beside them."""
        taken = list(needs)
        return Room(
            self.slots - sum(need.slots for need in taken),
            self.memory - sum(need.memory for need in taken),
        )

    def common(self, other: Room) -> Room:
        """Return what both have."""
        return Room(min(self.slots, other.slots), min(self.memory, other.memory))

    def has(self, need: Need) -> bool:
        """Return whether it is enough."""
        return need.slots <= self.slots and need.memory <= self.memory

    def capped(self, need: Need) -> Need:
        """Return the need, or all that there is where that is less."""
        if self.has(need):
            return need
        return Need(
            slots=min(need.slots, self.slots),
            memory=min(need.memory, self.memory),
            groups=need.groups,
        )


def choose(
    waiting: Iterable[Need],
    running: Collection[Running],
    everything: Room,
    *,
    available: int | None = None,
) -> tuple[int, Need | None] | None:
    """Return the place of the one to start, and the head that it overtakes; None: something ends.

    Args:
        waiting: In their order; none needs more than everything.
        running: Those that run.
        everything: The room that there is.
        available: Bytes of memory that the machine has left in this moment, whatever the plan
            says; None where that does not matter.
    """
    left = everything.without(each.need for each in running)
    if running and available is not None:
        left = left.common(Room(left.slots, available))
    busy = frozenset(group for each in running for group in each.need.groups)
    if left.slots < 1:
        return None
    head = None
    for place, need in enumerate(waiting):
        if not busy.isdisjoint(need.groups):
            continue
        if left.has(need) or not running:
            return place, head
        if head is None:
            head = need
            past = [each.need for each in running if each.overtook is head]
            left = left.common(everything.without([head, *past]))
            busy |= head.groups
        if left.slots < 1:
            return None
    return None
