"""Workers as a job array of a scheduler: they survive whoever started them, end by themselves."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from nbpipe.batch.following import signal_name
from nbpipe.batch.submission import script
from nbpipe.reference import asking
from nbpipe.reference.asking import Followed
from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.schedulers.protocol import JobRequest, JobState
from nbpipe.reference.state import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.profiles import Profile
    from nbpipe.reference.schedulers.protocol import Scheduler

_ASK = 2.0
"""Seconds between two questions to the scheduler, at least."""
_PATIENCE = 60.0
"""Seconds that workers get to end by themselves before they are cancelled."""


class ArrayWorkers:
    """One job array; a restart of what was lost is another one."""

    def __init__(self, scheduler: Scheduler, profile: Profile, count: int) -> None:
        """Take the scheduler, what each worker gets, and how many there are at most."""
        self._scheduler = scheduler
        self._profile = profile
        self._count = count
        self._jobs: dict[str, Standing] = {}
        self._asked = 0.0
        self._pause = _ASK

    def start(self, folder: Path, portions: list[str]) -> None:
        """Submit workers (see `Workers`)."""
        request = JobRequest(
            name=f"nbpipe-test-{secrets.token_hex(6)}",
            command=(str(script(folder, self._profile)), str(folder)),
            folder=folder,
            stdout=folder / "worker.out",
            stderr=folder / "worker.err",
            profile=self._profile,
            requeue=False,
        )
        count = min(self._count, len(portions))
        self._jobs = dict.fromkeys(self._scheduler.submit_array(request, count), Standing())
        self._asked = time.monotonic()

    def lost(self) -> str | None:
        """Return how the workers ended, once all have (see `Workers`)."""
        if not self._jobs:
            return "none was started"
        if time.monotonic() - self._asked >= self._pause:
            self._ask()
        if not all(each.state.ended for each in self._jobs.values()):
            return None
        ends = sorted({_told(each) for each in self._jobs.values() if each.state.ended})
        bad = [each for each in ends if each != JobState.COMPLETED.value]
        return ", ".join(bad or ends)

    def stop(self) -> None:
        """Wait for the workers to end, then cancel those that do not (see `Workers`)."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self.lost() is None:
            time.sleep(0.2)
        left = [job for job, standing in self._jobs.items() if not standing.state.ended]
        if left:
            with contextlib.suppress(SchedulerOutage):
                self._scheduler.cancel(left)

    def _ask(self) -> None:
        followed = [
            Followed(id=job, standing=standing, memory=self._profile.memory)
            for job, standing in self._jobs.items()
        ]
        self._jobs = asking.look(self._scheduler, followed, now=time.monotonic())
        self._asked = time.monotonic()
        self._pause = max((each.pause for each in self._jobs.values()), default=_ASK)


def _told(standing: Standing) -> str:
    if standing.state is JobState.FAILED and standing.signal:
        return f"killed by {signal_name(standing.signal)}"
    if standing.state is JobState.FAILED and standing.exit_code is not None:
        return f"failed with exit code {standing.exit_code}"
    return standing.state.value
