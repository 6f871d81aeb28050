"""One look at jobs: asks queue and accounting in as few questions as possible, then decides.

    standings = asking.look(scheduler, [Followed(id=job, standing=last, result=…)], now=…)

Call it again after the longest `pause` of the standings; keep each standing between the calls (it
can be stored: it holds only texts and numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.identity import Identity
from nbpipe.reference.schedulers.protocol import JobState, NoAccounting
from nbpipe.reference.state import Evidence, JobResult, NoNews, Standing, decide

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nbpipe.reference.schedulers.protocol import Accounting, JobStatus, Scheduler

    Attempts = tuple[Accounting, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A job that is followed, with all that is known without asking."""

    id: str
    identity: Identity = field(default_factory=Identity)
    """What tells it from other jobs that had, or have, its id."""
    standing: Standing = field(default_factory=Standing)
    result: JobResult | None = None
    """What its result.json says, if it is there."""
    walltime: int | None = None
    """Seconds asked for."""
    memory: int | None = None
    """Bytes asked for on each node."""
    cancelled: bool = False
    """Whether we asked for an end."""


def look(scheduler: Scheduler, jobs: Collection[Followed], *, now: float) -> dict[str, Standing]:
    """Return what holds of each job now; an outage is no news and no error.

    Args:
        scheduler: Where all of these jobs are.
        jobs: Those that have ended are answered without asking.
        now: Seconds of the clock that was used in earlier looks, too.
    """
    asked = [job for job in jobs if not _settled(job.standing)]
    queue, trouble = _polled(scheduler, asked)
    accounts, silence = _accounted(scheduler, [job for job in asked if not _goes_on(queue, job.id)])
    return {
        job.id: decide(
            job.standing,
            Evidence(
                result=job.result,
                queue=queue if isinstance(queue, NoNews) else queue.get(job.id),
                accounting=accounts.get(job.id, NoNews.NOT_ASKED),
                trouble=trouble or silence,
                now=now,
                walltime=job.walltime,
                memory=job.memory,
                cancelled=job.cancelled,
            ),
        )
        for job in jobs
    }


def _settled(standing: Standing) -> bool:
    return standing.state.ended and standing.state is not JobState.LOST


def _polled(
    scheduler: Scheduler, jobs: Sequence[Followed]
) -> tuple[dict[str, JobStatus] | NoNews, str]:
    """Return what the queue knows of these jobs, and why it says nothing."""
    if not jobs:
        return NoNews.NOT_ASKED, ""
    try:
        found = scheduler.poll([job.id for job in jobs])
    except (SchedulerOutage, SchedulerMissing) as error:
        return NoNews.OUTAGE, words(error)
    own = ((job, found[job.id]) for job in jobs if job.id in found)
    return {job.id: status for job, status in own if job.identity.is_of(status)}, ""


def _accounted(
    scheduler: Scheduler, jobs: Sequence[Followed]
) -> tuple[dict[str, Attempts | NoNews], str]:
    """Return what the accounting knows of each of these jobs, and why it says nothing."""
    if not jobs:
        return {}, ""
    try:
        found = accounting(scheduler, jobs)
    except NoAccounting as error:
        return {job.id: error.found.get(job.id, NoNews.NOT_KEPT) for job in jobs}, ""
    except (SchedulerOutage, SchedulerMissing) as error:
        return dict.fromkeys((job.id for job in jobs), NoNews.OUTAGE), words(error)
    return {job.id: found.get(job.id, ()) for job in jobs}, ""


def accounting(scheduler: Scheduler, jobs: Collection[Followed]) -> dict[str, Attempts]:
    """Return the accounting of these jobs, without that of others that had their ids.

    Raises:
        SchedulerOutage: No answer; a `NoAccounting` where none is kept.
        SchedulerMissing: The scheduler's programs are not on this machine.
    """
    try:
        return _own(scheduler.account([job.id for job in jobs]), jobs)
    except NoAccounting as error:
        raise NoAccounting(str(error.args[0]), _own(error.found, jobs)) from error


def _own(found: Mapping[str, Attempts], jobs: Collection[Followed]) -> dict[str, Attempts]:
    own = {job.id: job.identity.attempts(found.get(job.id, ())) for job in jobs}
    return {job: attempts for job, attempts in own.items() if attempts}


def words(error: SchedulerOutage | SchedulerMissing) -> str:
    """Return an error in one line, with what to do next."""
    return str(error).replace("\n  ", "; ")


def _goes_on(queue: dict[str, JobStatus] | NoNews, job: str) -> bool:
    if isinstance(queue, NoNews) or job not in queue:
        return False
    return not queue[job].state.ended and queue[job].state is not JobState.UNKNOWN
