"""One round of questions to schedulers, however many runs and jobs it is about.

    round_ = Round({"slurm": ["12", "13"]})     # whatever is known beforehand
    round_.scheduler("slurm").poll(["12"])      # asks about both
    round_.scheduler("slurm").poll(["13"])      # knows the answer

What was answered once is not asked again: make a new round for the next look.
A run that has ended can be looked at on any host that sees its folder: only a question to a
scheduler whose package or programs are elsewhere fails, in the words of what is missing (`Absent`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import NoAccounting, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nbpipe.reference.schedulers.protocol import Accounting, JobRequest, JobStatus, Scheduler

Answer = TypeVar("Answer")


class Shared:
    """A scheduler that is asked about each job at most once in a round."""

    def __init__(self, scheduler: Scheduler, expected: Collection[str] = ()) -> None:
        """Take the jobs that somebody will ask about, so that the first question is about all."""
        self.name = scheduler.name
        self.traits = scheduler.traits
        self.missing: SchedulerMissing | None = None
        """Why nothing can be asked from this host; None where it can."""
        self._scheduler = scheduler
        self._expected = expected
        self._polled: dict[str, JobStatus | None] = {}
        self._accounted: dict[str, tuple[Accounting, ...]] = {}
        self._silent: SchedulerOutage | None = None
        self._unkept: NoAccounting | None = None

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what the queue knows of these jobs (see `Scheduler`)."""
        if any(job not in self._polled for job in jobs):
            both = dict.fromkeys((*jobs, *self._expected))
            new = [job for job in both if job not in self._polled]
            found = self._ask(self._scheduler.poll, new)
            self._polled |= {job: found.get(job) for job in new}
        return {job: known for job in jobs if (known := self._polled[job]) is not None}

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return the accounting of these jobs (see `Scheduler`)."""
        new = [job for job in jobs if job not in self._accounted]
        if new:
            try:
                found = self._ask(self._scheduler.account, new)
            except NoAccounting as error:
                self._unkept, found = error, error.found
            self._accounted |= {job: found.get(job, ()) for job in new}
        known = {job: self._accounted[job] for job in jobs if self._accounted[job]}
        if self._unkept is not None and len(known) < len(set(jobs)):
            raise NoAccounting(str(self._unkept.args[0]), known)
        return known

    def _ask(
        self, question: Callable[[Collection[str]], Mapping[str, Answer]], jobs: Collection[str]
    ) -> Mapping[str, Answer]:
        """Return an answer; who gave none is not asked again in this round."""
        if self._silent is not None:
            raise self._silent
        try:
            return question(jobs)
        except NoAccounting:
            raise
        except SchedulerMissing as error:
            self.missing = error
            raise
        except SchedulerOutage as error:
            self._silent = error
            raise

    def submit(self, request: JobRequest) -> str:
        """Submit a job (see `Scheduler`)."""
        return self._scheduler.submit(request)

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit an array (see `Scheduler`)."""
        return self._scheduler.submit_array(request, count, at_once=at_once)

    def cancel(self, jobs: Collection[str]) -> None:
        """Cancel jobs (see `Scheduler`)."""
        self._scheduler.cancel(jobs)

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        return self._scheduler.find(name)


class Round:
    """The schedulers of one look at one or several runs."""

    def __init__(self, expected: Mapping[str, Collection[str]] | None = None) -> None:
        """Take the jobs of each scheduler that will be asked about, as far as known."""
        self._expected = expected or {}
        self._known: dict[str, Shared] = {}

    def scheduler(self, name: str) -> Shared:
        """Return the scheduler of that name; one that is not here raises only when asked."""
        if name not in self._known:
            try:
                made: Scheduler = registry.scheduler(name)
            except SchedulerMissing as error:
                made = Absent(name, error)
            self._known[name] = Shared(made, self._expected.get(name, ()))
        return self._known[name]

    @property
    def missing(self) -> SchedulerMissing | None:
        """Why a scheduler could not be asked from this host; None where all could."""
        return next((each.missing for each in self._known.values() if each.missing), None)


class Absent:
    """Stands for a scheduler; every question raises the error that says what is missing."""

    traits = Traits(warning=None, dependencies=None, arrays=False)

    def __init__(self, name: str, error: SchedulerMissing) -> None:
        self.name = name
        self._error = error

    def submit(self, _request: JobRequest) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def submit_array(
        self,
        _request: JobRequest,
        _count: int,
        *,
        at_once: int | None = None,  # noqa: ARG002  (the protocol's)
    ) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def poll(self, _jobs: Collection[str]) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def account(self, _jobs: Collection[str]) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def cancel(self, _jobs: Collection[str]) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def find(self, _name: str) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error
