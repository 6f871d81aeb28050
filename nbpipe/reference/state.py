"""What has become of a job: one decision from three sources, and nothing else.

In this order: the `result.json` that the job's own wrapper writes atomically, the live queue, the
accounting. A job is never completed because it cannot be seen: missing everywhere for longer
than `GRACE` it is lost. A question without an answer is no news: what was known stays, and the
next question waits longer.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nbpipe.reference.schedulers.protocol import Accounting, JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE = 60.0
"""Seconds that a job may be missing everywhere: accounting is seconds late."""
SETTLE = 15.0
"""Seconds that details (memory of a killed job, who cancelled) may come later than an end."""
_PATIENCE = {JobState.COMPLETED: 0.0, JobState.FAILED: GRACE}
"""Seconds that the accounting may add to the queue's word: cause, exit code, by whom; or SETTLE."""
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_KILL = int(signal.SIGKILL)
_ENDING = {_KILL, int(signal.SIGTERM)}
"""Signals with which schedulers end a job that was cancelled."""
_REPEATED = {JobState.PREEMPTED, JobState.NODE_FAIL, JobState.REQUEUED}
"""Ends of an attempt after which the scheduler may queue the job again."""
_TOLD_TO_STOP = {JobState.CANCELLED, JobState.TIMEOUT, *_REPEATED}
_LOST = "how it ended can only be seen in what it left: its output and its products"
_NEAR_LIMIT = 180.0
"""Seconds before the limit in which a TERM is taken for the warning of it."""


