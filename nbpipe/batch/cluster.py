"""`nbpipe test --cluster`: the notebooks of a plan on workers, results as they come.

Takes the place of `execution.schedule.Scheduler` in a run, so that reports, history, signals and
exit codes are the same as on one machine. Workers take what is next by themselves (longest
first); here is decided only who works, what came of it, and what becomes of a notebook whose
worker was lost: it runs again, once, and its result says so.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from nbpipe.batch import wire, worker
from nbpipe.batch.job import FORMAT
from nbpipe.execution import diagnosis
from nbpipe.model import Category, Outcome, Progress, Result
from nbpipe.reference import store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbpipe.execution.schedule import Listener
    from nbpipe.model import Task

_LOOK = 0.3
"""Seconds between two looks for results."""
_AGAIN = 1
"""How often a notebook is run again whose worker was lost."""


class Workers(Protocol):
    """Where workers come from: a scheduler's array, or Dask."""

    def start(self, folder: Path, portions: list[str]) -> None:
        """Start workers for these portions of the folder."""

    def lost(self) -> str | None:
        """Return why no worker is left that could go on; None while there may be one.

        Raises nothing: an outage is no news.
        """

    def stop(self) -> None:
        """End all workers; those that run something are told by the folder already."""


@dataclass(slots=True)
class _Portion:
    name: str
    tasks: list[Task]
    tries: int = 1


