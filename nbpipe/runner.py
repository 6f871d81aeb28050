"""One `nbpipe test`: the signals, the run, its environment.

What the command line and the public API have in common. Which notebooks, how one is executed
and how a run is told stand in the rooms below.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import signal
import socket
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

from nbpipe import outputs
from nbpipe._version import __version__
from nbpipe.collecting.paths import on_disk
from nbpipe.errors import UsageError
from nbpipe.execution.kernels import capacity
from nbpipe.model import Run
from nbpipe.system import git, machine, units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nbpipe.config import Config
    from nbpipe.config.settings import HistorySettings, TestSettings
    from nbpipe.execution.kernels.forks import Forks
    from nbpipe.execution.schedule import Listener
    from nbpipe.history import HistoryError, PastRun, Recorder
    from nbpipe.impact.traces import Tracer
    from nbpipe.model import Plan, Progress, Result, Task
    from nbpipe.prepare import RunOptions


def jobs(wanted: int | Literal["auto"], notebooks: int) -> tuple[int, str]:
    """Return how many notebooks to run at once, and a warning where that is less than wanted.

    Args:
        wanted: How many; auto: one per core.
        notebooks: How many there are.
    """
    count = machine.cores() if wanted == "auto" else wanted
    most = capacity.jobs_with_enough_files(min(count, notebooks))
    if most >= min(count, notebooks):
        return count, ""
    return most, (
        f"running {most} notebooks at once instead of {min(count, notebooks)}: the hard limit of"
        f" open files (`ulimit -Hn`) allows no more; {min(count, notebooks)} notebooks need"
        f" {capacity.files_needed(min(count, notebooks))}"
    )


def memory_budget(wanted: str | None) -> int | None:
    """Return the budget in bytes that `80%` or `16G` mean on this machine; None: none is wanted.

    Raises:
        UsageError: It is a share, and nobody knows of what.
    """
    try:
        return units.budget(wanted, whole=machine.total()) if wanted else None
    except ValueError as error:
        raise UsageError(f"memory-budget: {error}", hint="Write 16G, for example.") from error


def with_threads(order: Order, wanted: int | Literal["auto", "off"]) -> Order:
    """Return the order with the cores shared out among the notebooks that run at once here.

    Args:
        order: What to run.
        wanted: The setting, for a notebook that has no other.
    """
    plan, cores, jobs = order.plan, machine.cores(), order.jobs
    tasks = capacity.shared(plan.tasks, jobs=jobs, cores=cores, environ=os.environ)
    together = capacity.at_once(tasks, jobs)
    share = capacity.share(wanted, slots=1, at_once=together, cores=cores, environ=os.environ)
    return replace(order, plan=replace(plan, tasks=tasks), threads=share)


def new_run_id(now: datetime) -> str:
    """Return an identifier that sorts by time and is not given twice."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def head_commit(root: Path) -> str | None:
    """Return the commit that is checked out in a folder, None outside of a repository."""
    with contextlib.suppress(*git.GitError):
        return git.output(root, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to run, and how."""

    plan: Plan
    run_id: str
    jobs: int
    output_dir: Path
    maxfail: int = 0
    memory_budget: int | None = None
    """Bytes for all notebooks that run at once; None: not looked at."""
    threads: int | None = None
    """As in a run."""
    start: tuple[Task, ...] = ()
    """The plan's tasks in the order in which to start them; empty: as in the plan."""
    trace: bool = True
    """Whether it is recorded what notebooks depend on, where a history is written."""
    recorder: Recorder | None = None
    """Writes the history; None: it is not written."""

    @property
    def problem(self) -> HistoryError | None:
        """Why the history of the run is not complete; None while it is."""
        return self.recorder.problem if self.recorder else None


def ordered(
    plan: Plan,
    config: Config,
    options: RunOptions,
    *,
    say: Callable[[str], None],
    elsewhere: bool = False,
) -> Order:
    """Return the order for a plan, its folder made.

    Args:
        plan: What is to run.
        config: The configuration, with the options applied.
        options: What somebody asked for.
        say: Shows a warning to a person.
        elsewhere: Other machines run it: their limits and cores are theirs.

    Raises:
        UsageError: The folder cannot be used, or the memory budget has no meaning here.
    """
    test = config.settings.test
    run_id = new_run_id(datetime.now(UTC))
    wanted = config.root / on_disk(test.output_dir) if test.output_dir else None
    count, warning = jobs(test.jobs, 0 if elsewhere else len(plan.tasks))
    if warning:
        say(warning)
    order = Order(
        plan=plan,
        run_id=run_id,
        jobs=count,
        output_dir=outputs.make_folder(wanted, run_id, plan.tasks),
        maxfail=options.maxfail,
        memory_budget=memory_budget(test.memory_budget),
    )
    return order if elsewhere else with_threads(order, test.threads)


class Executor(Protocol):
    """What executes tasks: a `Scheduler` of this machine, or a `Cluster` of others."""

    running: dict[str, Progress]

    @property
    def interrupted(self) -> bool:
        """Whether it was told to stop."""

    async def run(self) -> list[Result]:
        """Run everything; return all results, in the order in which they came."""

    def stop(self, reason: str) -> None:
        """Start nothing more and interrupt what runs; it becomes skipped with that reason."""

    def kill(self) -> None:
        """Kill what was interrupted and still runs."""


async def run(
    order: Order,
    listener: Listener,
    *,
    on_start: Callable[[Executor], contextlib.AbstractContextManager[None]] | None = None,
    forks: Forks | None = None,
    elsewhere: Callable[[tuple[Task, ...], Listener], Executor] | None = None,
) -> Run:
    """Execute a plan, and return the run.

    Args:
        order: What to run.
        listener: Is told what happens.
        on_start: Gives a context in which it all happens, for instance with signals handled.
        forks: What kernels are forked from (see `kernels`); None: each is started from scratch.
        elsewhere: Makes what executes the tasks; None: this machine does.
    """
    clock = time.monotonic()
    begun = begin(order)
    recorder = order.recorder
    # The history has the run before its first notebook starts, so that one that is killed is known.
    if recorder is not None:
        recorder.begin(_to_record(begun), order.plan.tasks)
        listener = _Recorded(listener, recorder)
    tasks = order.start or order.plan.tasks
    files = nullcontext() if elsewhere else capacity.enough_files(min(order.jobs, len(tasks)))
    with files, _traced(order, elsewhere is None) as tracer:
        scheduler = (
            elsewhere(tasks, listener)
            if elsewhere
            else _here(order, tasks, listener, forks=forks, tracer=tracer)
        )
        try:
            with on_start(scheduler) if on_start else nullcontext():
                results = await scheduler.run()
        finally:
            seconds = time.monotonic() - clock
            outputs.note_use(order.output_dir)
            if recorder is not None:
                recorder.end(seconds=seconds, interrupted=scheduler.interrupted)
    # Notebooks start and end in any order; people read them in that of the plan.
    place = {task.path: number for number, task in enumerate(order.plan.tasks)}
    return replace(
        begun,
        seconds=seconds,
        results=tuple(sorted(results, key=lambda result: place[result.path])),
        interrupted=scheduler.interrupted,
    )


def _here(
    order: Order,
    tasks: tuple[Task, ...],
    listener: Listener,
    *,
    forks: Forks | None,
    tracer: Tracer | None,
) -> Executor:
    from nbpipe.execution.ready import Shared  # noqa: PLC0415  (slow)
    from nbpipe.execution.schedule import MemoryBudget, Scheduler  # noqa: PLC0415  (slow)

    return Scheduler(
        tasks,
        jobs=order.jobs,
        output_dir=order.output_dir,
        listener=listener,
        maxfail=order.maxfail,
        budget=MemoryBudget(order.memory_budget, machine.available)
        if order.memory_budget
        else None,
        shared=Shared(forks=forks, tracer=tracer),
    )


def _traced(order: Order, here: bool) -> contextlib.AbstractContextManager[Tracer | None]:  # noqa: FBT001
    """Return a context that yields what records dependencies, where that is wanted here."""
    if not (here and order.trace and order.recorder):
        return nullcontext()
    from nbpipe.impact.traces import tracing  # noqa: PLC0415  (slow)

    return tracing(order.plan.root, order.output_dir)


@contextlib.contextmanager
def kernels(plan: Plan, settings: TestSettings) -> Iterator[Forks | None]:
    """Yield what the kernels of a plan are forked from, where the settings allow it.

    The servers start here, before all that the runner has to import, and end afterwards.
    """
    from nbpipe.execution.kernels.forks import forks  # noqa: PLC0415  (slow)
    from nbpipe.execution.kernels.kernel import begin_servers  # noqa: PLC0415

    with forks(plan.tasks, fork=settings.fork, preload=settings.preload) as made:
        if made is not None:
            with signals_as_owned():
                begin_servers(plan.tasks, made)
        yield made


def begin(order: Order) -> Run:
    """Return the run before anything has happened."""
    return Run(
        id=order.run_id,
        started=datetime.now(UTC),
        seconds=0.0,
        root=order.plan.root,
        output_dir=order.output_dir,
        commit=head_commit(order.plan.root),
        host=socket.gethostname(),
        version=__version__,
        python=platform.python_version(),
        jobs=order.jobs,
        threads=order.threads,
        results=(),
        excluded=order.plan.excluded,
    )


def _to_record(run: Run) -> PastRun:
    from nbpipe.history import PastRun  # noqa: PLC0415

    return PastRun(
        id=run.id,
        started=run.started,
        root=str(run.root),
        output_dir=str(run.output_dir),
        commit=run.commit,
        host=run.host,
        version=run.version,
        python=run.python,
        jobs=run.jobs,
    )


@dataclass(frozen=True, slots=True)
class _Recorded:
    """Tells a listener, and the history of every result first."""

    listener: Listener
    recorder: Recorder

    def started(self, progress: Progress) -> None:
        self.listener.started(progress)

    def moved(self, progress: Progress) -> None:
        self.listener.moved(progress)

    def finished(self, result: Result) -> None:
        self.recorder.add(result)
        self.listener.finished(result)


def remember(order: Order, settings: HistorySettings) -> tuple[Order, HistoryError | None]:
    """Return the order with the longest notebooks first and the history to be written.

    Where the history cannot be read, the second value says why, and nothing is written.
    """
    from nbpipe.history import Recorder, by_duration  # noqa: PLC0415

    if not settings.enabled:
        return order, None
    root = order.plan.root
    tasks = order.plan.tasks
    if len(tasks) <= order.jobs and not order.memory_budget:  # all start at once
        start, problem = tasks, None
    else:
        start, problem = by_duration(settings, root, tasks)
    recorder = None if problem else Recorder(settings, root)
    return replace(order, start=start, recorder=recorder, trace=settings.trace), problem


OWNED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What `signals` takes."""


@contextlib.contextmanager
def signals_as_owned() -> Iterator[None]:
    """Have what is started in here find the signals as it would while `signals` owns them.

    What is ignored is inherited (`nohup`, a shell's `&`), what is handled is not (execve(2)).
    """
    ignored: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        ignored = [each for each in OWNED if signal.getsignal(each) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def signals(
    scheduler: Executor, *, say: Callable[[str], None], running: Callable[[], str]
) -> Iterator[None]:
    """Own the signals of the process while a run goes on; only in the main thread.

    The first SIGINT, SIGTERM or SIGHUP starts nothing more and interrupts what runs, the second
    one kills. SIGUSR1 prints what is running.

    Args:
        scheduler: The run.
        say: Prints a line for a person.
        running: Returns what is running now.
    """
    loop = asyncio.get_running_loop()
    ends = OWNED[:-1]

    def end(name: str) -> None:
        if scheduler.interrupted:
            scheduler.kill()
            tell("Again: killing what still runs.")
            return
        scheduler.stop(f"the run was interrupted ({name})")
        tell(f"{name}: nothing more is started; interrupting what runs. Once more kills it.")

    def tell(text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal that hung up
            say(text)

    for number in ends:
        loop.add_signal_handler(number, end, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGUSR1, lambda: tell(running()))
    try:
        yield
    finally:
        for number in OWNED:
            loop.remove_signal_handler(number)
