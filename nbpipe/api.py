"""`nbpipe.test` for notebooks and scripts: a run that yields results and shows itself.

The same as `nbpipe test`, in a thread of its own, because Jupyter's thread has a running event
loop already. Of the command line's options only those are missing that a notebook has no use for:
`--cluster`, `--list`, and what is about a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbpipe.errors import UsageError
from nbpipe.model import Outcome, Result
from nbpipe.reports.live_table import LiveTable, Output, file_browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nbpipe.config import Config
    from nbpipe.history import HistoryError
    from nbpipe.model import Plan, Progress, Run
    from nbpipe.prepare import RunOptions
    from nbpipe.reports import Request
    from nbpipe.reports.html_table import State
    from nbpipe.runner import Executor, Order

Names = str | Path | Iterable[str | Path]
STOPPED = "the run was stopped"


def test(  # noqa: PLR0913  (all keywords: the options of `nbpipe test`)
    patterns: Names = (),
    *,
    exclude: Names = (),
    k: str | None = None,
    lf: bool = False,
    ff: bool = False,
    resume: str | bool | None = None,
    changed_since: str | None = None,
    shard: tuple[int, int] | None = None,
    exitfirst: bool = False,
    maxfail: int = 0,
    jobs: int | Literal["auto"] | None = None,
    threads: int | Literal["auto", "off"] | None = None,
    memory_budget: str | None = None,
    kernel: str | None = None,
    kernel_map: Mapping[str, str] | None = None,
    missing_kernel: Literal["fail", "skip"] | None = None,
    timeout: float | str | None = None,
    notebook_timeout: float | str | None = None,
    output_limit: float | None = None,
    prerun: Names | None = None,
    parameters: Mapping[str, Any] | None = None,
    retries: int | None = None,
    flaky: Literal["pass", "fail"] | None = None,
    all_errors: bool | None = None,
    fork: bool | None = None,
    preload: str | Iterable[str] = (),
    report: str | Iterable[str] = (),
    output_dir: str | Path | None = None,
    config: str | Path | None = None,
    show: bool | None = None,
) -> TestRun:
    """Start to execute notebooks; return the run at once.

    The arguments are the options of `nbpipe test`, by their names there.

    Args:
        patterns: Notebooks, folders, globs; relative to the working directory.
        exclude: Patterns to leave out.
        k: Only notebooks whose names, kernels or tags match: "fits and not slow".
        lf: Only notebooks that failed last time.
        ff: Notebooks that failed last time first.
        resume: Only what a run did not get to: its id, or True for the latest.
        changed_since: Only what changes since this commit could affect.
        shard: (I, N): only part I of N.
        exitfirst: Start no more notebooks after the first failure.
        maxfail: Start no more notebooks after that many failures; 0: go on.
        jobs: Number of notebooks to run in parallel; auto: one per core.
        threads: Threads of each notebook's numerical libraries.
        memory_budget: Memory for all notebooks at once, such as "16G" or "80%".
        kernel: Run every notebook on this kernel.
        kernel_map: Name in the notebook -> installed kernel.
        missing_kernel: What to do where a kernel is not installed.
        timeout: Seconds for a cell, or such as "10m".
        notebook_timeout: Seconds for a notebook, or such as "4h".
        output_limit: Megabytes of output of one notebook.
        prerun: Files with code that runs first in every notebook of their language.
        parameters: As papermill injects them.
        retries: Retry a failing notebook up to this many times.
        flaky: Whether a notebook that passed on a retry counts as passed or failed.
        all_errors: Go on after a failing cell.
        fork: Fork Python kernels from one process, or start each from scratch.
        preload: Modules to import before forking.
        report: KIND or KIND=PATH: junit, json, html, markdown.
        output_dir: For executed copies and logs.
        config: A configuration file instead of the one found from here upwards.
        show: Show the run while it goes on; by default in a notebook, not on a terminal.

    Raises:
        UsageError: Something asked for cannot be.
        HistoryError: `lf` or `resume`, and the history does not know what was chosen.
        NothingCollected: The patterns choose no notebook.
    """
    asked = dict(locals())  # exactly the arguments
    return _started(_options(asked), config, show=show)


def _options(asked: Mapping[str, Any]) -> RunOptions:
    """Return the arguments of `test` as every other way to start a run gives them.

    Those that stand for a setting of the same name are taken by that name.
    """
    from nbpipe import collecting  # noqa: PLC0415  (slow)
    from nbpipe.config.settings import TestSettings  # noqa: PLC0415
    from nbpipe.prepare import RunOptions  # noqa: PLC0415
    from nbpipe.subset import Subset  # noqa: PLC0415

    single = {name: asked[name] for name in TestSettings.__struct_fields__ if name in asked}
    for name in ("exclude", "kernel_map", "preload"):  # added, or of this call alone
        del single[name]
    if single["parameters"] is not None:
        single["parameters"] = dict(single["parameters"])
    if single["prerun"] is not None:
        single["prerun"] = [str(Path(each).absolute()) for each in _many(single["prerun"])]
    if single["output_dir"] is not None:
        single["output_dir"] = str(Path(single["output_dir"]).absolute())
    added = {
        "kernel_map": dict(asked["kernel_map"] or {}),
        "preload": tuple(map(str, _many(asked["preload"]))),
        "reports": tuple(map(str, _many(asked["report"]))),
    }
    return RunOptions(
        selection=collecting.Selection(
            cwd=Path.cwd(),
            patterns=tuple(map(str, _many(asked["patterns"]))),
            exclude=tuple(map(str, _many(asked["exclude"]))),
            keyword=asked["k"],
            shard=_shard(asked["shard"]),
        ),
        replaced={name: value for name, value in single.items() if value is not None},
        added={name: value for name, value in added.items() if value},
        subset=Subset(
            last_failed=asked["lf"],
            failed_first=asked["ff"],
            resume="latest" if asked["resume"] is True else asked["resume"] or None,
            changed_since=asked["changed_since"],
        ),
        maxfail=1 if asked["exitfirst"] else asked["maxfail"],
    )


def _started(options: RunOptions, file: str | Path | None, *, show: bool | None) -> TestRun:
    """Start what was asked for, the one way that the command line goes, too."""
    from nbpipe import config as configuration  # noqa: PLC0415  (slow)
    from nbpipe import outputs, runner  # noqa: PLC0415
    from nbpipe.prepare import prepare  # noqa: PLC0415
    from nbpipe.reports import live_table  # noqa: PLC0415

    where = None if file is None else Path(file).absolute()
    config = options.applied(configuration.load(Path.cwd(), file=where))
    plan = prepare(options, config, say=_say)
    order = runner.ordered(plan, config, options, say=_say)
    requests = outputs.requests(config, plan, order.output_dir)
    order, problem = runner.remember(order, config.settings.history)
    _warn(problem)
    output = live_table.output() if show is None or show else None
    return TestRun(order, config, requests, output)


def _say(text: str) -> None:
    logging.getLogger("nbpipe").warning(text.removeprefix("nbpipe: warning: "))


def _warn(problem: HistoryError | None) -> None:
    """Tell what is wrong with the history; a warning that is an error would fail the run."""
    if problem is not None:
        _say(f"the history: {problem}")


def _many(value: Names) -> Iterable[str | Path]:
    return [value] if isinstance(value, str | Path) else value


def _shard(value: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the part and the number of parts.

    Raises:
        UsageError: It is not one of the parts.
    """
    if value is None:
        return None
    try:
        number, count = value
        if 1 <= number <= count:
            return number, count
    except (TypeError, ValueError):
        pass
    raise UsageError(f"shard={value!r}: not (I, N) with I from 1 to N", hint="Such as (2, 4).")


