"""`nbpipe test`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from nbpipe import collecting, outputs, reports, runner
from nbpipe.cli import completion, notify, options, test_reports
from nbpipe.cluster import elsewhere
from nbpipe.config.settings import TestSettings
from nbpipe.errors import ExitCode
from nbpipe.history import expected, with_past
from nbpipe.history.records import storable
from nbpipe.model import Outcome
from nbpipe.prepare import RunOptions, prepare
from nbpipe.subset import Subset
from nbpipe.subset.results import resumed_run
from nbpipe.system.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.config import Config
    from nbpipe.execution.kernels.forks import Forks
    from nbpipe.execution.schedule import Listener
    from nbpipe.history import HistoryError
    from nbpipe.model import Plan, Result, Run, Task
    from nbpipe.reports.terminal import Color
    from nbpipe.runner import Executor


_GROUPS = {
    "Which notebooks": (
        *("exclude", "keyword", "last_failed", "failed_first", "resume", "changed_since"),
        *("shard", "list_only"),
    ),
    "How they run": (
        *("jobs", "threads", "memory_budget", "kernel", "kernel_map", "missing_kernel", "prerun"),
        *("parameter", "parameters_file", "fork", "preload", "cluster"),
    ),
    "Limits and retries": (
        *("timeout", "notebook_timeout", "output_limit", "all_errors", "retries", "flaky"),
        *("exitfirst", "maxfail"),
    ),
    "Reports": (
        *("reports", "output_dir", "verbose", "tracebacks", "durations", "progress", "color"),
    ),
}
"""The options, as `--help` groups them."""
_OTHERS = [kind for kind in reports.KINDS if kind != "console"]
_REPORTS = f"{', '.join(_OTHERS[:-1])} or {_OTHERS[-1]}"


@click.command(
    name="test",
    cls=options.ResumingCommand,
    groups=_GROUPS,
    defaults=TestSettings(),
    epilog="""\b
