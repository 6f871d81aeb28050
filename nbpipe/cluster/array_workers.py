"""Workers as a job array of a scheduler: they survive whoever started them, end by themselves."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

from nbpipe.batch.run_views import signal_name
from nbpipe.batch.submission import script
from nbpipe.cluster import exchange
from nbpipe.reference import looks, store
from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.looks import Followed
from nbpipe.reference.schedulers.protocol import JobRequest, JobState
from nbpipe.reference.state import Standing

if TYPE_CHECKING:
    from nbpipe.cluster.exchange import Exchange
    from nbpipe.reference.profiles import Profile
    from nbpipe.reference.schedulers.protocol import Scheduler

KIND = "array"
_ASK = 2.0
"""Seconds between two questions to the scheduler, at least."""
_PATIENCE = 60.0
"""Seconds that workers get to end by themselves before they are cancelled."""
_FIND = 5.0
"""Seconds between two questions whether a submission without an answer was taken."""


class ArrayWorkers:
    """One job array; a restart of what was lost is another one."""

    def __init__(self, scheduler: Scheduler, profile: Profile, count: int) -> None:
        """Take the scheduler, what each worker gets, and how many there are at most."""
        self._scheduler = scheduler
        self._profile = profile
        self.count = count
        self._jobs: dict[str, Standing] = {}
        self._asked = 0.0
        self._pause = _ASK

    def start(self, shared: Exchange, portions: int) -> None:
        """Submit workers (see `Workers`)."""
        folder = shared.folder
        request = JobRequest(
            name=f"nbpipe-test-{secrets.token_hex(6)}",
            command=(str(script(folder, self._profile, module=exchange.WORKER)), str(folder)),
            folder=folder,
            stdout=folder / "worker.out",
            stderr=folder / "worker.err",
            profile=self._profile,
            requeue=False,
        )
        where = {"kind": KIND, "scheduler": self._scheduler.name, "name": request.name}
        store.write_json(folder / exchange.WORKERS, where)
        jobs = self._submit(request, min(self.count, portions))
        store.write_json(folder / exchange.WORKERS, {**where, "jobs": list(jobs)})
        self._follow(jobs)

    def find(self, where: dict[str, Any]) -> None:
        """Follow workers that another client started.

        Args:
            where: What it wrote down of them.

        Raises:
            SchedulerOutage: It died while it submitted them, and nobody knows whether they are.
        """
        self._follow(where.get("jobs") or self._scheduler.find(where["name"]))
        self._asked = 0.0

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

    def stop(self, *, ended: int) -> None:
        """Cancel what waits, wait for what works, then cancel that, too (see `Workers`)."""
        if ended >= len(self._jobs):
            return
        deadline = time.monotonic() + _PATIENCE
        self._pause = 0.0
        while time.monotonic() < deadline and self.lost() is None:
            self._cancel(JobState.PENDING)
            self._pause = min(self._pause, _ASK)
            time.sleep(0.2)
        self._cancel()

    def _submit(self, request: JobRequest, count: int) -> tuple[str, ...]:
        """Submit workers, and look for them where the scheduler's answer did not come."""
        try:
            return self._scheduler.submit_array(request, count)
        except SchedulerOutage:
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:
                with contextlib.suppress(SchedulerOutage):
                    if jobs := self._scheduler.find(request.name):
                        return jobs
                time.sleep(_FIND)
            raise

    def _follow(self, jobs: tuple[str, ...] | list[str]) -> None:
        self._jobs = dict.fromkeys(jobs, Standing())
        self._asked = time.monotonic()

    def _cancel(self, *states: JobState) -> None:
        """Cancel those that have not ended; of these states alone, where any are given."""
        left = [
            job
            for job, standing in self._jobs.items()
            if (standing.state in states if states else not standing.state.ended)
        ]
        if left:
            with contextlib.suppress(SchedulerOutage):
                self._scheduler.cancel(left)

    def _ask(self) -> None:
        followed = [
            Followed(id=job, standing=standing, memory=self._profile.memory)
            for job, standing in self._jobs.items()
        ]
        self._jobs = looks.look(self._scheduler, followed, now=time.monotonic())
        self._asked = time.monotonic()
        self._pause = max((each.pause for each in self._jobs.values()), default=_ASK)


def _told(standing: Standing) -> str:
    if standing.state is JobState.FAILED and standing.signal:
        return f"killed by {signal_name(standing.signal)}"
    if standing.state is JobState.FAILED and standing.exit_code is not None:
        return f"failed with exit code {standing.exit_code}"
    return standing.state.value
