"""`nbpipe test --cluster`: the notebooks of a plan on workers, results as they come.

Takes the place of `execution.schedule.Scheduler` in a run, so that reports, history, signals and
exit codes are the same as on one machine. Workers take what is next by themselves (longest
first); here is decided only who works, what came of it, and what becomes of a notebook whose
worker was lost: it runs again, once, and its result says so.

Workers do not need this process. Where it dies, they go on, and a later run (`--resume`) takes up
their results and follows those that still work, instead of starting others beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe._version import __version__
from nbpipe.cluster import exchange, takeover, wire
from nbpipe.cluster.exchange import END, HELLO, MOVED, RESULT, STARTED, Exchange, Logs
from nbpipe.errors import NbpipeError, UsageError
from nbpipe.execution import diagnosis
from nbpipe.model import Category, Outcome, Progress, Result
from nbpipe.reference import store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbpipe.cluster.exchange import Report, Round
    from nbpipe.cluster.takeover import LeftBehind, Workers
    from nbpipe.execution.schedule import Listener
    from nbpipe.model import Task

_LOOK = 0.1
"""Seconds between two looks for results, at least."""
_LOOK_PER_WORKER = 0.01
"""Seconds more for each worker, so that a look costs the file system the same at any size."""
_LONGEST_LOOK = 2.0
_AGAIN = 1
"""How often a notebook is run again whose worker was lost."""
_LINGER = 5.0
"""Seconds in which a worker that has nothing more to do reports its end."""
_CLOCK_SECONDS = 5.0
"""By so much a worker's clock may differ before its times are put right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How workers are to work."""

    slots: int = 1
    """How many notebooks each worker runs at once."""
    fork: bool = False
    """Whether workers fork kernels."""
    preload: tuple[str, ...] = ()
    """What they import before."""
    maxfail: int = 0
    """Start nothing more after that many failures; 0: go on."""
    traced: Path | None = None
    """The collection's root, where workers note what notebooks depend on; None: they do not."""


@dataclass(slots=True)
class _Worker:
    """What one worker has reported."""

    facts: dict[str, Any] = field(default_factory=dict)
    ended: bool = False
    running: dict[str, Progress] = field(default_factory=dict)