Examples:
  nbpipe test                                    everything below this folder
  nbpipe test 'notebooks/**/*.ipynb' -n 4        by git's rules for patterns
  nbpipe test 03_ScienceExamples --exclude '*Slow*' --report junit=junit.xml
  nbpipe test --list                             what would run, and why others would not""",
)
@click.argument("patterns", nargs=-1, metavar="[PATTERN…]", shell_complete=completion.paths)
@click.option(
    "-n",
    "--jobs",
    type=options.Auto(),
    metavar="N|auto",
    help="Number of notebooks to run in parallel; auto: one per core.",
)
@click.option(
    "--threads",
    type=options.Auto("off"),
    metavar="N|auto|off",
    help="Threads of each notebook's numerical libraries; auto: a slot's share of the cores.",
)
@click.option(
    "--memory-budget",
    type=options.Budget(),
    metavar="SIZE",
    help="Memory that all running notebooks may use together: 16G, or 80% of the machine.",
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave out matching notebooks; repeatable."
)
@click.option(
    "-k",
    "keyword",
    metavar="EXPR",
    help="Run only notebooks whose names, kernels or tags match: 'fits and not slow'.",
)
@click.option(
    "--kernel",
    metavar="NAME",
    help="Run every notebook on this kernel.",
    shell_complete=completion.kernels,
)
@click.option(
    "--kernel-map",
    type=options.Pair(),
    multiple=True,
    help="Run notebooks of kernel FROM on TO; repeatable.",
)
@click.option(
    "--missing-kernel",
    type=click.Choice(["fail", "skip"]),
    help="Fail or skip notebooks whose kernel is not installed.",
)
@click.option(
    "--timeout",
    type=options.Duration(),
    metavar="SECONDS",
    help="Time limit per cell: seconds, or such as 10m, 4h.",
)
@click.option(
    "--notebook-timeout",
    type=options.Duration(),
    metavar="SECONDS",
    help="Time limit per notebook: seconds, or such as 10m, 4h.",
)
@click.option(
    "--output-limit",
    type=options.Limit(),
    metavar="MB",
    help="Limit on the output of each notebook.",
)
@click.option(
    "--prerun",
    multiple=True,
    type=options.Here(),
    metavar="FILE",
    help="Code to run first in every notebook of its language; repeatable.",
)
@options.parameter_options
@click.option(
    "--all-errors/--first-error",
    default=None,
    help="Continue after a failing cell and report every error.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    help="Retry a failing notebook up to N times.",
)
@click.option(
    "--flaky",
    type=click.Choice(["pass", "fail"]),
    help="Whether a notebook that passed on a retry counts as passed or failed.",
)
@click.option(
    "--fork/--no-fork",
    default=None,
    help="Fork Python kernels from one process (the default), or start each from scratch.",
)
@click.option(
    "--preload",
    multiple=True,
    metavar="MODULE",
    help="Import MODULE before forking; repeatable. Faster, but visible to notebooks.",
)
@click.option(
    "--cluster",
    metavar="PROFILE|ADDRESS",
    shell_complete=completion.profiles,
    help="Run on other machines: a profile (`nbpipe profiles`), dask, or an address of Dask"
    " (tcp://…, tls://…, gateway+https://…).",
)
@click.option(
    "-x", "--exitfirst", is_flag=True, help="Start no more notebooks after the first failure."
)
@click.option(
    "--maxfail",
    type=click.IntRange(min=1),
    metavar="N",
    help="Start no more notebooks after N failures.",
)
@click.option("--lf", "last_failed", is_flag=True, help="Run only notebooks that failed last time.")
@click.option(
    "--ff", "failed_first", is_flag=True, help="Run notebooks that failed last time first."
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="latest",
    metavar="[RUN]",
    shell_complete=completion.runs,
    help="Run only what run RUN (default: the latest) did not get to; write --resume=RUN.",
)
@click.option(
    "--changed-since",
    metavar="REV",
    help="Run only what changes since commit REV could affect; the working tree counts.",
)
@click.option("--shard", type=options.Shard(), help="Run only part I of N.")
@click.option(
    "--list", "list_only", is_flag=True, help="Show what would run and what would not, and why."
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="List each notebook and cause, however many there are.",
)
@click.option(
    "--tb",
    "tracebacks",
    type=click.Choice(["short", "long", "none"]),
    default="short",
    show_default=True,
    help="How much of an error to show: the line in the cell and in the library, all, or its name.",
)
@click.option(
    "--durations",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Show the N slowest notebooks.",
)
@click.option(
    "--output-dir",
    type=options.Here(),
    metavar="DIR",
    help="Folder for executed copies and logs.",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="KIND[=PATH]",
    shell_complete=completion.reports,
    help=f"Also write {_REPORTS}; repeatable.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "none"]),
    default="auto",
    show_default=True,
    help="How a run shows that it goes on; auto: a bar on a terminal, lines elsewhere.",
)
@options.color_option
@options.shared
@click.pass_context
def command(ctx: click.Context, /, config_file: Path | None, **given: Any) -> int:  # noqa: ANN401
    """Execute notebooks, report pass or fail with the reason.

    A PATTERN is a notebook, a folder (everything below it) or a glob by git's rules; without
    one, what the configuration includes. Every notebook gets a fresh kernel and its own folder
    as the working directory. Sources are never written.
    """
    asked = _asked(ctx, given)
    config = asked.options.applied(options.load_config(config_file))
    try:
        plan = prepare(asked.options, config, say=_say_aside)
    except collecting.NothingPlanned as nothing:
        _report_nothing(asked, config, nothing.plan)
        raise
    if asked.list_only:
        _list(asked, config, plan)
        return ExitCode.OK
    if not plan.tasks and asked.options.selection.shard is None:
        _report_nothing(asked, config, plan)
        click.echo(_nothing_left(asked.options.subset))
        return ExitCode.OK
    return _execute(asked, config, plan)


def _list(asked: _Asked, config: Config, plan: Plan) -> None:
    """Write what would run, in the order of the plan, with what it took the last time."""
    known = expected(config.settings.history, plan.root)
    tasks = tuple(replace(each, expected=known.get(storable(each.path))) for each in plan.tasks)
    jobs, _ = runner.jobs(config.settings.test.jobs, len(plan.tasks))
    reports.listing(
        replace(plan, tasks=tasks), sys.stdout, color=asked.color, environ=os.environ, jobs=jobs
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What the command line says: of the run, and of how it is shown."""

    options: RunOptions
    jobs: int | None
    """How many notebooks at once the command line asks for; None: it does not."""
    list_only: bool
    progress: reports.ProgressMode
    color: Color
    durations: int
    verbose: bool
    tracebacks: Literal["short", "long", "none"]
    rerun: Callable[[Result], str]
    """Returns the command that runs one notebook again."""
    next_command: Callable[[Run], str]
    """Returns what to run after a run that did not pass."""


