"""How many threads the numerical libraries of each notebook get, where several run at once.

Every such library takes one thread for each core, so that four notebooks on eight cores have 32 of
them, which wait for each other. They all read how many they may have from the environment when they
are loaded. What somebody has set there, or in a kernelspec, is left as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
