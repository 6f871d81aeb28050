"""Many notebooks at once: who starts when, who is tried again, and how all of it stops.

There are as many slots as `jobs`, and as much memory as the budget says, where there is one; what
may start beside what runs is decided in `fitting`. The plan is made with what notebooks took
before. So that one which takes more this time does not take the machine down, nothing is started
beside others while the machine itself has less memory left than the newcomer needs; and one that
was killed for memory is tried again (where it has retries) alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from nbpipe.execution import diagnosis
from nbpipe.execution.halts import Halt
from nbpipe.execution.kernels.capacity import Need, Room, Running, choose
from nbpipe.execution.notebook import execute_once
from nbpipe.execution.ready import NOTHING_SHARED, Ready, can_be_early
from nbpipe.model import Category, Outcome, Progress, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nbpipe.execution.ready import Shared
    from nbpipe.model import Task

_HOPELESS = {Category.KERNEL_MISSING, Category.INVALID_NOTEBOOK, Category.MISSING_PACKAGE}
"""Nothing about these changes within a run."""

_LEAD_SECONDS = 0.02
"""So much earlier does a notebook start than the kernel of the next one."""

UNKNOWN_MEMORY = 1 << 30
"""Bytes that a notebook counts as of which nothing is known."""


class Listener(Protocol):
    """Is told what happens, as it happens, in the event loop's thread."""

    def started(self, progress: Progress) -> None:
        """A notebook starts."""

    def moved(self, progress: Progress) -> None:
        """It reached another cell."""

    def finished(self, result: Result) -> None:
        """It has its result; nothing more comes of it."""


@dataclass(slots=True, eq=False)
class _Job:
    """A task with what became of it so far."""

    task: Task
    need: Need
    attempts: list[Result] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """How much memory all notebooks that run may take together."""

    total: int
    """Bytes."""
    available: Callable[[], int | None] = lambda: None
    """Returns the bytes that the machine has left in this moment, None where nobody knows."""


