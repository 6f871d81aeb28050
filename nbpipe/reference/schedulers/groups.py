"""Jobs that a scheduler has one id for and lists as several: arrays, heterogeneous jobs.

Whoever submitted such a job got one id (`5001`); queue and accounting speak of its tasks (`5001_1`,
`5001+0`, `5001.1`, `17.0`). Asked about the one id, the whole is what its parts are: it goes on
while one of them does, and has ended as the worst of them. Values only.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.reference.schedulers.protocol import Accounting, JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    Attempts = tuple[Accounting, ...]

_FIRST = (
    *(JobState.RUNNING, JobState.REQUEUED, JobState.PENDING, JobState.UNKNOWN),
    *(JobState.OUT_OF_MEMORY, JobState.TIMEOUT, JobState.NODE_FAIL, JobState.FAILED),
    *(JobState.PREEMPTED, JobState.CANCELLED, JobState.LOST, JobState.COMPLETED),
)
"""Which of its parts' states is the whole's: the first that one of them has."""


def queued(
    jobs: Collection[str], found: Mapping[str, JobStatus], separators: str
) -> dict[str, JobStatus]:
    """Return what a queue's answer says of each job, of one with parts by them.

    Args:
        jobs: The ids that are asked about.
        found: The ids in the answer.
        separators: Characters that stand between a job's id and its part's.
    """
    statuses = {}
    for job in jobs:
        parts = [found[each] for each in _parts(job, found, separators)]
        if parts:
            leading = min(parts, key=lambda each: _FIRST.index(each.state))
            statuses[job] = replace(leading, id=job)
    return statuses


def accounted(
    jobs: Collection[str], found: Mapping[str, Attempts], separators: str
) -> dict[str, Attempts]:
    """Return what an accounting's answer says of each job, of one with parts by them.

    Args:
        jobs: The ids that are asked about.
        found: The ids in the answer.
        separators: Characters that stand between a job's id and its part's.
    """
    records = {}
    for job in jobs:
        parts = [each for each in _parts(job, found, separators) if found[each]]
        if job in parts and len(parts) == 1:
            records[job] = found[job]
        elif parts:
            records[job] = tuple(_wholes(job, {each: found[each] for each in parts}))
    return records


def bare(job: str) -> str:
    """Return an id as schedulers write it: without leading zeros."""
    return re.sub(r"^0+(?=\d)", "", job)


def _parts(job: str, known: Iterable[str], separators: str) -> list[str]:
    """Return the ids that are this job: its own, and those of its parts."""
    number = bare(job)
    return [
        each
        for each in known
        if each in {job, number}
        or (each.startswith(number) and each[len(number) : len(number) + 1] in set(separators))
    ]


def _wholes(job: str, parts: Mapping[str, Attempts]) -> Iterable[Accounting]:
    """Yield a record of each of the jobs that had this id: those with parts, and those without.

    An id is given out again after years. An array and a job without parts are two jobs, and so
    are two of different names.
    """
    jobs: dict[tuple[bool, str], list[Attempts]] = {}
    some = next((each.name for every in parts.values() for each in every if each.name), "")
    for part, attempts in parts.items():
        single = part in {job, bare(job)}
        for name in dict.fromkeys(each.name or some for each in attempts):
            own = tuple(each for each in attempts if (each.name or some) == name)
            jobs.setdefault((single, name), []).append(own)
    wholes: list[Accounting] = []
    for (single, _), each in jobs.items():
        wholes += each[0] if single and len(each) == 1 else [_whole(job, each)]
    return sorted(wholes, key=lambda each: each.submitted.timestamp() if each.submitted else 0.0)


def _whole(job: str, parts: Sequence[Attempts]) -> Accounting:
    """Return one record of several jobs: the sums of what they took, all attempts included."""
    last = [attempts[-1] for attempts in parts]
    every = [attempt for attempts in parts for attempt in attempts]
    leading = min(last, key=lambda each: _FIRST.index(each.state))
    started, ended = _earliest(each.started for each in every), _latest(each.ended for each in last)
    used = [each.cpu_seconds for each in every]
    return Accounting(
        id=job,
        state=leading.state,
        said=leading.said,
        exit_code=leading.exit_code,
        signal=leading.signal,
        submitted=_earliest(each.submitted for each in every),
        started=started,
        ended=ended if leading.state.ended else None,
        elapsed=(ended - started).total_seconds() if started and ended else 0.0,
        cores=max(each.cores for each in every),
        core_seconds=sum(each.core_seconds for each in every),
        cpu_seconds=sum(each for each in used if each is not None) if any(used) else None,
        peak_memory=max((each.peak_memory or 0 for each in every), default=0) or None,
        requested_memory=max((each.requested_memory or 0 for each in every), default=0) or None,
        name=leading.name,
        hosts=",".join(dict.fromkeys(each.hosts for each in last if each.hosts)),
    )


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((each for each in moments if each is not None), default=None)


def _latest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((each for each in moments if each is not None), default=None)