class Cluster:
    """Runs tasks on workers; the same methods as a `Scheduler` of this machine.

    Args:
        tasks: In the order in which to start them.
        folder: Shared with the workers; made here, removed at the end, unless there is `left`.
        output_dir: Where copies and logs go; shared with the workers.
        listener: Is told what happens.
        workers: Do the work.
        terms: How.
        left: What to take up first; None: nothing.
    """

    def __init__(  # noqa: PLR0913  (all keywords)
        self,
        tasks: Iterable[Task],
        *,
        folder: Path,
        output_dir: Path,
        listener: Listener,
        workers: Workers,
        terms: Terms,
        left: LeftBehind | None = None,
    ) -> None:
        self._tasks = list(tasks)
        self._shared = left.shared if left else Exchange(folder)
        self._output_dir = output_dir
        self._listener = listener
        self._workers = left.workers if left else workers
        self._fresh_workers = workers
        self._terms = terms
        self._left = left
        self._logs = Logs(self._shared.logs)
        self._round: Round | None = None
        self._seen: dict[str, _Worker] = {}
        self._before = 0
        self._open: dict[str, Task] = {}
        self._tries: dict[str, int] = {}
        self._stopped: str | None = None
        self._draining = False
        self._killed = False
        self._announced: set[str] = set()
        self._clock = 0.0
        self._reports: list[tuple[str, Report]] = []
        self._quiet_since: float | None = None
        self.running: dict[str, Progress] = {}
        self.results: list[Result] = []

    @property
    def interrupted(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped is not None

    def stop(self, reason: str) -> None:
        """Start nothing more and interrupt what runs."""
        self._stopped = reason
        self._stop_round()

    def kill(self) -> None:
        """Wait for nothing any more."""
        self._killed = True

    async def run(self) -> list[Result]:
        """Run everything; return all results, in the order in which they came.

        Raises:
            NbpipeError: No worker could be started, or they are not what they have to be.
        """
        self._finish_known()
        with contextlib.ExitStack() as stack:
            if self._open and not self.interrupted:
                await asyncio.to_thread(self._begin, stack)
            try:
                await self._follow()
            except BaseException:
                self._stop_round()
                raise
            finally:
                await asyncio.to_thread(self._let_go)
            self._give_up()
            self._clean()
        return self.results

    def _stop_round(self) -> None:
        if self._round is not None:
            with contextlib.suppress(OSError):  # a full disk: the workers are cancelled instead
                self._round.stop()

    def _is_kept(self) -> bool:
        """Return whether what was left by another client stays for notebooks that run later."""
        return self._left is not None and self._left.keep and not self.interrupted

    def _let_go(self) -> None:
        """Let go of the workers, and of those that were not needed."""
        ended = sum(each.ended for each in self._seen.values()) - self._before
        if not self._is_kept():
            self._workers.stop(ended=ended)
        if self._workers is not self._fresh_workers:
            self._fresh_workers.stop(ended=0)

    async def _follow(self) -> None:
        while self._open and self._round is not None:
            await asyncio.to_thread(self._look)
            self._tell()
            if not self._open or await self._over():
                break
            pause = _LOOK + _LOOK_PER_WORKER * self._logs.count
            await asyncio.sleep(min(pause, _LONGEST_LOOK))

    def _finish_known(self) -> None:
        """Finish what is not to be executed."""
        for task in self._tasks:
            if task.failure is not None:
                self._finish(_result(task, Outcome.FAILED, failures=(task.failure,)))
            elif task.skip is not None:
                self._finish(_result(task, Outcome.SKIPPED, reason=task.skip))
            else:
                self._open[task.path] = task

    def _begin(self, stack: contextlib.ExitStack) -> None:
        """Make the folder and start workers, or take up what is there."""
        try:
            if self._left is None:
                self._shared.make()
            stack.enter_context(self._shared.followed())
            if self._left is not None:
                self._take_up()
                return
            self._start()
        except OSError as error:
            raise UsageError(
                f"{self._shared.folder}: the folder that workers share cannot be written:"
                f" {error.strerror}",
                hint="Check free space and permissions, or name another --output-dir.",
            ) from error
        except NbpipeError:
            if self._left is None:
                shutil.rmtree(self._shared.folder, ignore_errors=True)
            raise

    def _take_up(self) -> None:
        """Begin with what another client left."""
        self._round = self._shared.last_round()
        if self._round is None:  # it did not get so far
            self._start()

    def _start(self) -> None:
        """Write a round with all that is open, and start workers for it."""
        portions = wire.together(self._open.values())
        self._write_job(lanes=self._workers.count * self._terms.slots)
        self._round = self._shared.new_round(wire.encode(each) for each in portions)
        self._before = len(self._seen)
        self._workers.start(self._shared, len(portions))

    def _write_job(self, *, lanes: int) -> None:
        file = self._shared.folder / exchange.JOB
        traced = self._terms.traced
        store.write_json(
            file,
            {
                "format": exchange.FORMAT,
                "kind": "worker",
                "version": __version__,
                "output_dir": str(self._output_dir),
                "slots": self._terms.slots,
                "lanes": lanes,
                "growing": False,
                "fork": self._terms.fork,
                "preload": list(self._terms.preload),
                "traced": str(traced) if traced else None,
            },
        )
        self._clock = exchange.clock_offset(file)

    def _look(self) -> None:
        """Read what workers have reported since the last look."""
        self._reports = []
        try:
            self._reports.extend(self._logs.fresh())
        except ValueError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UsageError:
        return UsageError(
            f"{self._shared.logs}: a worker's report cannot be read: {error}",
            hint="Do client and workers have the same version of nbpipe?",
        )

    def _tell(self) -> None:
        for name, report in self._reports:
            self._take(self._seen.setdefault(name, _Worker()), report)
        self._reports = []
        running = [each.running for each in self._seen.values() if not each.ended]
        self.running = {path: one for each in running for path, one in each.items()}
        if self._terms.maxfail and self._failed() >= self._terms.maxfail:
            self._drain()

    def _take(self, worker: _Worker, report: Report) -> None:
        if report.kind == RESULT:
            try:
                result = wire.decode_result(bytes(report.value))
            except ValueError as error:
                raise self._unreadable(error) from error
            worker.running.pop(result.path, None)
            self._accept(worker, result)
            return
        facts = msgspec.json.decode(report.value)
        if report.kind == HELLO:
            worker.facts |= facts
            self._check(worker.facts)
        elif report.kind == END:
            worker.ended = True
        elif report.kind in {STARTED, MOVED} and facts["path"] in self._open:
            progress = Progress(task=self._open[facts.pop("path")], **facts)
            if progress.task.path not in self._announced:
                self._announced.add(progress.task.path)
                self._listener.started(progress)
            worker.running[progress.task.path] = progress
            self._listener.moved(progress)

    def _check(self, facts: dict[str, Any]) -> None:
        if facts.get("version") == __version__:
            return
        raise UsageError(
            f"the worker on {facts.get('host')} runs nbpipe {facts.get('version')}"
            f" ({facts.get('interpreter')}); this is nbpipe {__version__}",
            hint="Workers need the same version: install it there, or run this from there.",
        )

    def _accept(self, worker: _Worker, result: Result) -> None:
        """Finish a notebook with the result that a worker reports, where it is (still) wanted."""
        task = self._open.get(result.path)
        if task is None or self._is_void(worker, result):
            return
        notes = result.notes
        if self._left is not None and worker.facts.get("output_dir") != str(self._output_dir):
            notes = (*notes, f"result of run {self._left.run}, taken up by --resume")
            takeover.bring(result, worker.facts.get("output_dir"), self._output_dir)
        skew = worker.facts.get("clock", self._clock) - self._clock
        if result.started is not None and abs(skew) > _CLOCK_SECONDS:
            result = result.shifted(timedelta(seconds=skew))
        self._finish(replace(result, task=task, notes=notes))

    def _is_void(self, worker: _Worker, result: Result) -> bool:
        """Return whether a worker only says that it was ended, as others work in its place."""
        now = self._round.number if self._round is not None else 0
        return result.outcome is Outcome.SKIPPED and worker.facts.get("round", now) < now

    def _failed(self) -> int:
        return sum(result.outcome is Outcome.FAILED for result in self.results)

    def _drain(self) -> None:
        if self._round is not None and not self._draining and not self.interrupted:
            self._draining = True
            self._round.drain()

    async def _over(self) -> bool:
        """Tell whether nothing more can come; start again what was lost."""
        if self._killed or ((self.interrupted or self._draining) and self._all_ended()):
            return True
        why = await asyncio.to_thread(self._workers.lost)
        if why is None:
            return False
        await asyncio.to_thread(self._look)  # written since
        self._tell()
        if self.interrupted or self._draining:
            return True
        await self._again(why)
        return not self._open

    def _all_ended(self) -> bool:
        """Return whether every worker that began has reported its end, for a while."""
        if not all(each.ended for each in self._seen.values()):
            self._quiet_since = None
            return False
        self._quiet_since = self._quiet_since or time.monotonic()
        return bool(self._seen) or time.monotonic() - self._quiet_since > _LINGER

    async def _again(self, why: str) -> None:
        """Put back what no worker finished; give up what was lost too often."""
        begun = {path for each in self._seen.values() for path in each.running}
        progress = len(self._seen) > self._before  # or the workers cannot even begin
        taken_up = self._workers is not self._fresh_workers
        self._stop_round()  # for a worker that was only cut off
        for path, task in list(self._open.items()):
            if path in begun:
                tries = self._tries[path] = self._tries.get(path, 0) + 1
                if tries > _AGAIN:
                    self._finish(self._lost_result(task, why, tries))
                    continue
                note = f"run again: its worker was lost ({why})"
                self._open[path] = replace(task, notes=(*task.notes, note))
            elif not progress and not taken_up:
                self._finish(self._lost_result(task, why, 0))
        for each in self._seen.values():
            each.running.clear()
        if taken_up:
            await asyncio.to_thread(self._workers.stop, ended=0)
            self._workers = self._fresh_workers
        if not self._open:
            return
        try:
            await asyncio.to_thread(self._start)
        except (NbpipeError, OSError) as error:
            for task in list(self._open.values()):
                self._finish(self._lost_result(task, f"no other could be started: {error}", 0))

    def _lost_result(self, task: Task, why: str, tries: int) -> Result:
        told = f"the worker that ran it was lost {tries} times: {why}"
        if not tries:
            told = f"no worker took it; all ended: {why}"
            told += takeover.last_words(self._shared.folder)
        memory = "out-of-memory" in why
        category = Category.OUT_OF_MEMORY if memory else Category.KERNEL_DIED
        failure = diagnosis.failure(category, "WorkerLost", told)
        return _result(task, Outcome.FAILED, failures=(failure,), attempts=tries)

    def _give_up(self) -> None:
        """Give what is left its result: nothing is known about it."""
        for task in list(self._open.values()):
            if self._stopped is not None:
                reason = f"not finished: {self._stopped}"
            else:
                reason = f"not started: {self._failed()} failed (--maxfail {self._terms.maxfail})"
            self._finish(_result(task, Outcome.SKIPPED, reason=reason))

    def _clean(self) -> None:
        """Remove the shared folder, but for results that nobody has taken up."""
        if not self._is_kept():
            takeover.forget_links(self._shared)
            shutil.rmtree(self._shared.folder, ignore_errors=True)

    def _finish(self, result: Result) -> None:
        self._open.pop(result.path, None)
        self.results.append(result)
        self._listener.finished(result)


def _result(task: Task, outcome: Outcome, **more: object) -> Result:
    plain = Result(task=task, outcome=outcome, kernel=task.kernel, notes=task.notes)
    return replace(plain, **more)  # type: ignore[arg-type]
