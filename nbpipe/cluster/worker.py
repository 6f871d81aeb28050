"""What a worker of `nbpipe test --cluster` does: takes notebooks one after the other, runs them.

The run's folder (`exchange`) is all that workers share with each other and with who started them.
They need nobody: where the client dies they go on to the end of the plan, and what they report
waits for a client that takes it up. A worker that dies leaves a notebook that was started and has
no result: whoever follows the run sees it, and says so. Nothing is ever run a second time by a
worker on its own.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from nbpipe._version import __version__
from nbpipe.batch.stop import OUTLIVE_SECONDS, Stopping, was_killed
from nbpipe.cluster import exchange, wire
from nbpipe.cluster.exchange import END, HELLO, MOVED, RESULT, STARTED, Cursor, Exchange, Log
from nbpipe.errors import ExitCode
from nbpipe.execution.schedule import Scheduler
from nbpipe.model import Outcome
from nbpipe.reference import store

if TYPE_CHECKING:
    from nbpipe.cluster.exchange import Round
    from nbpipe.execution.kernels.forks import Forks
    from nbpipe.execution.ready import Shared
    from nbpipe.execution.schedule import Listener
    from nbpipe.model import Progress, Result, Task

_LOOK = 0.3
"""Seconds between two looks for the files that end it all."""
_MOVED_SECONDS = 0.5
"""Seconds between two reports of how far a notebook is, at least."""
_PATIENCE = 300.0
"""Seconds in which a report that cannot be written (a full disk) is tried again."""


def main(folder: Path) -> int:
    """Work until nothing is left or everything is to end; return the exit code of the job."""
    stopping = Stopping.begun()
    job = store.read_json(folder / exchange.JOB)
    if job.get("format") != exchange.FORMAT:
        sys.stderr.write(f"{folder}: format {job.get('format')} is not known to this nbpipe\n")
        return ExitCode.INTERNAL_ERROR
    return _worked(folder, job, stopping)


def _worked(folder: Path, job: dict[str, Any], stopping: Stopping) -> int:
    from nbpipe.execution.kernels.forks import forks  # noqa: PLC0415  (slow)
    from nbpipe.execution.kernels.kernel import begin_servers  # noqa: PLC0415

    shared = Exchange(folder)
    place = shared.last_round()
    if place is None:
        return ExitCode.INTERNAL_ERROR
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    told = Teller(Log(shared.logs / name), stopping)
    portions = Portions(place, told, lanes=job["lanes"], growing=job["growing"])
    told.say(HELLO, _hello(job, place))
    told.say(HELLO, {"clock": exchange.clock_offset(shared.logs / name)})
    tasks = portions.tasks()
    with forks(tasks, fork=job["fork"], preload=tuple(job["preload"])) as made:
        if made is not None:
            begin_servers(tasks, made)  # while the rest is imported
        asyncio.run(_work(job, portions, told, stopping, made))
    told.say(END, {"reason": stopping.reason})
    if told.lost:
        sys.stderr.write(f"nbpipe: {told.lost}\n")
        return ExitCode.INTERNAL_ERROR
    return ExitCode.INTERRUPTED if stopping.reason else ExitCode.OK


def _hello(job: dict[str, Any], place: Round) -> dict[str, Any]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "round": place.number,
        "output_dir": job["output_dir"],
    }


async def _work(
    job: dict[str, Any], portions: Portions, told: Teller, stopping: Stopping, made: Forks | None
) -> None:
    from nbpipe.cluster.worker import DrawingScheduler  # noqa: PLC0415  (slow)
    from nbpipe.execution.kernels import capacity  # noqa: PLC0415
    from nbpipe.execution.ready import Shared  # noqa: PLC0415
    from nbpipe.impact.traces import tracing  # noqa: PLC0415

    output_dir, slots = Path(job["output_dir"]), job["slots"]
    traced = tracing(Path(job["traced"]) if job["traced"] else None, output_dir)
    with stopping.listening(), capacity.enough_files(slots), traced as tracer:
        shared = Shared(forks=made, tracer=tracer)
        scheduler = DrawingScheduler(
            portions, jobs=slots, output_dir=output_dir, listener=told, shared=shared
        )
        with stopping.around(scheduler):
            watch = asyncio.create_task(_watch(portions.round, scheduler, told, stopping))
            try:
                await scheduler.run()
                await told.delivered()
            finally:
                watch.cancel()


async def _watch(
    place: Round, scheduler: DrawingScheduler, told: Teller, stopping: Stopping
) -> None:
    drained = False
    while not place.stopped:
        if not drained and place.draining:
            drained = True
            scheduler.drain()
        await asyncio.sleep(_LOOK)
        told.try_again()
    stopping.stop("the run was interrupted")


class Portions:
    """The portions of a round, as this worker takes them.

    Args:
        place: The round.
        told: Reports what was taken.
        lanes: How many notebooks all workers together run at once.
        growing: Whether portions may be added until the round is drained.
    """

    def __init__(self, place: Round, told: Teller, *, lanes: int, growing: bool) -> None:
        self.round = place
        self._told = told
        self._lanes = lanes
        self._growing = growing
        self._portions, self._end = place.portions()
        self._cursor = Cursor(place, len(self._portions))

    def tasks(self) -> list[Task]:
        """Return all tasks of the round, whoever takes them."""
        return [task for each in self._portions for task in wire.decode_tasks(each)]

    def take(self, *, ahead: bool) -> list[Task]:
        """Take the next portion (see `drawing.Source`)."""
        if self._told.lost or (ahead and self._cursor.left <= self._lanes):
            return []
        if not self._cursor.left and self._growing:
            fresh, self._end = self.round.added(self._end)
            self._portions += fresh
            self._cursor.count = len(self._portions)
        index = self._cursor.take()
        return [] if index is None else wire.decode_tasks(self._portions[index])

    def may_grow(self) -> bool:
        """Return whether more may come (see `drawing.Source`)."""
        return self._growing

    async def delivered(self) -> None:
        """Return when all reports are written (see `drawing.Source`)."""
        await self._told.delivered()


@dataclass(slots=True)
class Teller:
    """Reports what a worker does; keeps what cannot be written for a while."""

    log: Log
    stopping: Stopping
    lost: str = ""
    """Why reports were given up; empty while none was."""
    _waiting: list[bytes] = field(default_factory=list)
    _since: float | None = None
    _moved: dict[str, float] = field(default_factory=dict)

    def started(self, progress: Progress) -> None:
        """A notebook starts."""
        self._progress(STARTED, progress)

    def moved(self, progress: Progress) -> None:
        """It reached another cell."""
        now = time.monotonic()
        if progress.cell and now - self._moved.get(progress.task.path, 0.0) >= _MOVED_SECONDS:
            self._progress(MOVED, progress)

    def finished(self, result: Result) -> None:
        """It has its result."""
        self._moved.pop(result.path, None)
        if self.stopping.signal is not None and result.outcome is Outcome.SKIPPED:
            return  # this worker's own end is no verdict: another one takes it
        self._write(exchange.report(RESULT, wire.encode(result)), safe=True)

    def say(self, kind: str, value: dict[str, Any]) -> None:
        """Report something about the worker itself."""
        self._write(exchange.report(kind, msgspec.json.encode(value)), safe=False)

    def try_again(self) -> None:
        """Write what could not be written."""
        if self._waiting:
            self._flush(safe=True)

    async def delivered(self) -> None:
        """Return when all is written, or given up: then this worker has nothing more to do."""
        while self._waiting and not self.lost:
            await asyncio.sleep(_LOOK)
            self._flush(safe=True)

    def _progress(self, kind: str, progress: Progress) -> None:
        self._moved[progress.task.path] = time.monotonic()
        self.say(
            kind,
            {
                "path": progress.task.path,
                "cell": progress.cell,
                "cells": progress.cells,
                "attempt": progress.attempt,
            },
        )

    def _write(self, value: bytes, *, safe: bool) -> None:
        self._waiting.append(value)
        self._flush(safe=safe)

    def _flush(self, *, safe: bool) -> None:
        try:
            self.log.append(self._waiting, safe=safe)
        except OSError as error:
            now = time.monotonic()
            self._since = self._since or now
            if now - self._since > _PATIENCE and not self.lost:
                self.lost = f"{self.log.file}: cannot be written: {error.strerror}"
                self.stopping.stop(self.lost)
        else:
            self._waiting.clear()
            self._since = None


_PAUSE = 0.05
"""Seconds between two looks for more, where more may come."""


class Source(Protocol):
    """Where tasks come from."""

    def take(self, *, ahead: bool) -> list[Task]:
        """Claim the next portion and return its tasks; an empty list if there is none right now.

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


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
