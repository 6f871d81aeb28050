"""Execute one notebook once, whatever it does, and say what became of it.

The order of events, the clocks and the verdict on each cell are here; the protocol is in
`session`, the process in `kernel`, the meaning of an error in `diagnosis`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbpipe.execution import diagnosis, halts, hidden_failures, source
from nbpipe.execution.kernels.kernel import Kernel, KernelStartError
from nbpipe.execution.kernels.messages import failed
from nbpipe.execution.kernels.provisioner import first_of
from nbpipe.execution.kernels.session import Session
from nbpipe.execution.ready import NOTHING_SHARED, Ready
from nbpipe.impact.traces import Watch
from nbpipe.model import Category, CellTime, Failure, Outcome, Progress, Result, Task
from nbpipe.system import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nbformat import NotebookNode

    from nbpipe.execution.halts import Halt
    from nbpipe.execution.kernels.session import Answer
    from nbpipe.execution.ready import Shared
    from nbpipe.execution.source import CodeCell
    from nbpipe.execution.workspace import Workspace

_DRAIN_SECONDS = 0.2
_BEGIN_SECONDS = 1.0
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError)
_INPUT_GRACE_SECONDS = 1.0
"""For a kernel that waits for an answer: IRkernel does not see the interrupt before it has one."""


@dataclass(slots=True)
class _Verdict:
    """What is known so far."""

    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    executed: int = 0
    total: int = 0
    interrupted: str | None = None
    memory: int | None = None
    times: list[CellTime] = field(default_factory=list)


class _Ended(Exception):  # noqa: N818  (control flow inside this module)
    """The notebook is over; what is wrong is in the verdict."""


async def execute_once(  # noqa: PLR0913  (all keywords but what to execute, and where)
    task: Task,
    output_dir: Path,
    *,
    attempt: int,
    halt: Halt,
    moved: Callable[[Progress], None],
    ready: Ready | None = None,
    shared: Shared = NOTHING_SHARED,
) -> Result:
    """Execute a notebook in a fresh kernel and write its executed copy and log.

    Never raises for anything that a notebook, its file or its kernel does.

    Args:
        task: What to execute.
        output_dir: Where copies and logs go.
        attempt: From 1.
        halt: Stops it.
        moved: Called when it reaches a cell.
        ready: What was made ready for it before its turn, if anything was.
        shared: What the run shares.
    """
    started = time.monotonic()
    verdict = _Verdict(notes=list(task.notes))
    ready = ready or Ready(task, output_dir, attempt, shared)
    workspace = ready.workspace
    watch = Watch(task, workspace.copy, shared.tracer)
    executed = trace = None
    notebook: NotebookNode | None = None
    try:
        with _bounded(workspace, verdict, "executing it"):
            notebook = await _prepare(task, verdict)
            if notebook is not None:
                execution = _Execution(task, notebook, ready, verdict, halt, moved, attempt)
                execution.watch = watch
                await execution.run()
        if notebook is not None:
            executed = await _write(workspace, notebook, verdict)
        with _bounded(workspace, verdict, "looking at what it depended on"):
            await ready.end()  # until its kernel is gone, something may open files
            trace = await watch.end(passed=_outcome(verdict) is Outcome.PASSED)
        verdict.notes += watch.remarks()
        _log_failures(workspace, verdict)
    finally:
        await ready.close()
    return Result(
        task=task,
        outcome=_outcome(verdict),
        reason=verdict.interrupted,
        kernel=task.kernel,
        seconds=time.monotonic() - started,
        attempts=attempt,
        cells_total=verdict.total,
        cells_executed=verdict.executed,
        failures=tuple(verdict.failures),
        executed=executed,
        log=workspace.log_relative,
        memory=verdict.memory,
        notes=tuple(verdict.notes),
        home=watch.home,
        shadowed=watch.shadowed,
        cell_times=tuple(verdict.times),
        packages=watch.packages,
        trace=trace,
    )


@contextlib.contextmanager
def _bounded(workspace: Workspace, verdict: _Verdict, doing: str) -> Iterator[None]:
    """Have a mistake of ours cost this notebook's verdict, nothing else: not its copy, not the run.

    Whatever a notebook, its file or its kernel do is not meant to get here.
    """
    try:
        yield
    except Exception as error:
        workspace.logger.exception("nbpipe failed while %s", doing)
        verdict.failures.append(diagnosis.internal(error, doing))


def _outcome(verdict: _Verdict) -> Outcome:
    if verdict.failures:
        return Outcome.FAILED
    return Outcome.PASSED if verdict.interrupted is None else Outcome.SKIPPED


async def _prepare(task: Task, verdict: _Verdict) -> NotebookNode | None:
    """Return the notebook to execute, None where it cannot be."""
    try:
        notebook = await asyncio.to_thread(source.read, task.file)
        verdict.notes += source.remarks(notebook)
        return source.prepare(notebook, task)
    except source.UnreadableNotebookError as error:
        name, message = "InvalidNotebook", f"the file {error}"
        signature = ""
    except source.UntranslatableParametersError as error:
        name, message = "NoTranslation", f"parameters for kernel {task.kernel!r}: {error}"
        signature = f"NoTranslation: {task.kernel}"
    broken = diagnosis.failure(Category.INVALID_NOTEBOOK, name, message)
    verdict.failures.append(replace(broken, signature=signature or broken.signature))
    return None


async def _write(workspace: Workspace, notebook: NotebookNode, verdict: _Verdict) -> str | None:
    problem = await asyncio.to_thread(workspace.write, notebook)
    if problem is None:
        return workspace.relative
    verdict.notes.append(problem)
    workspace.logger.error(problem)
    return None


def _log_failures(workspace: Workspace, verdict: _Verdict) -> None:
    for failure in verdict.failures:
        where = "" if failure.cell is None else f" in cells[{failure.cell}]"
        workspace.logger.error("%s%s: %s", failure.category, where, failure.message)
        if failure.traceback:
            workspace.logger.error("%s", failure.traceback)
    for note in verdict.notes:
        workspace.logger.info("note: %s", note)
    workspace.logger.info("end: %s", _outcome(verdict))


class _Execution:
    """One notebook on its kernel."""

    def __init__(  # noqa: PLR0913, PLR0917  (all that it needs, from one caller)
        self,
        task: Task,
        notebook: NotebookNode,
        ready: Ready,
        verdict: _Verdict,
        halt: Halt,
        moved: Callable[[Progress], None],
        attempt: int,
    ) -> None:
        self._task = task
        self._limits = task.limits
        self._verdict = verdict
        self._halt = halt
        self._ready = ready
        self._workspace = ready.workspace
        self._progress = Progress(task=task, cell=0, cells=0, attempt=attempt)
        self._moved = moved
        self._cells = source.code_cells(notebook)
        self._notebook = notebook
        self._session: Session
        self.watch: Watch | None = None
        verdict.total = sum(cell.origin is not None for cell in self._cells)

    @property
    def _kernel(self) -> Kernel:
        return self._ready.kernel  # another one, until it has started

    async def run(self) -> None:
        """Run all cells; whatever happens is in the verdict then, and the kernel is gone."""
        if (unfit := source.unsendable(self._cells)) is not None:
            half, why = unfit
            broken = diagnosis.failure(Category.INVALID_NOTEBOOK, "HalfCharacter", why, cell=half)
            self._verdict.failures.append(broken)
            return
        watch = halts.watched(self._task, self._workspace, self._halt, lambda: self._kernel.process)
        try:
            with contextlib.suppress(_Ended), watch:
                await self._start()
                await self._run_cells()
        finally:
            unwell = self._verdict.interrupted or self._halt.reason.done()
            grace = 0 if unwell else halts.shutdown_seconds(self._task)
            await self._ready.end(grace=grace)
            self._verdict.memory = self._kernel.memory
        if (how := self._kernel.fell) and not self._verdict.failures:  # it still could answer
            cell = self._cells[-1] if self._cells else None
            died = diagnosis.died(how, out_of_memory=False, cell=cell, said="")
            self._verdict.failures.append(died)

    async def _start(self) -> None:
        """Start the kernel, or give up when told to, or when it does not come."""
        starting = self._ready.start()
        await first_of(starting, self._halt.reason)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            self._stopped(self._halt.reason.result())
        try:
            await starting
        except KernelStartError as error:
            said = self._workspace.said(self._ready.log_start)
            died = error.category is Category.KERNEL_DIED
            self._fail(diagnosis.not_started(error.category, str(error), said=said, sure=died))
        except _MALFORMED as error:  # of jupyter_client, about the kernel's first messages
            self._workspace.logger.exception("the kernel's first answer cannot be read")
            why = f"the kernel's first answer cannot be read: {type(error).__name__}: {error}"
            self._fail(diagnosis.failure(Category.KERNEL_DIED, "KernelStart", why))
        finally:
            if self._kernel.spawned:
                self._workspace.logger.info("kernel not forked: %s", self._kernel.spawned)
            for refused in self._kernel.refused:
                self._workspace.logger.info("not preloaded: %s", refused)
            if caution := hidden_failures.caution(self._task.language):
                self._workspace.logger.warning("%s", caution)
        self._kills = machine.kill_counter(self._kernel.process or os.getpid())
        self._shell = halts.Shell(self._task.language, self._kernel.process)
        if self.watch is not None:
            self.watch.begin(self._kernel, self._notebook)
        self._session = Session(
            self._notebook,
            self._kernel,
            spool=self._workspace.spool,
            output_bytes=self._limits.output_bytes,
            on_flood=lambda why: self._halt(halts.too_much(why)),
            on_input=lambda prompt: self._halt(halts.asks(prompt)),
            log=self._workspace.logger,
        )
        await self._session.open()

    async def _run_cells(self) -> None:
        executed = [number for number, cell in enumerate(self._cells, start=1) if not cell.skip]
        last = max(executed, default=0)
        try:
            for number, cell in enumerate(self._cells, start=1):
                self._progress = replace(self._progress, cell=number, cells=len(self._cells))
                self._moved(self._progress)
                if self._halt.reason.done():  # an idle kernel would miss the interrupt
                    self._stopped(self._halt.reason.result(), cell)
                if not cell.skip:
                    await self._run_cell(cell, last=number == last)
        finally:
            self._note_losses()
            await self._session.close()

    def _note_losses(self) -> None:
        """Say in the result what the kernel sent and the executed copy lacks."""
        if lost := self._session.lost():
            self._verdict.notes.append(
                f"messages of the kernel that were lost: {lost}; it sent more than its queue"
                " holds, or text that is not UTF-8 (see the log): the executed copy lacks output"
            )
        if losses := self._session.losses:
            more = f" (and {len(losses) - 1} more, see the log)" if len(losses) > 1 else ""
            self._verdict.notes.append(f"the kernel sent what could not be kept: {losses[0]}{more}")

    async def _run_cell(self, cell: CodeCell, *, last: bool) -> None:
        """Run one cell to its end, or to what ends it."""
        started = time.monotonic()
        self._verdict.executed += cell.origin is not None
        log_start = self._workspace.log_bytes()
        self._kills_before = machine.kills(self._kills)
        running = asyncio.ensure_future(self._session.run(cell.node, cell.index, last=last))
        try:
            await first_of(
                running,
                self._halt.reason,
                self._kernel.exited,
                seconds=self._limits.cell_seconds,
            )
            # Several may have happened at once. A reason to halt comes first, since what the kernel
            # says after it does not count; then the cell's end, and the kernel's end last, because
            # a cell may end its kernel in order (`exit()`) and still have its answer on the way.
            if self._halt.reason.done() or not (running.done() or self._kernel.exited.done()):
                why = self._halt.reason.result() if self._halt.reason.done() else self._overdue()
                how = await self._interrupt(running, why)
                self._stopped(why, cell, how=how)
            elif not running.done() and not await self._finished_after_exit(running):
                await self._died(cell, log_start)
        finally:
            running.cancel()
            seconds = time.monotonic() - started
            name = "injected cell" if cell.origin is None else f"cells[{cell.origin}]"
            self._workspace.logger.info("%s: %.3f s", name, seconds)
            number = cell.node.get("execution_count")
            self._verdict.times.append(
                CellTime(
                    cell=cell.origin,
                    number=number if isinstance(number, int) else None,
                    seconds=round(seconds, 4),
                )
            )
        self._judge(cell, running.result())

    async def _finished_after_exit(self, running: asyncio.Future[Any]) -> bool:
        """Return whether the cell was answered before the kernel ended, as `exit()` does."""
        await self._session.drain(_DRAIN_SECONDS)
        return running.done()

    def _overdue(self) -> Failure:
        """Return what is wrong with a cell that is at its limit: it may wait at a terminal."""
        process, seconds = self._kernel.process, self._limits.cell_seconds or 0.0
        waiting = halts.reader(process) if process is not None else None
        return halts.waits(waiting.name) if waiting else halts.overran("cell", seconds)

    async def _interrupt(self, running: asyncio.Future[Any], why: str | Failure) -> str:
        """Interrupt the kernel; kill it when it does not react in time. Return what was done."""
        grace = self._limits.grace_seconds
        if isinstance(why, Failure) and why.category is Category.ASKS_FOR_INPUT:
            grace = min(grace, _INPUT_GRACE_SECONDS)
        begun = asyncio.ensure_future(self._session.begun())
        await first_of(running, begun, self._kernel.exited, seconds=_BEGIN_SECONDS)
        begun.cancel()
        await self._kernel.interrupt()
        hurry = asyncio.ensure_future(self._halt.now.wait())
        await first_of(running, self._kernel.exited, hurry, seconds=grace)
        hurry.cancel()
        if running.done():
            return "interrupted"
        if self._kernel.exited.done():
            return "interrupted, which ended its kernel"
        await self._kernel.kill()
        await self._session.drain(_DRAIN_SECONDS)
        return "interrupted and killed"

    def _stopped(
        self, why: str | Failure, cell: CodeCell | None = None, *, how: str = "stopped"
    ) -> None:
        """Record why it was stopped by us: what the kernel said about it does not count."""
        if isinstance(why, str):
            self._verdict.interrupted = why
            raise _Ended
        self._fail(halts.at(halts.told_how(why, how), cell))

    def _fail(self, failure: Failure) -> None:
        """Record a failure after which nothing more is executed."""
        self._verdict.failures.append(failure)
        raise _Ended

    async def _died(self, cell: CodeCell, log_start: int) -> None:
        how = await self._kernel.exited
        said = diagnosis.plain(self._workspace.said(log_start)).strip()
        killed = machine.kills(self._kills) > self._kills_before
        self._fail(diagnosis.died(how, out_of_memory=killed, cell=cell, said=said))

    def _judge(self, cell: CodeCell, answer: Answer) -> None:
        """Decide what a finished cell means."""
        errors, asked = self._errors(cell, answer)
        if self._ended_itself(cell, errors, asked=asked):
            raise _Ended
        if cell.raises or self._task.allow_errors:
            if cell.raises and not errors and not answer.captured:
                self._note(cell, "is tagged raises-exception and did not raise")
        elif errors:
            self._failed(cell, errors[0])
        elif answer.captured:
            error = answer.captured[0]
            said = diagnosis.plain(f"{error['ename']}: {error['evalue']}").split("\n", 1)[0]
            self._note(cell, f"passed, but shows an error in an Output widget: {said}")
        elif answer.withdrawn:
            name = answer.withdrawn[0]["ename"] or "without a name"
            self._note(cell, f"showed an error ({name}) and cleared it away")

    def _errors(self, cell: CodeCell, answer: Answer) -> tuple[list[dict[str, Any]], bool]:
        """Return what went wrong in a finished cell, and whether it asked to end the session."""
        errors, asked = answer.errors, hidden_failures.asked(answer.reply)
        if not errors and (refused := failed(answer.reply)) is not None:
            errors = [refused]
        if self._shell.was_lost() and not errors:
            errors, asked = hidden_failures.of_shell(cell.node.source), True
        elif asked and not errors and self._task.language == "r":
            errors = hidden_failures.of_r(cell.node.source)
        elif not errors and (told := hidden_failures.error_of(
            self._task.language, cell.node.source, self._everything_printed(cell)
        )):  # fmt: skip
            errors = [told]
        return errors, asked

    def _note(self, cell: CodeCell, what: str) -> None:
        self._verdict.notes.append(f"cells[{cell.origin}] {what}")

    def _failed(self, cell: CodeCell, error: dict[str, Any]) -> None:
        """Record a cell's error; without `--all-errors` nothing more is executed."""
        earlier = self._cells[: self._cells.index(cell)]
        failure = diagnosis.cell_error(
            error,
            cell,
            printed=self._printed(cell),
            said=self._printed(cell, "stderr"),
            before=[(before.node.source, self._printed(before)) for before in earlier],
        )
        self._verdict.failures.append(failure)
        if not self._task.all_errors:
            raise _Ended

    def _printed(self, cell: CodeCell, name: str | None = None) -> str:
        """Return the end of what a cell printed last, or of all that it printed to one stream."""
        streams = [output for output in cell.node.outputs if output["output_type"] == "stream"]
        if name is None:
            return self._session.tail(streams[-1]) if streams else ""
        return "".join(self._session.tail(each) for each in streams if each["name"] == name)

    def _everything_printed(self, cell: CodeCell) -> str:
        """Return the ends of all texts that a cell printed and showed, as plain text."""
        texts = []
        for output in cell.node.outputs:
            if output["output_type"] == "stream":
                texts.append(self._session.tail(output))
            elif isinstance(shown := output.get("data", {}).get("text/plain"), str):
                texts.append(shown)
        return diagnosis.plain("\n".join(texts))

    def _ended_itself(self, cell: CodeCell, errors: list[dict[str, Any]], *, asked: bool) -> bool:
        """Return whether the notebook asked to end here, and that well.

        `SystemExit` is success where it is for a script (and for papermill); so is `exit()`, which
        asks the frontend to end the session.
        """
        names = (diagnosis.exception_name(str(error.get("ename"))) for error in errors)
        ends = [error for error, name in zip(errors, names, strict=True) if name == "SystemExit"]
        if cell.origin is None:  # it would let every notebook pass unseen
            if asked and not errors:
                self._fail(halts.ended_early())
            return False
        well = ends and all(hidden_failures.is_success(e["evalue"], cell.node.source) for e in ends)
        if not well and (errors or not asked):
            return False
        left = self._verdict.total - self._verdict.executed
        if left > 0:
            self._verdict.notes.append(
                f"cells[{cell.origin}] ended the notebook; code cells not executed: {left}"
            )
        return True