class RunStopped(KeyboardInterrupt):
    """A run that a person waited for was interrupted, and has been stopped."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: where it was interrupted is of no interest."""
        return [str(self)]


class TestRun:
    """A run on its way, or at its end.

    Iterating yields every result as it comes; in Jupyter it shows itself as a table, from its
    start to its end. `wait` returns when all is done.
    """

    __test__ = False  # pytest: this is no test

    def __init__(
        self,
        order: Order,
        config: Config,
        requests: Sequence[Request] = (),
        output: Output | None = None,
    ) -> None:
        self._order = order
        self._config = config
        self._requests = requests
        self._queue: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._scheduler: Executor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self._error: BaseException | None = None
        self._run: Run | None = None
        self._written: list[tuple[str, Path]] = []
        self._browser = file_browser(os.environ)  # the working directory may change meanwhile
        self._table = LiveTable(order.plan, self._completed, output)
        self._table.draw()
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
    def reports(self) -> dict[str, Path]:
        """The reports that were written: kind -> place. Empty until the run has ended."""
        return dict(self._written)

    @property
    def results(self) -> tuple[Result, ...]:
        """The results so far, in the order of the plan."""
        return self._table.results

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
        """Those that were not executed, or not to their end."""
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
            raise RunStopped(f"{STOPPED}: {self._summary()}") from None
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
        """Start nothing more, interrupt what runs, and wait for it; interrupted again, kill it."""
        self._is_stopped = True  # for a run whose scheduler does not exist yet
        self._tell(lambda scheduler: scheduler.stop(STOPPED))
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt:
                self._tell(lambda scheduler: scheduler.kill())

    def _tell(self, action: Callable[[Executor], None]) -> None:
        """Have the run's own thread do something to what executes."""
        loop, scheduler = self._loop, self._scheduler
        if loop is not None and scheduler is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(action, scheduler)

    def _finish(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def failures(self) -> Failures:
        """Return what went wrong, grouped by cause; in Jupyter it shows itself."""
        return Failures((*self.failed, *self.flaky))

    def _repr_html_(self) -> str:
        return self._table.page(is_over=not self._thread.is_alive())

    def _ipython_display_(self) -> None:
        """Show it as IPython does; the table of the cell that started it is there already."""
        from IPython import display  # noqa: PLC0415  (who calls this has it)

        if not self._table.again():
            data = {"text/plain": repr(self), "text/html": self._repr_html_()}
            display.display(data, raw=True)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        running = self._table.oldest()
        also = f"; {self._table.running()}" if running else ""
        return f"<TestRun {self._summary()}{also}>"

    def _summary(self) -> str:
        counts = (f"{len(self._with(outcome))} {outcome}" for outcome in Outcome)
        return f"{len(self.results)} of {len(self.plan.tasks)}: {', '.join(counts)}"

    def _completed(self, state: State) -> State:
        """Return what the table shows, with what only the run knows."""
        headline, seconds = "", state.seconds
        if self._error is not None:
            headline = f"The run ended with an error: {type(self._error).__name__}: {self._error}"
            seconds = None
        elif self._is_stopped:
            headline = "Stopped" if self._run else "Stopping"
        return replace(
            state,
            headline=headline,
            seconds=self._run.seconds if self._run else seconds,
            folder=self.output_dir,
            browser=self._browser,
            reports=tuple(self._written),
        )

    def started(self, progress: Progress) -> None:
        """Take note that a notebook starts (from the run's thread)."""
        self._table.started(progress)

    def moved(self, progress: Progress) -> None:
        """Take note of the cell a notebook is at (from the run's thread)."""
        self._table.moved(progress)

    def finished(self, result: Result) -> None:
        """Take note of a result (from the run's thread)."""
        self._table.finished(result)
        self._queue.put(result)

    def _work(self) -> None:
        from nbpipe import outputs, runner  # noqa: PLC0415  (slow)

        try:
            with self._table:
                kernels = runner.kernels(self.plan, self._config.settings.test)
                with outputs.used(self.output_dir), kernels as forks:
                    run = runner.run(self._order, self, on_start=self._begin, forks=forks)
                    self._run = asyncio.run(run)
                _warn(self._order.problem)
                self._report(self._run)
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self._error = error
        finally:
            with contextlib.suppress(Exception):  # a page that is gone hinders no run
                self._table.draw(is_over=True)
            self._queue.put(None)

    def _report(self, run: Run) -> None:
        """Write the reports that were asked for; what hinders one does not hinder the others."""
        from nbpipe import reports  # noqa: PLC0415  (slow)
        from nbpipe.history import with_past  # noqa: PLC0415

        history = self._config.settings.history
        run, unread = with_past(run, history)
        _warn(unread)
        console = reports.ConsoleReporter(environ=os.environ, pages=history.pages)
        for kind, path in ((each.kind, each.path) for each in self._requests):
            if path is None:  # standard output is the notebook's own
                continue
            try:
                reports.write(reports.reporter(kind, console=console), run, path, stdout=sys.stdout)
            except Exception as error:  # noqa: BLE001  (one report never takes the others away)
                _say(f"the {kind} report was not written: {type(error).__name__}: {error}")
            else:
                self._written.append((kind, path.absolute()))

    def _begin(self, scheduler: Executor) -> contextlib.AbstractContextManager[None]:
        self._scheduler, self._loop = scheduler, asyncio.get_running_loop()
        if self._is_stopped:  # while kernels were made ready
            self._loop.call_soon(scheduler.stop, STOPPED)
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