def _asked(ctx: click.Context, given: Mapping[str, Any]) -> _Asked:
    """Return what click has read; beyond this, everything has its type."""
    selection = collecting.Selection(
        cwd=Path.cwd(),
        patterns=given["patterns"],
        exclude=given["exclude"],
        keyword=given["keyword"],
        shard=given["shard"],
    )
    subset = Subset(
        last_failed=given["last_failed"],
        failed_first=given["failed_first"],
        resume=given["resume"],
        changed_since=given["changed_since"],
    )
    replaced, added = _settings(given)
    return _Asked(
        options=RunOptions(
            selection=selection,
            replaced=replaced,
            added=added,
            subset=subset,
            maxfail=1 if given["exitfirst"] else given["maxfail"] or 0,
            cluster=given["cluster"],
        ),
        jobs=given["jobs"] if isinstance(given["jobs"], int) else None,
        list_only=given["list_only"],
        progress=given["progress"],
        color=given["color"],
        durations=given["durations"],
        verbose=given["verbose"],
        tracebacks=given["tracebacks"],
        rerun=partial(test_reports.rerun_command, ctx),
        next_command=partial(test_reports.next_command, ctx),
    )


def _settings(given: Mapping[str, Any]) -> tuple[dict[str, object], dict[str, Any]]:
    """Return the options that stand for the setting of the same name.

    A single value replaces the configuration's; several, and tables, are added to it. The patterns
    of `--exclude` belong to the working directory, not to the configuration's.
    """
    named = {name: given[name] for name in TestSettings.__struct_fields__ if name in given}
    named |= {"parameters": options.parameters(given), "kernel_map": dict(given["kernel_map"])}
    del named["exclude"]
    added = {name: value for name, value in named.items() if isinstance(value, tuple | dict)}
    single = {name: value for name, value in named.items() if name not in added}
    return {name: value for name, value in single.items() if value is not None}, added


def _say_aside(text: str) -> None:
    click.echo(text, err=True)


def _warn(problem: HistoryError | None) -> None:
    """Report what is wrong with the history; the run does not depend on it."""
    if problem is not None:
        _say_aside(f"nbpipe: warning: the history: {problem}")


def _nothing_left(subset: Subset) -> str:
    if subset.resume:
        return "nothing to run: that run got to the end of all that was chosen (--list says more)"
    return "nothing to run: nothing that was chosen failed last (--list says more)"


def _order(asked: _Asked, config: Config, plan: Plan) -> runner.Order:
    cluster = asked.options.cluster is not None

    def warn(text: str) -> None:
        _say_aside(f"nbpipe: warning: {text}")

    return runner.ordered(plan, config, asked.options, elsewhere=cluster, say=warn)