class Scheduler:
    """Runs tasks, `jobs` at a time, and hands out results as they come.

    Args:
        tasks: In the order in which to start them.
        jobs: How many slots there are: notebooks at once.
        output_dir: Where copies and logs go.
        listener: Is told what happens.
        maxfail: Start nothing more after that many failures; 0: go on.
        budget: For memory; None: it is not looked at.
        shared: What all of them have in common.
    """

    def __init__(  # noqa: PLR0913  (each is a decision of whoever runs them)
        self,
        tasks: Iterable[Task],
        *,
        jobs: int,
        output_dir: Path,
        listener: Listener,
        maxfail: int = 0,
        budget: MemoryBudget | None = None,
        shared: Shared = NOTHING_SHARED,
    ) -> None:
        self._shared = shared
        self._budget = budget
        self._room = Room(jobs, budget.total if budget else 0)
        self._waiting: deque[_Job] = deque()
        self._take_in(tasks)
        self._places: dict[Need, Running] = {}
        self._output_dir = output_dir
        self._listener = listener
        self._maxfail = maxfail
        self._failed = 0
        self._halts: set[Halt] = set()
        self._stopped: str | None = None
        self._next_up: tuple[_Job, Ready] | None = None
        self.running: dict[str, Progress] = {}
        self.results: list[Result] = []

    async def run(self) -> list[Result]:
        """Run everything; return all results, in the order in which they came."""
        try:
            async with asyncio.TaskGroup() as group:
                self._fill(group)
        finally:
            if self._next_up is not None:  # its turn did not come
                await self._next_up[1].close()
        return self.results

    @property
    def interrupted(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped is not None

    def stop(self, reason: str) -> None:
        """Start nothing more and interrupt what runs; it becomes skipped with that reason."""
        self._stopped = reason
        for halt in self._halts:
            halt(reason)

    def kill(self) -> None:
        """Kill what was interrupted and still runs."""
        for halt in self._halts:
            halt.now.set()

    def _fill(self, group: asyncio.TaskGroup) -> None:
        """Start what may start now; finish what is not to be executed."""
        while (job := self._next()) is not None:
            if (result := self._known(job)) is not None:
                self._finish(result)
                continue
            group.create_task(self._work(job, group))
        self._make_ready()

    def _make_ready(self) -> None:
        """Start the kernel of the notebook that is next, so that nobody waits for it later."""
        if self._next_up is not None or self._budget is not None:
            return
        if not self._waiting and not self._draw(ahead=True):
            return
        job = self._waiting[0]
        early = can_be_early(job.task, self._shared.forks)
        if early and not job.attempts and self._known(job) is None:
            with contextlib.suppress(OSError, RuntimeError):  # told when its turn comes
                self._next_up = job, Ready(job.task, self._output_dir, 1, self._shared)
                self._next_up[1].start()

    async def _made_ready(self, job: _Job) -> Ready | None:
        """Return what was made ready for a notebook whose turn it is, and is still well."""
        if self._next_up is None or self._next_up[0] is not job:
            return None
        (_, ready), self._next_up = self._next_up, None
        asyncio.get_running_loop().call_later(_LEAD_SECONDS, self._make_ready)
        if ready.is_well():
            return ready
        await ready.close()
        return None

    def _next(self) -> _Job | None:
        """Take the first that may start now out of those that wait; None: something must end."""
        if not self._waiting and not self._draw():
            return None
        if self._known(self._waiting[0]) is not None:
            return self._waiting.popleft()
        while (chosen := self._choice()) is None:
            free = self._room.without(each.need for each in self._places.values())
            if free.slots < 1 or len(self._waiting) > self._room.slots or not self._draw():
                return None
        place, head = chosen
        job = self._waiting[place]
        del self._waiting[place]
        if self._known(job) is None:
            self._places[job.need] = Running(job.need, overtook=head)
        return job

    def _choice(self) -> tuple[int, Need | None] | None:
        """Return which of those that wait may start now, and what it overtakes."""
        return choose(
            (job.need for job in self._waiting),
            self._places.values(),
            self._room,
            available=self._budget.available() if self._budget else None,
        )

    def _draw(self, *, ahead: bool = False) -> bool:  # noqa: ARG002  (for whoever draws)
        """Take in more tasks, where they come one by one; return whether there were any.

        Args:
            ahead: Nothing can start now: it is for being ready earlier.
        """
        return False

    def _take_in(self, tasks: Iterable[Task]) -> None:
        """Have more tasks wait for their turn."""
        self._waiting.extend(_Job(task, self._need(task)) for task in tasks)

    def _need(self, task: Task) -> Need:
        if task.failure is not None or task.skip is not None:
            return Need(slots=0)
        memory = (task.memory or UNKNOWN_MEMORY) if self._budget else 0
        need = Need(slots=task.slots, memory=memory, groups=frozenset(task.groups))
        return self._room.capped(need)

    async def _work(self, job: _Job, group: asyncio.TaskGroup) -> None:
        need = job.need
        result = await self._attempt(job)
        if result is not None:
            await self._hand_out(result)
        del self._places[need]
        self._fill(group)

    def _known(self, job: _Job) -> Result | None:
        """Return the result of a task that is not to be executed."""
        task = job.task
        if task.failure is not None:
            return replace(_empty(task, Outcome.FAILED), failures=(task.failure,))
        reason = task.skip
        if reason is None and self._stopped is not None:
            if job.attempts:  # it failed; the retry does not come any more
                return _sum_up(job)
            reason = f"not started: {self._stopped}"
        if reason is None and self._maxfail and self._failed >= self._maxfail:
            if job.attempts:
                return _sum_up(job)
            reason = f"not started: {self._failed} failed (--maxfail {self._maxfail})"
        return None if reason is None else replace(_empty(task, Outcome.SKIPPED), reason=reason)

    async def _attempt(self, job: _Job) -> Result | None:
        """Run a task once; return None when it is to be tried again."""
        halt = Halt()
        self._halts.add(halt)
        attempt = len(job.attempts) + 1
        started = datetime.now(UTC)
        self._moved(Progress(task=job.task, cell=0, cells=0, attempt=attempt))
        self._listener.started(self.running[job.task.path])
        try:
            result = await execute_once(
                job.task,
                self._output_dir,
                attempt=attempt,
                halt=halt,
                moved=self._moved,
                ready=await self._made_ready(job),
                shared=self._shared,
            )
        except Exception as error:  # noqa: BLE001  (one notebook never takes the run down)
            result = _internal(job.task, error, attempt)
        finally:
            self._halts.discard(halt)
            self.running.pop(job.task.path, None)
        if result.outcome is Outcome.SKIPPED and job.attempts:
            return _sum_up(job)  # the retry was interrupted: the failure stands
        job.attempts.append(replace(result, started=started))
        if _worth_another(job, result):
            if result.failures[0].category is Category.OUT_OF_MEMORY:
                job.need = replace(job.need, memory=self._room.memory)
            self._waiting.append(job)
            return None
        return _sum_up(job)

    def _moved(self, progress: Progress) -> None:
        self.running[progress.task.path] = progress
        self._listener.moved(progress)

    async def _hand_out(self, result: Result) -> None:
        """Hand out a result before anything takes the place of its notebook."""
        self._finish(result)

    def _finish(self, result: Result) -> None:
        self._failed += result.outcome is Outcome.FAILED
        self.results.append(result)
        self._listener.finished(result)


def _worth_another(job: _Job, result: Result) -> bool:
    return (
        result.outcome is Outcome.FAILED
        and len(job.attempts) <= job.task.retries
        and result.failures[0].category not in _HOPELESS
    )


def _sum_up(job: _Job) -> Result:
    """Return one result for all attempts: the last one's, with the first one's failure."""
    tries = tuple(each.as_attempt(number) for number, each in enumerate(job.attempts, start=1))
    last = replace(job.attempts[-1], attempts=len(tries), tries=tries)
    if len(tries) == 1:
        # What was interrupted has no end of its own: it is not an attempt that counts.
        return replace(last, tries=()) if last.outcome is Outcome.SKIPPED else last
    started = job.attempts[0].started
    seconds = sum(attempt.seconds for attempt in job.attempts)
    memory = max((each.memory for each in job.attempts if each.memory is not None), default=None)
    last = replace(last, started=started, seconds=seconds, memory=memory)
    if last.outcome is Outcome.PASSED:
        return replace(last, outcome=Outcome.FLAKY, failures=job.attempts[0].failures)
    return last


def _empty(task: Task, outcome: Outcome) -> Result:
    return Result(task=task, outcome=outcome, kernel=task.kernel, notes=task.notes)


def _internal(task: Task, error: Exception, attempt: int) -> Result:
    """Return the result of a notebook on which nbpipe itself stumbled, or the machine."""
    failure = diagnosis.internal(error, "preparing it")
    return replace(_empty(task, Outcome.FAILED), failures=(failure,), attempts=attempt)


def execute(
    task: Task, output_dir: Path, *, moved: Callable[[Progress], None] = lambda _: None
) -> Result:
    """Execute one notebook once, in a fresh kernel, from anywhere but a running event loop."""

    async def once() -> Result:
        return await execute_once(task, output_dir, attempt=1, halt=Halt(), moved=moved)

    return asyncio.run(once())
