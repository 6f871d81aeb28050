"""`nbpipe test`."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import threading
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from nbpipe import collecting, outputs, reports, runner
from nbpipe.cli import affected, earlier, elsewhere, notify, options, reporting, rerun
from nbpipe.collecting.naming import on_disk
from nbpipe.errors import ExitCode
from nbpipe.history import with_past
from nbpipe.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbpipe.config import Config
    from nbpipe.execution.schedule import Listener
    from nbpipe.model import Plan, Run, Task
    from nbpipe.runner import Executor
    from nbpipe.settings import TestSettings

_SETTINGS = (
    "kernel",
    "missing_kernel",
    "timeout",
    "notebook_timeout",
    "output_limit",
    "retries",
    "flaky",
    "all_errors",
    "jobs",
    "threads",
    "memory_budget",
    "fork",
)
"""Options that stand for the setting of the same name."""


@click.command(
    name="test",
    cls=earlier.ResumingCommand,
    epilog="""\b
Examples:
  nbpipe test                                    everything below this folder
  nbpipe test 'notebooks/**/*.ipynb' -n 4        by git's rules for patterns
  nbpipe test 03_ScienceExamples --exclude '*Slow*' --report junit=junit.xml
  nbpipe test --list                             what would run, and why the others would not""",
)
@click.argument("patterns", nargs=-1, metavar="[PATTERN…]")
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
@click.option("--kernel", metavar="NAME", help="Run every notebook on this kernel.")
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
    type=options.Limit(),
    metavar="SECONDS",
    help="Time limit per cell.",
)
@click.option(
    "--notebook-timeout",
    type=options.Limit(),
    metavar="SECONDS",
    help="Time limit per notebook.",
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
    type=click.Path(path_type=Path),
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
    help="Run only what run RUN (default: the latest) did not get to; write --resume=RUN.",
)
@affected.option
@click.option("--shard", type=options.Shard(), help="Run only part I of N.")
@click.option(
    "--list", "list_only", is_flag=True, help="Show what would run and what would not, and why."
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
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for executed copies and logs.",
)
@click.option(
    "--report",
    multiple=True,
    metavar="KIND[=PATH]",
    help="Also write junit, json, html, markdown or github; repeatable.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "none"]),
    default="auto",
    show_default=True,
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
    config = _merged(options.load_config(config_file), given)
    selection = collecting.Selection(
        cwd=Path.cwd(),
        patterns=given["patterns"],
        exclude=given["exclude"],
        keyword=given["keyword"],
        shard=given["shard"],
    )
    try:
        plan = collecting.plan(selection, config, kernels=collecting.installed_kernels())
    except collecting.NothingPlanned as nothing:
        _report_nothing(ctx, config, nothing.plan, given)
        raise
    for pattern in plan.unmatched:
        click.echo(f"nbpipe: warning: {pattern} matched no notebook", err=True)
    plan = earlier.narrowed(
        plan,
        config,
        last_failed=given["last_failed"],
        failed_first=given["failed_first"],
        resume=given["resume"],
        changed_since=given["changed_since"],
    )
    if given["list_only"]:
        reports.listing(plan, sys.stdout, color=given["color"], environ=os.environ)
        return ExitCode.OK
    if not plan.tasks and given["shard"] is None:
        _report_nothing(ctx, config, plan, given)
        click.echo(_nothing_left(plan, given))
        return ExitCode.OK
    return _execute(ctx, config, plan, given)


def _nothing_left(plan: Plan, given: dict[str, Any]) -> str:
    if given["resume"]:
        return "nothing to run: that run got to the end of all that was chosen (--list says more)"
    if given["last_failed"]:
        return "nothing to run: nothing that was chosen failed last (--list says more)"
    return f"nothing to run in this shard; {len(plan.excluded)} notebooks are elsewhere"


def _merged(config: Config, given: dict[str, Any]) -> Config:
    """Return the configuration with what the command line says instead."""
    test = config.settings.test
    changes = {name: given[name] for name in _SETTINGS if given[name] is not None}
    cwd = Path.cwd()
    merged: TestSettings = msgspec.structs.replace(
        test,
        kernel_map=test.kernel_map | dict(given["kernel_map"]),
        parameters=test.parameters | options.parameters(given),
        prerun=(*test.prerun, *(str(cwd / file) for file in given["prerun"])),
        preload=(*test.preload, *given["preload"]),
        reports=(*test.reports, *given["report"]),
        **changes,
    )
    if given["output_dir"] is not None:
        merged = msgspec.structs.replace(merged, output_dir=str(cwd / given["output_dir"]))
    settings = msgspec.structs.replace(config.settings, test=merged)
    return dataclasses.replace(config, settings=settings)


def _order(config: Config, plan: Plan, given: dict[str, Any]) -> runner.Order:
    test = config.settings.test
    run_id = runner.new_run_id(datetime.now(UTC))
    wanted = config.root / on_disk(test.output_dir) if test.output_dir else None
    here = 0 if given["cluster"] else len(plan.tasks)
    jobs, warning = runner.jobs(test.jobs, here)
    if warning:
        click.echo(f"nbpipe: warning: {warning}", err=True)
    return runner.Order(
        plan=plan,
        run_id=run_id,
        jobs=jobs,
        output_dir=outputs.make_folder(wanted, run_id, plan.tasks),
        maxfail=1 if given["exitfirst"] else given["maxfail"] or 0,
        memory_budget=runner.memory_budget(test.memory_budget),
    )


def _report_nothing(ctx: click.Context, config: Config, plan: Plan, given: dict[str, Any]) -> None:
    """Write the reports that were asked for although nothing runs: somebody will read them."""
    github = reports.is_running(os.environ)
    if given["list_only"] or not (config.settings.test.reports or github):
        return
    order = _order(config, plan, given)
    requests = reporting.requests(config, plan, order.output_dir)
    reporting.write(runner.begin(order), requests, _console(ctx, given), people=False)
    if not config.settings.test.output_dir:
        outputs.drop_empty(order.output_dir)


def _console(ctx: click.Context, given: dict[str, Any]) -> reports.ConsoleReporter:
    return reports.ConsoleReporter(
        color=given["color"],
        environ=os.environ,
        durations=given["durations"],
        rerun=partial(rerun.command, ctx),
    )


def _execute(ctx: click.Context, config: Config, plan: Plan, given: dict[str, Any]) -> int:
    order = _order(config, plan, given)
    if not given["cluster"]:  # whose workers have cores of their own
        order = runner.with_threads(order, config.settings.test.threads)
    with outputs.used(order.output_dir):
        return _executed(ctx, config, order, given)


def _executed(
    ctx: click.Context, config: Config, order: runner.Order, given: dict[str, Any]
) -> int:
    test, plan = config.settings.test, order.plan
    requests = reporting.requests(config, plan, order.output_dir)
    resumed, keep = None, False
    if given["resume"]:
        resumed, keep = earlier.resumed_run(config, plan, given["resume"])
        if not given["cluster"]:
            elsewhere.refuse_left_behind(resumed)
    with nullcontext() if given["cluster"] else _forked(order.plan, test):
        order, problem = runner.remember(order, config.settings.history)
        away = given["cluster"] and elsewhere.executor(
            given["cluster"], config, order, jobs=_asked(ctx, test), resumed=resumed, keep=keep
        )
        run = _with_progress(order, given, away or None)
    run, unread = with_past(run, config.settings.history)
    earlier.warn(problem or order.problem or unread)
    try:
        reporting.write(run, requests, _console(ctx, given))
    finally:
        notify.after(config, run)
    return _exit_code(run, flaky=test.flaky)


def _asked(ctx: click.Context, test: TestSettings) -> int | None:
    """Return how many notebooks at once somebody asked for; None: nobody did."""
    default = ctx.get_parameter_source("jobs") is not click.core.ParameterSource.COMMANDLINE
    return None if default or test.jobs == "auto" else test.jobs


@contextmanager
def _forked(plan: Plan, test: TestSettings) -> Iterator[None]:
    """Fork kernels in here; their servers start before all that the runner has to import."""
    from nbpipe.execution.forking import servers  # noqa: PLC0415  (slow)
    from nbpipe.execution.kernel import begin_servers  # noqa: PLC0415

    with servers(plan.tasks, fork=test.fork, preload=test.preload):
        if test.fork:
            with runner.signals_as_owned():
                begin_servers(plan.tasks)
        yield


def _with_progress(
    order: runner.Order,
    given: dict[str, Any],
    away: Callable[[tuple[Task, ...], Listener], Executor] | None,
) -> Run:
    """Run while showing how it goes, and own the signals."""
    with reports.open_progress(
        given["progress"],
        total=len(order.plan.tasks),
        stream=sys.stderr,
        color=given["color"],
        environ=os.environ,
    ) as display:
        own = threading.current_thread() is threading.main_thread()
        handled = partial(runner.signals, say=partial(_say, display), running=display.running)
        on_start = handled if own else None
        runs: list[Run] = []

        async def whole() -> None:
            runs.append(await runner.run(order, display, on_start=on_start, elsewhere=away))

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
