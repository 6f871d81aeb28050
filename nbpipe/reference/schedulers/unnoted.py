"""Jobs of a run that nobody noted: which of the jobs a scheduler knows were submitted by it.

A scheduler that can say how its jobs were submitted has one method more than `Scheduler`:

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions

`belongs` decides, from values alone. A job is the run's only by a certain mark: its working folder
lies in the run's own folder, it was submitted by a process of the run (Slurm keeps the host and the
session id of the submitter), or it carries the run's variables. What is merely plausible, such as
a job that waits for one of the run's, is `related`: it is reported and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from nbpipe.reference.schedulers.protocol import JobState

CLOCKS = 60.0
"""Seconds that the clocks of a scheduler and of the hosts of a run may be apart."""
_HERE = "localhost"
"""What Slurm keeps as the submitter's host on the controller's own machine."""


class How(StrEnum):
    """How a job was found to be a run's."""

    NOTED = "noted at submission"
    FOLDER = "found by its work directory"
    SESSION = "found by the session that submitted it"
    VARIABLES = "found by the run's variables in its environment"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A job as a scheduler knows it was submitted."""

    id: str
    submitted: float | None = None
    """Seconds since 1970."""
    folders: tuple[str, ...] = ()
    """Where it was submitted, and where it runs."""
    host: str = ""
    """The host of the submitter."""
    session: int | None = None
    """The session id of the submitter's process."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Its environment, as far as the scheduler tells."""
    after: tuple[str, ...] = ()
    """Ids of the jobs that it waits for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A part of a job that the accounting keeps apart, such as a call of srun in it."""

    id: str
    name: str
    state: JobState
    exit: int | None = None
    """The exit code; None where a signal ended it."""
    seconds: float = 0.0
    cores: int = 0
    call: str = ""
    """The command line, where the accounting keeps it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submissions:
    """A scheduler's answer."""

    jobs: tuple[Seen, ...] = ()
    blind: str = ""
    """What the answer leaves out; "" for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """What a run leaves on the jobs that it submits."""

    folder: Path
    """The run's own, which belongs to nothing else."""
    sessions: frozenset[tuple[str, int]] = frozenset()
    """Host and session id of its processes."""
    since: float = 0.0
    """When it was submitted; seconds since 1970."""
    until: float | None = None
    """When the last of its known jobs ended; None: one goes on, or it is not known."""


@runtime_checkable
class Searchable(Protocol):
    """A scheduler that can say how the jobs of this user were submitted."""

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        """Return the jobs of this user that were submitted since then, as far as it knows them.

        Args:
            since: Jobs that were submitted earlier may be in the answer, too.
            near: Ids of jobs of the run: where they are (on which cluster), others may be.
            ended: Ask about the jobs that left the queue, in place of those that are in it.

        Raises:
            SchedulerOutage: No answer, or none that can be understood.
            SchedulerMissing: Its programs are not on this machine.
        """


@runtime_checkable
class HasSteps(Protocol):
    """A scheduler whose accounting keeps the steps of jobs apart."""

    def steps(self, jobs: Collection[str]) -> dict[str, tuple[Step, ...]]:
        """Return the steps of these jobs, as far as it has some.

        Raises:
            SchedulerOutage: No answer, or none that can be understood.
            SchedulerMissing: Its programs are not on this machine.
        """


def belongs(seen: Seen, marks: Marks) -> How | None:
    """Return by what a job is certainly the run's; None where it is not."""
    if seen.submitted is not None:
        if seen.submitted < marks.since - CLOCKS:
            return None
        if marks.until is not None and seen.submitted > marks.until + CLOCKS:
            return None  # by hand, by somebody who looked into the run's folder later
    roots = {marks.folder, marks.folder.resolve()}
    if any(PurePath(each).is_relative_to(root) for each in seen.folders for root in roots):
        return How.FOLDER
    notes = seen.variables.get("NBPIPE_CHILDREN")
    if notes and PurePath(notes).parent in roots:
        return How.VARIABLES
    hosts = {host for host, session in marks.sessions if session == seen.session}
    short = seen.host.partition(".")[0]
    # The time bounds it: a session id is used again, but not while the session lives.
    if hosts and seen.submitted is not None and (short in hosts or short == _HERE):
        return How.SESSION
    return None


def related(seen: Seen, jobs: Collection[str]) -> str:
    """Return why a job may have to do with a run, which is not certain; "" for no reason.

    Args:
        seen: The job.
        jobs: The numbers of the run's jobs on the same scheduler.
    """
    waits = [each for each in seen.after if each in jobs]
    return f"it waits for job {', '.join(waits)}" if waits else ""
