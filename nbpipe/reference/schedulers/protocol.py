"""What every scheduler does for us, and the values that go in and come out.

How it is used:

    scheduler = registry.scheduler(profile.scheduler)
    request = JobRequest(
        name=unique_name,              # written down *before* submitting
        command=(str(script), str(folder)),
        folder=folder, stdout=folder / "job.out", stderr=folder / "job.err",
        profile=profile,
    )
    try:
        job = scheduler.submit(request)
    except SchedulerOutage:            # taken or not? its name tells
        (job, *_) = scheduler.find(unique_name) or (None,)

    status = scheduler.poll([job])     # {id: JobStatus}; not in it: the queue does not know it
    records = scheduler.account([job]) # {id: (Accounting, …)}; one for each attempt, oldest first

`poll`, `account` and `find` raise SchedulerOutage where there was no answer: that is no news, and
never a state. `state.decide` puts result.json, queue and accounting together.

Written by hand. PSI/J asks only the queue (of Slurm, `squeue`) and lists jobs by id: there is no
accounting, and no job found by the name that it was to get. submitit pickles Python functions for
Slurm, dask-jobqueue starts Dask workers, DRMAA needs a C library that the site has to provide.

`submit` refuses (SubmissionRefused) what the scheduler will not take. A script gets nothing but
its arguments: never put the text of a user anywhere but into a file that the job reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from nbpipe.reference import spelling
from nbpipe.reference.errors import SchedulerOutage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from nbpipe.reference.profiles import Profile

AT_ONCE = 100
"""Ids in one question; more make a slow answer for everybody on the cluster."""


class JobState(StrEnum):
    """What has become of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    """It ended by itself with exit code 0."""
    FAILED = "failed"
    """It ended by itself with another code, or of a signal of its own doing."""
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    NODE_FAIL = "node-fail"
    PREEMPTED = "preempted"
    """It had to give way and was not queued again."""
    REQUEUED = "requeued"
    """One attempt of a job that was queued again."""
    LOST = "lost"
    """Neither result, queue nor accounting knows it."""
    UNKNOWN = "unknown"
    """Not heard of yet, or the scheduler used a word that we do not know."""

    @property
    def ended(self) -> bool:
        """Return whether nothing more will happen."""
        return self not in _GOING_ON


_GOING_ON = {JobState.PENDING, JobState.RUNNING, JobState.REQUEUED, JobState.UNKNOWN}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """One job, or the pattern of an array's tasks."""

    name: str
    """Unique, so that the job can be found by it."""
    command: tuple[str, ...]
    """A constant script and its arguments. Every scheduler gets it as a list."""
    folder: Path
    """The working directory."""
    stdout: Path
    """A task of an array writes to this name with `.INDEX` added."""
    stderr: Path
    profile: Profile
    warning: int = 120
    """Seconds before the limit at which the script gets `Traits.warning`; 0: never."""
    after: tuple[str, ...] = ()
    """Ids of jobs that must have ended first; see `Traits.dependencies`."""
    requeue: bool = True
    """Whether the scheduler may queue it again after preemption or the loss of a node."""

    def __post_init__(self) -> None:
        """Refuse every text that a scheduler could read as more than it is.

        Raises:
            UsageError: One is such.
        """
        spelling.job_name(self.name)
        for what in ("folder", "stdout", "stderr"):
            spelling.path(str(getattr(self, what)), f"the job's {what}")
        for word in self.command:
            spelling.path(word, "the job's command")
        for job in self.after:
            spelling.job_id(job)

    @property
    def grace(self) -> int | None:
        """Return the second of the job's time at which it is warned, None for never."""
        limit = self.profile.walltime
        return limit - self.warning if limit and 0 < self.warning < limit else None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """What the queue says."""

    id: str
    state: JobState
    said: str = ""
    """The scheduler's own word for the state."""
    reason: str = ""
    """Why it waits, or how it ended."""
    advice: str = ""
    """What a person can do about a job that will never start as it is."""
    name: str = ""
    """The job's name, where the queue tells it."""
    submitted: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounting:
    """What the accounting says of one attempt of a job."""

    id: str
    state: JobState
    said: str = ""
    """The scheduler's own words: `CANCELLED by 0`, `37 : qmaster enforced h_rt limit`."""
    exit_code: int | None = None
    signal: int | None = None
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    elapsed: float = 0.0
    """Seconds."""
    cores: int = 0
    """Allocated, on all nodes."""
    core_seconds: float = 0.0
    """Allocated cores x elapsed seconds: what is charged."""
    cpu_seconds: float | None = None
    """Used; unknown for a job that was killed."""
    peak_memory: int | None = None
    """Bytes of the task that had most."""
    requested_memory: int | None = None
    """Bytes on each node."""
    hosts: str = ""
    name: str = ""
    """The job's name, where the accounting tells it: ids are given out again after years."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What a scheduler can do, and how we know."""

    warning: int | None
    """The signal that comes before the limit; None: the job must watch its own clock."""
    dependencies: Literal["success", "end"] | None
    """`after` waits for their success, for their end, or cannot be had."""
    arrays: bool = True
    evidence: Literal["real daemons", "documented outputs"] = "documented outputs"
    """What our tests of it stand on."""


class Scheduler(Protocol):
    """A scheduler. A site's own needs no base class, only these methods."""

    name: str
    traits: Traits

    def submit(self, request: JobRequest) -> str:
        """Submit a job; return its id.

        Raises:
            SubmissionRefused: The scheduler will not take it.
            SchedulerOutage: No answer: taken or not is unknown, `find` its name.
            SchedulerMissing: Its programs are not on this machine.
        """

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit tasks with indices 1 to `count`; return their ids.

        Raises:
            SubmissionRefused, SchedulerOutage, SchedulerMissing: As for `submit`.
        """

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what the queue knows of these jobs; it may know nothing of some.

        Raises:
            SchedulerOutage: No answer, or none that can be understood.
        """

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return the accounting of these jobs, each attempt, oldest first.

        Raises:
            SchedulerOutage: No answer, or none that can be understood; a `NoAccounting` where
                none is kept.
        """

    def cancel(self, jobs: Collection[str]) -> None:
        """Ask for an end of these jobs; those that have ended are passed over.

        Raises:
            SchedulerOutage: No answer.
        """

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name, in the queue or ended; () for none.

        Raises:
            SchedulerOutage: No answer.
        """


def batches(jobs: Collection[str]) -> list[Sequence[str]]:
    """Return the ids in portions of at most `AT_ONCE`, each id checked and once.

    Raises:
        UsageError: One is no job's id.
    """
    ids = [spelling.job_id(job) for job in dict.fromkeys(jobs)]
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]


Known: TypeAlias = "Mapping[str, JobState]"
"""A scheduler's words -> ours."""


class NoAccounting(SchedulerOutage):
    """The scheduler keeps no accounting; what its queue still remembers is in `found`."""

    def __init__(self, message: str, found: Mapping[str, tuple[Accounting, ...]]) -> None:
        super().__init__(message, hint="Core-hours of older jobs cannot be known.")
        self.found = dict(found)