def _report_nothing(asked: _Asked, config: Config, plan: Plan) -> None:
    """Write the reports that were asked for although nothing runs: somebody will read them."""
    github = reports.is_running(os.environ)
    if asked.list_only or not (config.settings.test.reports or github):
        return
    order = _order(asked, config, plan)
    requests = test_reports.requests(config, plan, order.output_dir)
    test_reports.write(runner.begin(order), requests, _console(asked, config), people=False)
    if not config.settings.test.output_dir:
        outputs.drop_empty(order.output_dir)


def _console(asked: _Asked, config: Config) -> reports.ConsoleReporter:
    return reports.ConsoleReporter(
        color=asked.color,
        environ=os.environ,
        durations=asked.durations,
        rerun=asked.rerun,
        pages=config.settings.history.pages,
        verbose=asked.verbose,
        tracebacks=asked.tracebacks,
        listed=_is_listed(asked),
        next_command=asked.next_command if config.settings.history.enabled else lambda _: "",
    )


def _is_listed(asked: _Asked) -> bool:
    """Return whether the progress names each notebook where the report goes, as in a CI's log."""
    if reports.resolved(asked.progress, sys.stderr, os.environ) != "plain":
        return False
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False


def _execute(asked: _Asked, config: Config, plan: Plan) -> int:
    order = _order(asked, config, plan)
    with outputs.used(order.output_dir):
        return _executed(asked, config, order)


def _executed(asked: _Asked, config: Config, order: runner.Order) -> int:
    test, cluster = config.settings.test, asked.options.cluster
    requests = test_reports.requests(config, order.plan, order.output_dir)
    resumed, keep = None, False
    if asked.options.subset.resume:
        resumed, keep = resumed_run(
            config.settings.history, order.plan, asked.options.subset.resume
        )
        if not cluster:
            elsewhere.refuse_left_behind(resumed)
    with nullcontext() if cluster else runner.kernels(order.plan, test) as forks:
        order, problem = runner.remember(order, config.settings.history)
        away = cluster and elsewhere.executor(
            cluster, config, order, jobs=asked.jobs, resumed=resumed, keep=keep
        )
        run = _with_progress(order, asked, forks, away or None)
        refused = forks.servers.refused if forks else {}
    for name, why in refused.items():
        _say_aside(f"nbpipe: warning: {name} is not preloaded: {first_line(why)}")
    run, unread = with_past(run, config.settings.history)
    _warn(problem or order.problem or unread)
    try:
        test_reports.write(run, requests, _console(asked, config))
    finally:
        notify.after(config, run)
    return _exit_code(run, flaky=test.flaky)


def _with_progress(
    order: runner.Order,
    asked: _Asked,
    forks: Forks | None,
    away: Callable[[tuple[Task, ...], Listener], Executor] | None,
) -> Run:
    """Run while showing how it goes, and own the signals."""
    with reports.open_progress(
        asked.progress,
        total=len(order.plan.tasks),
        stream=sys.stderr,
        color=asked.color,
        environ=os.environ,
        expected={each.path: each.expected for each in order.start if each.expected is not None},
        jobs=order.jobs,
    ) as display:
        own = threading.current_thread() is threading.main_thread()
        handled = partial(runner.signals, say=partial(_say, display), running=display.running)
        on_start = handled if own else None
        runs: list[Run] = []

        async def whole() -> None:
            runs.append(
                await runner.run(order, display, on_start=on_start, forks=forks, elsewhere=away)
            )

        try:
            asyncio.run(whole())
        except RuntimeError:  # asyncio ends with a thread, and there may be none left
            if not runs:
                raise
        return runs[0]


def _say(display: reports.Display, text: str) -> None:
    with display.still():  # two that draw at once leave stale lines
        sys.stderr.write(f"\n{text}\n")
        sys.stderr.flush()


def _exit_code(run: Run, *, flaky: str) -> ExitCode:
    if run.interrupted:
        return ExitCode.INTERRUPTED
    bad = run.count(Outcome.FAILED) + (run.count(Outcome.FLAKY) if flaky == "fail" else 0)
    return ExitCode.FAILED if bad else ExitCode.OK
