"""The scheduler of a worker: takes one portion after the other out of a plan shared with others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from nbpipe.batch.stop import OUTLIVE_SECONDS, was_killed
from nbpipe.execution.schedule import Scheduler

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.execution.ready import Shared
    from nbpipe.execution.schedule import Listener
    from nbpipe.model import Result, Task

_PAUSE = 0.05
"""Seconds between two looks for more, where more may come."""


class Source(Protocol):
    """Where tasks come from."""

    def take(self, *, ahead: bool) -> list[Task]:
        """Return the tasks of the next portion, which is taken by that; []: there is none now.

        Args:
            ahead: Nobody is idle: only where others are not kept waiting by it.
        """

    def may_grow(self) -> bool:
        """Return whether more may come although there is nothing now."""

    async def delivered(self) -> None:
        """Return when all that was reported is where others see it."""


class DrawingScheduler(Scheduler):
    """Runs what it draws from a source, `jobs` at a time.

    Args:
        source: Where tasks come from.
        jobs: How many slots there are.
        output_dir: Where copies and logs go.
        listener: Is told what happens.
        shared: What all of them have in common.
    """

    def __init__(
        self, source: Source, *, jobs: int, output_dir: Path, listener: Listener, shared: Shared
    ) -> None:
        super().__init__((), jobs=jobs, output_dir=output_dir, listener=listener, shared=shared)
        self._source = source
        self._drained = False

    def drain(self) -> None:
        """Start nothing more, also not what was drawn already; what runs goes on."""
        self._drained = True
        begun = [job for job in self._waiting if job.attempts]
        self._waiting.clear()
        self._waiting.extend(begun)

    async def run(self) -> list[Result]:
        """Run all that the source has; return the results, in the order in which they came."""
        try:
            async with asyncio.TaskGroup() as group:
                self._fill(group)
                group.create_task(self._follow(group))
        finally:
            if self._next_up is not None:
                await self._next_up[1].close()
        return self.results

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        while not (self._drained or self.interrupted) and self._source.may_grow():
            await asyncio.sleep(_PAUSE)
            self._fill(group)

    def _draw(self, *, ahead: bool = False) -> bool:
        if self._drained or self.interrupted:
            return False
        tasks = self._source.take(ahead=ahead)
        self._take_in(tasks)
        return bool(tasks)

    async def _hand_out(self, result: Result) -> None:
        """Hand out a result; that of a killed kernel only where this worker lives on."""
        if was_killed(result):
            await asyncio.sleep(OUTLIVE_SECONDS)
        await super()._hand_out(result)
        await self._source.delivered()