class Cluster:
    """Runs tasks on workers; the same methods as a `Scheduler` of this machine.

    Args:
        tasks: In the order in which to start them.
        folder: Shared with the workers; made here, removed at the end.
        output_dir: Where copies and logs go; shared with the workers.
        listener: Is told what happens.
        workers: Do the work.
        slots: How many notebooks each worker runs at once.
        fork: Whether workers fork kernels.
        preload: What they import before.
        maxfail: Start nothing more after that many failures; 0: go on.
        traced: The collection's root, where workers note what notebooks depend on; None: they do
            not.
    """

    def __init__(  # noqa: PLR0913  (all keywords)
        self,
        tasks: Iterable[Task],
        *,
        folder: Path,
        output_dir: Path,
        listener: Listener,
        workers: Workers,
        slots: int = 1,
        fork: bool = False,
        preload: tuple[str, ...] = (),
        maxfail: int = 0,
        traced: Path | None = None,
    ) -> None:
        self._tasks = list(tasks)
        self._folder = folder
        self._output_dir = output_dir
        self._listener = listener
        self._workers = workers
        self._slots = slots
        self._fork = fork
        self._preload = preload
        self._maxfail = maxfail
        self._traced = traced
        self._portions: dict[str, _Portion] = {}
        self._open: dict[str, Task] = {}
        self._stopped: str | None = None
        self._killed = False
        self._told: set[str] = set()
        self._fresh: list[Result] = []
        self._now_running: list[Progress] = []
        self._claimed = 0
        self.running: dict[str, Progress] = {}
        self.results: list[Result] = []

    @property
    def interrupted(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped is not None

    def stop(self, reason: str) -> None:
        """Start nothing more and interrupt what runs."""
        self._stopped = reason
        (self._folder / worker.STOP).touch()

    def kill(self) -> None:
        """Wait for nothing any more."""
        self._killed = True

    async def run(self) -> list[Result]:
        """Run everything; return all results, in the order in which they came."""
        self._finish_known()
        if self._open and not self.interrupted:
            self._prepare()
            self._workers.start(self._folder, list(self._portions))
        try:
            while self._open:
                await asyncio.sleep(_LOOK)
                await asyncio.to_thread(self._look)
                self._tell()
                if await self._over():
                    break
        finally:
            await asyncio.to_thread(self._workers.stop)
        self._give_up()
        shutil.rmtree(self._folder, ignore_errors=True)
        return self.results

    def _finish_known(self) -> None:
        """Finish what is not to be executed."""
        for task in self._tasks:
            if task.failure is not None:
                self._finish(_result(task, Outcome.FAILED, failures=(task.failure,)))
            elif task.skip is not None:
                self._finish(_result(task, Outcome.SKIPPED, reason=task.skip))
            else:
                self._open[task.path] = task

    def _prepare(self) -> None:
        for name in (worker.TASKS, worker.CLAIMS, worker.RUNNING, worker.RESULTS):
            (self._folder / name).mkdir(parents=True)
        store.write_json(
            self._folder / "job.json",
            {
                "format": FORMAT,
                "kind": "worker",
                "output_dir": str(self._output_dir),
                "slots": self._slots,
                "fork": self._fork,
                "preload": list(self._preload),
                "traced": str(self._traced) if self._traced else None,
            },
        )
        for number, tasks in enumerate(wire.together(self._open.values())):
            self._add(_Portion(f"{number:06}", tasks))

    def _add(self, portion: _Portion) -> None:
        self._portions[portion.name] = portion
        file = self._folder / worker.TASKS / f"{portion.name}.json"
        file.with_suffix(".new").write_bytes(wire.encode(portion.tasks))
        file.with_suffix(".new").replace(file)

    def _look(self) -> None:
        """Read what workers have written since the last look."""
        fresh = []
        for task in list(self._open.values()):
            file = worker.result_file(self._folder, task)
            try:
                fresh.append(wire.decode_result(file.read_bytes()))
            except FileNotFoundError:
                continue
            file.unlink()
        self._fresh = fresh
        self._now_running = _running(self._folder / worker.RUNNING, self._open)

    def _tell(self) -> None:
        for result in self._fresh:
            task = self._open.get(result.path)
            if task is not None:
                self._finish(replace(result, task=task))
        for progress in self._now_running:
            if progress.task.path not in self._open:
                continue
            if progress.task.path not in self._told:
                self._told.add(progress.task.path)
                self._listener.started(progress)
            self._listener.moved(progress)
        self.running = {each.task.path: each for each in self._now_running}
        if self._maxfail and not self.interrupted and self._failed() >= self._maxfail:
            (self._folder / worker.STOP).touch()

    def _failed(self) -> int:
        return sum(result.outcome is Outcome.FAILED for result in self.results)

    async def _over(self) -> bool:
        """Tell whether nothing more can come; start again what was lost."""
        if self._killed:
            return True
        why = await asyncio.to_thread(self._workers.lost)
        if why is None:
            return False
        await asyncio.to_thread(self._look)  # written since
        self._tell()
        if self.interrupted or (self._folder / worker.STOP).exists():
            return True
        again = self._lost(why)
        if again:
            self._workers.start(self._folder, again)
        return not self._open

    def _lost(self, why: str) -> list[str]:
        """Put back what no worker finished; give up what was lost too often."""
        names = []
        claims = {each.name for each in (self._folder / worker.CLAIMS).iterdir()}
        progress = len(claims) > self._claimed  # or the workers cannot even begin
        self._claimed = len(claims)
        for portion in list(self._portions.values()):
            left = [task for task in portion.tasks if task.path in self._open]
            if not left:
                continue
            del self._portions[portion.name]
            (self._folder / worker.TASKS / f"{portion.name}.json").unlink(missing_ok=True)
            claimed = portion.name in claims
            if portion.tries > _AGAIN if claimed else not progress:
                for task in left:
                    self._finish(_lost_result(task, why, portion.tries if claimed else 0))
                continue
            note = f"run again: its worker was lost ({why})"
            tasks = [replace(task, notes=(*task.notes, note)) if claimed else task for task in left]
            self._open |= {task.path: task for task in tasks}
            tries = portion.tries + claimed
            name = f"{portion.name}-{tries}" if claimed else f"{portion.name}r"
            self._add(_Portion(name, tasks, tries))
            names.append(name)
        return names

    def _give_up(self) -> None:
        """Give what is left its result: nothing is known about it."""
        for task in list(self._open.values()):
            if self._stopped is not None:
                reason = f"not finished: {self._stopped}"
            else:
                reason = f"not started: {self._failed()} failed (--maxfail {self._maxfail})"
            self._finish(_result(task, Outcome.SKIPPED, reason=reason))

    def _finish(self, result: Result) -> None:
        self._open.pop(result.path, None)
        self.results.append(result)
        self._listener.finished(result)


def _running(folder: Path, tasks: dict[str, Task]) -> list[Progress]:
    found = []
    for file in folder.glob("*.json"):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if told["path"] in tasks:
            task = tasks[told.pop("path")]
            found.append(Progress(task=task, **told))
    return found


def _result(task: Task, outcome: Outcome, **more: object) -> Result:
    plain = Result(task=task, outcome=outcome, kernel=task.kernel, notes=task.notes)
    return replace(plain, **more)  # type: ignore[arg-type]


def _lost_result(task: Task, why: str, tries: int) -> Result:
    told = f"the worker that ran it was lost {tries} times: {why}"
    if not tries:
        told = f"no worker took it; all ended: {why}"
    failure = diagnosis.failure(Category.KERNEL_DIED, "WorkerLost", told)
    return _result(task, Outcome.FAILED, failures=(failure,), attempts=tries)
