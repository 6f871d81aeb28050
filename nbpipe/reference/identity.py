"""Which of several jobs with one id is meant: schedulers give ids out again.

Slurm begins anew at MaxJobId, Grid Engine and PBS after some millions, a scheduler that was
installed again at 1; the accounting then knows several jobs of one id, and the queue may know a
stranger's. The job's name and the moment of its submission tell them apart. Values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.reference.schedulers.protocol import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nbpipe.reference.schedulers.protocol import Accounting, JobStatus

SKEW = 60.0
"""Seconds by which the clocks of two hosts may differ."""
_REPEATED = {JobState.PREEMPTED, JobState.NODE_FAIL, JobState.REQUEUED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What is known of a job besides its id; nothing by default, and then every job is it."""

    name: str = ""
    earliest: float | None = None
    """It was not submitted before this moment: seconds since 1970."""
    latest: float | None = None
    """Its scheduler had taken it by this moment."""

    def is_of(self, status: JobStatus) -> bool:
        """Return whether the queue speaks of this job."""
        if status.submitted and self._before(status.submitted):
            return False
        if not self.name or not status.name or _same(self.name, status.name):
            return True
        return self._at_submission(status.submitted)  # a site may rename jobs

    def attempts(self, records: Sequence[Accounting]) -> tuple[Accounting, ...]:
        """Return the attempts of this job among those of all jobs with its id, oldest first."""
        if self.earliest is None and not self.name:
            return tuple(records)
        later = [each for each in records if not (each.submitted and self._before(each.submitted))]
        if not self.name:
            return _first_job(later)
        named = [each for each in later if not each.name or _same(self.name, each.name)]
        return tuple(named or (each for each in later if self._at_submission(each.submitted)))

    def _before(self, moment: datetime) -> bool:
        return self.earliest is not None and moment.timestamp() < self.earliest - SKEW

    def _at_submission(self, moment: datetime | None) -> bool:
        if moment is None or self.latest is None:
            return False
        return not self._before(moment) and moment.timestamp() <= self.latest + SKEW


def _first_job(records: Sequence[Accounting]) -> tuple[Accounting, ...]:
    """Return the attempts of the oldest job: those of its name, up to one that is not repeated."""
    kept: list[Accounting] = []
    for each in records:
        if kept and each.name and kept[0].name and each.name != kept[0].name:
            break
        kept.append(each)
        if each.state.ended and each.state not in _REPEATED:
            break
    return tuple(kept)


def _same(known: str, told: str) -> bool:
    """Return whether two names can be one; some programs cut names short, LSF adds `[1-3]`."""
    short = told.partition("[")[0].strip("*")
    return bool(short) and (known.startswith(short) or known.endswith(short))