class NoNews(StrEnum):
    """Why a source says nothing."""

    OUTAGE = "outage"
    """It was asked and gave no answer."""
    NOT_ASKED = "not asked"
    NOT_KEPT = "not kept"
    """There is nothing to ask: this scheduler keeps no accounting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """What result.json says about the end of a job."""

    exit_code: int
    stopped_by: int | None = None
    """The signal that told the job to stop early, after which it ended by itself."""
    elapsed: float = 0.0
    """Seconds."""
    out_of_memory: bool = False
    """Whether it ended because it got no more memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that is known about a job at one moment."""

    result: JobResult | None
    queue: JobStatus | NoNews | None
    """None: it was asked, and does not know the job."""
    accounting: Sequence[Accounting] | NoNews
    """Attempts, oldest first; empty: it was asked, and does not know the job."""
    trouble: str = ""
    """Why a question got no answer."""
    now: float
    """Seconds of any clock that runs on."""
    walltime: int | None = None
    """Seconds asked for."""
    memory: int | None = None
    """Bytes asked for on each node; Slurm's accounting knows them later than a job's end."""
    cancelled: bool = False
    """Whether we asked for an end; Grid Engine does not tell a deletion from a kill."""

    @property
    def failed(self) -> bool:
        """Return whether a question got no answer."""
        return NoNews.OUTAGE in (self.queue, self.accounting)

    @property
    def queued(self) -> JobStatus | None:
        """Return the queue's answer, if it knows the job."""
        return self.queue if isinstance(self.queue, JobStatus) else None

    @property
    def records(self) -> Sequence[Accounting]:
        """Return the accounting's attempts, if it was asked and answered."""
        return () if isinstance(self.accounting, NoNews) else self.accounting

    @property
    def unknown_to_all(self) -> bool:
        """Return whether both answered, and neither has a job that goes on or has ended."""
        silent = self.accounting in (NoNews.OUTAGE, NoNews.NOT_ASKED)
        return self.queue is None and not silent

    @property
    def may_tell_more(self) -> bool:
        """Return whether the accounting may soon know an end that it does not know yet."""
        ended = self.records and self.records[-1].state.ended
        return not ended and self.accounting is not NoNews.NOT_KEPT


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is held to be true of a job; kept from one look to the next."""

    state: JobState = JobState.UNKNOWN
    source: str = ""
    """`result`, `queue`, `accounting`, `nowhere`; "" before anything was heard."""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    unsettled_since: float | None = None
    """When the sources first told less than is needed: job missing, cause of a failure open."""
    failures: int = 0
    """Questions without an answer, one after the other."""
    advice: str = ""
    """What a person can do about a job that will not start, or whose end nobody knows."""
    trouble: str = ""
    """Why the last question got no answer; "" where it did."""

    @property
    def pause(self) -> float:
        """Return seconds until the next question: twice as long after each failure."""
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * (1 << min(self.failures, 10)))


def decide(last: Standing, seen: Evidence) -> Standing:
    """Return what holds of a job now, given what held before and what is seen."""
    if last.state.ended and last.state is not JobState.LOST:
        return replace(last, trouble="")
    last = replace(
        last,
        failures=last.failures + 1 if seen.failed else 0,
        trouble=seen.trouble if seen.failed else "",
    )
    for source in (_result, _going_on, _accounted, _ended_in_queue, _missing):
        if (found := source(last, seen)) is not None:
            return replace(found, failures=last.failures, trouble=last.trouble)
    return last


def beside(standing: Standing, attempts: Sequence[Accounting]) -> Standing:
    """Return how a job stands, with what the accounting says against its own result.

    Such as a child process of the notebook that was killed for its memory: the notebook passed
    all the same, and people must know. The accounting is later than the result, so this is asked
    again whenever more is known.

    Args:
        standing: How the job stands.
        attempts: What the accounting says, oldest first.
    """
    if standing.source != "result" or standing.state is not JobState.COMPLETED or not attempts:
        return standing
    against = final(attempts[-1])
    if not against.state.ended or against.state in {JobState.COMPLETED, *_REPEATED}:
        return standing
    words = against.reason or against.state.value
    return replace(standing, reason=f"exit code 0, while the accounting says {words}")


def final(record: Accounting, memory: int | None = None) -> Standing:
    """Return what the accounting of one attempt means.

    A memory kill is not always called one: the job was killed (signal 9) and had, at its peak, at
    least what was asked for.

    Args:
        record: The attempt.
        memory: Bytes asked for, where the accounting does not say.
    """
    state, requested = record.state, record.requested_memory or memory
    full = record.peak_memory and requested and record.peak_memory >= requested
    if state is JobState.FAILED and record.signal == _KILL and full:
        state = JobState.OUT_OF_MEMORY
    return Standing(
        state=state,
        source="accounting",
        reason=record.said,
        exit_code=record.exit_code,
        signal=record.signal,
    )


def accounted(standing: Standing, attempts: Sequence[Accounting]) -> bool:
    """Return whether the accounting, which is late, knows the end of the attempt that counts.

    Args:
        standing: How the job ended.
        attempts: What the accounting says, oldest first.
    """
    last = attempts[-1].state if attempts else JobState.UNKNOWN
    return last.ended and (last not in _REPEATED or last is standing.state)


def core_hours(attempts: Sequence[Accounting]) -> float:
    """Return allocated cores x hours of all attempts, those that were queued again too."""
    return sum(attempt.core_seconds for attempt in attempts) / 3600


def _result(last: Standing, seen: Evidence) -> Standing | None:
    """Return what the job itself wrote down; of a job that waits, it is an earlier attempt's."""
    result, queued = seen.result, seen.queued
    if result is None or (queued and queued.state in {JobState.PENDING, JobState.REQUEUED}):
        return None
    told = Standing(
        state=JobState.COMPLETED if result.exit_code == 0 else JobState.FAILED,
        source="result",
        reason=f"exit code {result.exit_code}",
        exit_code=result.exit_code,
        signal=result.stopped_by,
    )
    if result.out_of_memory:
        return replace(told, state=JobState.OUT_OF_MEMORY, reason="no more memory")
    if result.stopped_by is not None:
        return _stopped(last, told, result, seen)
    return beside(told, seen.records)


