"""`nbpipe.test` for notebooks and scripts: a run that yields results and shows itself.

The same as `nbpipe test`, in a thread of its own, because Jupyter's thread has a running event
loop already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbpipe.distribution import refuse_mixture
from nbpipe.model import Outcome, Progress, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nbpipe.config.settings import TestSettings
    from nbpipe.history import HistoryError
    from nbpipe.model import Plan, Run
    from nbpipe.runner import Executor, Order


def test(  # noqa: PLR0913  (all keywords: the options of `nbpipe test`)
    patterns: str | Path | Iterable[str | Path] = (),
    *,
    exclude: str | Iterable[str] = (),
    jobs: int | Literal["auto"] | None = None,
    memory_budget: str | None = None,
    kernel: str | None = None,
    missing_kernel: Literal["fail", "skip"] | None = None,
    timeout: float | None = None,
    notebook_timeout: float | None = None,
    prerun: str | Path | Iterable[str | Path] | None = None,
    parameters: Mapping[str, Any] | None = None,
    retries: int | None = None,
    all_errors: bool | None = None,
    output_dir: str | Path | None = None,
    config: str | Path | None = None,
) -> TestRun:
    """Start to execute notebooks; return the run at once.

    Args:
        patterns: Notebooks, folders, globs; relative to the working directory.
        exclude: Patterns to leave out.
        jobs: How many at once.
        memory_budget: Memory for all notebooks at once, such as "16G" or "80%".
        kernel: Run every notebook on this kernel.
        missing_kernel: What to do where a kernel is not installed.
        timeout: Seconds for a cell.
        notebook_timeout: Seconds for a notebook.
        prerun: Files with code that runs first in every notebook of their language.
        parameters: As papermill injects them.
        retries: How often a failing notebook is tried again.
        all_errors: Go on after a failing cell.
        output_dir: For executed copies and logs.
        config: A configuration file instead of the one found from here upwards.

    Raises:
        UsageError: Something asked for cannot be.
        NothingCollected: The patterns choose no notebook.
    """
    refuse_mixture(sys.modules["nbpipe"], sys.path)
    from nbpipe import collecting, runner  # noqa: PLC0415  (slow)
    from nbpipe import config as configuration  # noqa: PLC0415
    from nbpipe.prepare import RunOptions, prepare  # noqa: PLC0415

    asked = {
        "jobs": jobs,
        "memory_budget": memory_budget,
        "kernel": kernel,
        "missing_kernel": missing_kernel,
        "timeout": timeout,
        "notebook_timeout": notebook_timeout,
        "retries": retries,
        "all_errors": all_errors,
        "parameters": None if parameters is None else dict(parameters),
        "prerun": None if prerun is None else [str(Path(p).absolute()) for p in _many(prerun)],
        "output_dir": None if output_dir is None else str(Path(output_dir).absolute()),
    }
    options = RunOptions(
        selection=collecting.Selection(
            cwd=Path.cwd(),
            patterns=tuple(map(str, _many(patterns))),
            exclude=tuple(map(str, _many(exclude))),
        ),
        replaced={name: value for name, value in asked.items() if value is not None},
    )
    file = None if config is None else Path(config).absolute()
    settings = options.applied(configuration.load(Path.cwd(), file=file))
    plan = prepare(options, settings)
    order = runner.ordered(plan, settings, options, say=logging.getLogger("nbpipe").warning)
    order, problem = runner.remember(order, settings.settings.history)
    _warn(problem)
    return TestRun(order, settings.settings.test)


def _warn(problem: HistoryError | None) -> None:
    """Tell what is wrong with the history; a warning that is an error would fail the run."""
    if problem is not None:
        logging.getLogger("nbpipe").warning("the history: %s", problem)


def _many(value: str | Path | Iterable[str | Path]) -> Iterable[str | Path]:
    return [value] if isinstance(value, str | Path) else value


class TestRun:
    """A run on its way, or at its end.

    Iterating yields every result as it comes; in Jupyter it shows itself as a table. `wait`
    returns when all is done.
    """

    __test__ = False  # pytest: this is no test

    def __init__(self, order: Order, settings: TestSettings) -> None:
        self._order = order
        self._settings = settings
        self._queue: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._results: list[Result] = []
        self._running: dict[str, Progress] = {}
        self._scheduler: Executor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._run: Run | None = None
        self._thread = threading.Thread(target=self._work, name="nbpipe", daemon=True)
        self._thread.start()

    @property
    def plan(self) -> Plan:
        """What was chosen, and what was not, and why."""
        return self._order.plan

    @property
    def output_dir(self) -> Path:
        """Where the executed copies and logs are."""
        return self._order.output_dir

    @property
    def results(self) -> tuple[Result, ...]:
        """The results so far, in the order of the plan."""
        place = {task.path: number for number, task in enumerate(self.plan.tasks)}
        return tuple(sorted(self._results, key=lambda result: place[result.path]))

    @property
    def passed(self) -> tuple[Result, ...]:
        """Those that passed."""
        return self._with(Outcome.PASSED)

    @property
    def failed(self) -> tuple[Result, ...]:
        """Those that failed."""
        return self._with(Outcome.FAILED)

    @property
    def flaky(self) -> tuple[Result, ...]:
        """Those that failed, and passed on a retry."""
        return self._with(Outcome.FLAKY)

    @property
    def skipped(self) -> tuple[Result, ...]:
        """Those that were not executed."""
        return self._with(Outcome.SKIPPED)

    @property
    def seconds(self) -> float:
        """Wall time of the whole run; 0 until it has ended."""
        return self._run.seconds if self._run else 0.0

    def _with(self, outcome: Outcome) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome is outcome)

    def __iter__(self) -> Iterator[Result]:
        """Yield the results that have not been yielded yet, as they come."""
        try:
            while (result := self._queue.get()) is not None:
                yield result
        except KeyboardInterrupt:
            self.stop()
            raise
        self._queue.put(None)  # for the next iteration
        self._finish()

    def wait(self) -> TestRun:
        """Return when everything has its result.

        Interrupting it (Ctrl-C, the stop button) stops the run.
        """
        for _ in self:
            pass
        return self

    def stop(self) -> None:
        """Start nothing more, interrupt what runs, and wait for it."""
        if self._loop is not None and self._scheduler is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._scheduler.stop, "the run was stopped")
        self._thread.join()

    def _finish(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def failures(self) -> Failures:
        """Return what went wrong, grouped by cause; in Jupyter it shows itself."""
        return Failures((*self.failed, *self.flaky))

    def _repr_html_(self) -> str:
        from nbpipe.reports import html_table  # noqa: PLC0415

        return html_table.table(
            self.results, self.plan.excluded, running=list(self._running.values())
        )

    def __repr__(self) -> str:
        counts = (f"{len(self._with(outcome))} {outcome}" for outcome in Outcome)
        return f"<TestRun {len(self._results)} of {len(self.plan.tasks)}: {', '.join(counts)}>"

    def started(self, progress: Progress) -> None:
        """Take note that a notebook starts (from the run's thread)."""
        self._running[progress.task.path] = progress

    moved = started

    def finished(self, result: Result) -> None:
        """Take note of a result (from the run's thread)."""
        self._running.pop(result.path, None)
        self._results.append(result)
        self._queue.put(result)

    def _work(self) -> None:
        from nbpipe import outputs, runner  # noqa: PLC0415  (slow)

        kernels = runner.kernels(self.plan, self._settings)
        try:
            with outputs.used(self.output_dir), kernels as forks:
                run = runner.run(self._order, self, on_start=self._begin, forks=forks)
                self._run = asyncio.run(run)
            _warn(self._order.problem)
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self._error = error
        finally:
            self._queue.put(None)

    def _begin(self, scheduler: Executor) -> contextlib.AbstractContextManager[None]:
        self._scheduler, self._loop = scheduler, asyncio.get_running_loop()
        return contextlib.nullcontext()


class Failures:
    """What went wrong in a run: text for a terminal, HTML in Jupyter."""

    def __init__(self, results: tuple[Result, ...]) -> None:
        self.results = results

    def _repr_html_(self) -> str:
        from nbpipe.reports import html_table  # noqa: PLC0415

        return html_table.failures(self.results)

    def __repr__(self) -> str:
        texts = [
            f"{result}\n{result.failure.traceback or result.failure.message}"
            for result in self.results
            if result.failure is not None
        ]
        return "\n\n".join(texts) or "no failures"
