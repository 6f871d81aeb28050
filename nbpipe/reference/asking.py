"""One look at jobs: asks queue and accounting in as few questions as possible, then decides.

    standings = asking.look(scheduler, [Followed(id=job, standing=last, result=…)], now=…)

Call it again after the longest `pause` of the standings; keep each standing between the calls (it
can be stored: it holds only texts and numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.state import Evidence, JobResult, NoNews, Standing, decide

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nbpipe.reference.schedulers.protocol import Accounting, JobStatus, Scheduler

    Attempts = tuple[Accounting, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A job that is followed, with all that is known without asking."""

    id: str
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
    open_ones = [job.id for job in jobs if not _settled(job.standing)]
    queue = _polled(scheduler, open_ones)
    gone = [job for job in open_ones if not _goes_on(queue, job)]
    accounts = _accounted(scheduler, gone)
    return {
        job.id: decide(
            job.standing,
            Evidence(
                result=job.result,
                queue=queue if isinstance(queue, NoNews) else queue.get(job.id),
                accounting=_attempts(accounts, job.id, gone),
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


def _polled(scheduler: Scheduler, jobs: Collection[str]) -> dict[str, JobStatus] | NoNews:
    try:
        return scheduler.poll(jobs) if jobs else NoNews.NOT_ASKED
    except SchedulerOutage:
        return NoNews.OUTAGE


def _accounted(scheduler: Scheduler, jobs: Collection[str]) -> Mapping[str, Attempts] | NoNews:
    try:
        return scheduler.account(jobs) if jobs else NoNews.NOT_ASKED
    except SchedulerOutage:
        return NoNews.OUTAGE


def _goes_on(queue: dict[str, JobStatus] | NoNews, job: str) -> bool:
    if isinstance(queue, NoNews) or job not in queue:
        return False
    return not queue[job].state.ended and queue[job].state is not JobState.UNKNOWN


def _attempts(
    accounts: Mapping[str, Attempts] | NoNews, job: str, asked: Collection[str]
) -> Attempts | NoNews:
    if isinstance(accounts, NoNews):
        return accounts
    return accounts.get(job, ()) if job in asked else NoNews.NOT_ASKED