def _stopped(last: Standing, told: Standing, result: JobResult, seen: Evidence) -> Standing | None:
    """Return why a job was told to stop: what accounting or queue say, or its limit."""
    if seen.records and (verdict := final(seen.records[-1], seen.memory)).state in _TOLD_TO_STOP:
        return replace(told, state=verdict.state, reason=verdict.reason)
    queued = seen.queued
    if queued and queued.state in {JobState.CANCELLED, JobState.TIMEOUT}:
        return replace(told, state=queued.state, reason=queued.reason or queued.said)
    limit = seen.walltime
    if limit and not seen.cancelled and result.elapsed >= limit - _NEAR_LIMIT:
        # Of a short job every second is near the limit: who told it to stop is soon known.
        if seen.may_tell_more and not _waited(last, seen, SETTLE):
            return replace(last, unsettled_since=_since(last, seen))
        return replace(told, state=JobState.TIMEOUT, reason="warned of the time limit")
    if queued and not queued.state.ended:
        return None  # about to end, or an earlier attempt's result
    return replace(told, state=JobState.CANCELLED, reason=f"stopped by {_name(told.signal)}")


def _going_on(last: Standing, seen: Evidence) -> Standing | None:
    queued = seen.queued
    if queued is None or queued.state.ended:
        return None
    if queued.state is JobState.UNKNOWN:
        return replace(last, reason=f"the queue says {queued.said}", unsettled_since=None)
    return Standing(state=queued.state, source="queue", reason=queued.reason, advice=queued.advice)


def _accounted(last: Standing, seen: Evidence) -> Standing | None:
    """Return the last attempt's end; not of one that may be queued again unseen."""
    if not seen.records:
        return None
    record = seen.records[-1]
    verdict = final(record, seen.memory)
    if not verdict.state.ended:
        return None
    if verdict.state in _REPEATED and not _same_attempt(verdict, seen):
        return None
    if seen.cancelled and verdict.state is JobState.FAILED and verdict.signal in _ENDING:
        return replace(verdict, state=JobState.CANCELLED)
    measured = record.peak_memory and (record.requested_memory or seen.memory)
    killed = verdict.state is JobState.FAILED and verdict.signal == _KILL
    if killed and not measured and not _waited(last, seen, SETTLE):
        return replace(last, unsettled_since=_since(last, seen))
    return verdict


def _same_attempt(verdict: Standing, seen: Evidence) -> bool:
    """Return whether the queue agrees; accounting that is late knows an earlier attempt only."""
    if isinstance(seen.queue, NoNews):
        return False
    return seen.queued is None or seen.queued.state is verdict.state


def _ended_in_queue(last: Standing, seen: Evidence) -> Standing | None:
    """Return the queue's word; for what it does not tell the accounting is waited for."""
    queued = seen.queued
    if queued is None:
        return None
    if not _waited(last, seen, _PATIENCE.get(queued.state, SETTLE)):
        return replace(last, unsettled_since=_since(last, seen))
    return Standing(
        state=queued.state,
        source="queue",
        reason=queued.reason or queued.said,
        advice=queued.advice,
        exit_code=0 if queued.state is JobState.COMPLETED else None,
    )


def _missing(last: Standing, seen: Evidence) -> Standing | None:
    """Return LOST for a job that no source has known for long, or none but as going on."""
    if not seen.unknown_to_all or last.state is JobState.LOST:
        return None
    if not _waited(last, seen, GRACE):
        return replace(last, unsettled_since=_since(last, seen))
    reason = "neither result, queue nor accounting knows it"
    if seen.accounting is NoNews.NOT_KEPT:
        reason = "neither result nor queue knows it, and the scheduler keeps no accounting"
    if seen.records:
        reason = f"the accounting says {seen.records[-1].said}, the queue does not know it"
    return Standing(state=JobState.LOST, source="nowhere", reason=reason, advice=_LOST)


def _since(last: Standing, seen: Evidence) -> float:
    return seen.now if last.unsettled_since is None else last.unsettled_since


def _waited(last: Standing, seen: Evidence, seconds: float) -> bool:
    return seen.now - _since(last, seen) >= seconds


def _name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"
