"""What a worker of `nbpipe test --cluster` does: takes notebooks one after the other, runs them.

The run's folder is all that workers share with each other and with who started them:

    tasks/NNNNN.json       notebooks that stay together, in the order in which to start them
    claims/NNNNN/WORKER    made by the worker that took them; a folder is made by one only
    running/WORKER.json    what a worker runs now
    results/PATH.json      one notebook's result, whole
    stop                   appears when everything is to end

A worker that dies leaves a claim without results: whoever started the run sees it, and says so.
Nothing is ever run a second time by a worker on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.batch import wire
from nbpipe.batch.stopping import OUTLIVE_SECONDS, was_killed
from nbpipe.errors import ExitCode
from nbpipe.model import Outcome
from nbpipe.reference import store
from nbpipe.reference.schedulers.indices import index_in

if TYPE_CHECKING:
    from nbpipe.batch.stopping import Stopping
    from nbpipe.execution.ready import Shared
    from nbpipe.model import Progress, Result, Task

_LOOK = 0.3
"""Seconds between two looks for the file that ends it all."""
TASKS, CLAIMS, RUNNING, RESULTS, STOP = "tasks", "claims", "running", "results", "stop"


def main(folder: Path, stopping: Stopping) -> int:
    """Work until nothing is left or everything is to end; return the exit code of the job."""
    job = store.read_json(folder / "job.json")
    name = f"{socket.gethostname()}-{os.getpid()}-{index_in(os.environ) or 0}"
    asyncio.run(_work(folder, job, name, stopping))
    return ExitCode.INTERRUPTED if stopping.reason else ExitCode.OK


async def _work(folder: Path, job: dict[str, Any], name: str, stopping: Stopping) -> None:
    from nbpipe.execution.kernels import descriptors  # noqa: PLC0415
    from nbpipe.execution.kernels.forks import forks  # noqa: PLC0415  (slow)
    from nbpipe.execution.ready import Shared  # noqa: PLC0415  (slow)
    from nbpipe.impact.traces import tracing  # noqa: PLC0415  (slow)

    portions = (folder / TASKS).glob("*.json")
    tasks = [task for each in portions for task in wire.decode_tasks(each.read_bytes())]
    forked = forks(tasks, fork=job["fork"], preload=tuple(job["preload"]))
    root = Path(job["traced"]) if job["traced"] else None
    traced = tracing(root, Path(job["output_dir"]))
    files = descriptors.enough(job["slots"])
    with stopping.listening(), files, forked as made, traced as tracer:
        shared = Shared(forks=made, tracer=tracer)
        watch = asyncio.create_task(_watch(folder, stopping))
        lanes = (
            _lane(folder, job, f"{name}-{number}", stopping, shared)
            for number in range(job["slots"])
        )
        try:
            await asyncio.gather(*lanes)
        finally:
            watch.cancel()


async def _watch(folder: Path, stopping: Stopping) -> None:
    while not (folder / STOP).exists():  # noqa: ASYNC110  (another host makes it)
        await asyncio.sleep(_LOOK)
    stopping.stop("the run was interrupted")


async def _lane(
    folder: Path, job: dict[str, Any], name: str, stopping: Stopping, shared: Shared
) -> None:
    """Take what is next and run it, until nothing is left."""
    for portion in sorted((folder / TASKS).glob("*.json")):
        if stopping.reason is not None:
            return
        if claim(folder, portion.stem, name):
            await run_portion(folder, portion.stem, job, name, stopping, shared)


def claim(folder: Path, portion: str, worker: str) -> bool:
    """Take a portion; tell whether nobody else has.

    Making a folder is the one thing that every network file system lets a single client do.
    """
    try:
        (folder / CLAIMS / portion).mkdir()
    except FileExistsError:
        return False
    (folder / CLAIMS / portion / worker).touch()
    return True


async def run_portion(  # noqa: PLR0913, PLR0917  (what a lane works with)
    folder: Path, portion: str, job: dict[str, Any], name: str, stopping: Stopping, shared: Shared
) -> None:
    """Run notebooks that stay together, one after the other; write the result of each."""
    from nbpipe.execution.schedule import Scheduler  # noqa: PLC0415  (slow)

    tasks = wire.decode_tasks((folder / TASKS / f"{portion}.json").read_bytes())
    teller = _Teller(folder, name, stopping)
    output_dir = Path(job["output_dir"])
    scheduler = Scheduler(tasks, jobs=1, output_dir=output_dir, listener=teller, shared=shared)
    with stopping.around(scheduler):
        await scheduler.run()
    if teller.doubtful:
        await asyncio.sleep(OUTLIVE_SECONDS)
        for result in teller.doubtful:
            teller.write(result)


class _Teller:
    """Tells by files what a worker does."""

    def __init__(self, folder: Path, worker: str, stopping: Stopping) -> None:
        self._folder = folder
        self._stopping = stopping
        self._running = folder / RUNNING / f"{worker}.json"
        self.doubtful: list[Result] = []
        """Results that count only where this worker lives on."""

    def started(self, progress: Progress) -> None:
        """A notebook starts."""
        self.moved(progress)

    def moved(self, progress: Progress) -> None:
        """It reached another cell."""
        with contextlib.suppress(OSError):  # for people only
            fresh = self._running.with_suffix(".new")
            told = {"path": progress.task.path, "cell": progress.cell, "cells": progress.cells}
            fresh.write_text(json.dumps({**told, "attempt": progress.attempt}), encoding="utf-8")
            fresh.replace(self._running)

    def finished(self, result: Result) -> None:
        """It has its result."""
        self._running.unlink(missing_ok=True)
        if self._stopping.signal is not None and result.outcome is Outcome.SKIPPED:
            return  # this worker's own end is no verdict: another one takes it
        if was_killed(result):
            self.doubtful.append(result)
        else:
            self.write(result)

    def write(self, result: Result) -> None:
        """Write a result, whole, where the run looks for it."""
        file = result_file(self._folder, result.task)
        fresh = file.with_suffix(".new")
        with fresh.open("wb") as stream:
            stream.write(wire.encode(result))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)


def result_file(folder: Path, task: Task) -> Path:
    """Return where the result of a task goes."""
    digest = hashlib.sha256(os.fsencode(task.path)).hexdigest()[:32]
    return folder / RESULTS / f"{digest}.json"
