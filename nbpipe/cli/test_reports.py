"""The reports of `nbpipe test`: which are wanted, writing them, how to run one notebook again."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from nbpipe import outputs, reports
from nbpipe.cli import options
from nbpipe.errors import InternalError, UsageError
from nbpipe.model import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.config import Config
    from nbpipe.model import Plan, Result, Run


def requests(config: Config, plan: Plan, output_dir: Path) -> list[reports.Request]:
    """Return the reports that are wanted; in a workflow of GitHub that of its step, too.

    Raises:
        UsageError: One cannot be written.
    """
    unasked = ("github",) if reports.is_running(os.environ) else ()
    return outputs.requests(config, plan, output_dir, unasked=unasked)


def write(
    run: Run,
    requests: list[reports.Request],
    console: reports.ConsoleReporter,
    *,
    people: bool = True,
) -> None:
    """Write every report, the one for people first; what hinders one does not hinder others."""
    others = [each for each in requests if each.kind != "console" or each.path is not None]
    machines = [each for each in others if each.path is None and each.kind != "github"]
    places = [(each.kind, _opened(each)) for each in others if each.path is not None]
    console = replace(console, reports=tuple((kind, path) for kind, path in places if path))
    screen = sys.stderr if machines else sys.stdout
    stopped = reports.commands_stopped(screen) if reports.is_running(os.environ) else nullcontext()
    problems: list[Exception] = []
    for request in (None, *others) if people else others:
        try:
            with options.while_read():
                if request is None:
                    with stopped:
                        reports.write(console, run, None, stdout=screen)
                else:
                    whole = replace(console, listed=False)
                    reporter = reports.reporter(request.kind, console=whole)
                    reports.write(reporter, run, request.path, stdout=sys.stdout)
        except (UsageError, OSError) as error:
            problems.append(error)
        except Exception as error:  # noqa: BLE001  (one report never takes the others away)
            problems.append(_mistake(request.kind if request else "console", error))
    if problems:
        raise problems[0]


def _opened(request: reports.Request) -> Path | None:
    """Return the file of a report that a person opens."""
    if request.path is None:
        return None
    how = reports.reporter(request.kind)
    return request.path if isinstance(how, reports.Reporter) else how.index(request.path)


def _mistake(kind: str, error: Exception) -> InternalError:
    """Return the error of a report that we could not make of a run that is over."""
    made = InternalError(
        f"internal error: the {kind} report could not be made: {type(error).__name__}: {error}",
        hint="The other reports are complete. Report it, with --debug's output.",
    )
    made.__cause__ = error
    return made


_LEFT_OUT = {"patterns", "exclude", "keyword", "shard", "jobs", "exitfirst", "maxfail"} | {
    "reports", "output_dir", "durations", "progress", "color", "list_only", "retries", "flaky",
    "last_failed", "failed_first", "resume", "changed_since", "cluster", "memory_budget", "preload",
    "verbose", "tracebacks",
}  # fmt: skip
"""Options that do not change what becomes of one notebook."""


def rerun_command(ctx: click.Context, result: Result) -> str:
    """Return a command that runs one notebook again, from here, with what mattered."""
    words = ["nbpipe", "test"]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        given = source is click.core.ParameterSource.COMMANDLINE
        if name in _LEFT_OUT or name not in ctx.params or not given:  # --debug is nobody's value
            continue
        words += _words(parameter, ctx.params[name])
    path = os.path.relpath(result.task.file)
    words += ["--", path] if path.startswith("-") else [path]
    return " ".join(map(reports.shell_quoted, words))


_NOT_AGAIN = {"last_failed", "failed_first", "resume", "list_only", "changed_since"}
"""Options that say which notebooks of a run are wanted; the next one says that anew."""


def next_command(ctx: click.Context, run: Run) -> str:
    """Return the command to go on with: what was not reached, or what failed; else nothing."""
    if run.interrupted:
        which = f"--resume={run.id}"
    elif run.count(Outcome.FAILED):
        which = "--lf"
    else:
        return ""
    words = ["nbpipe", "test", which]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if isinstance(parameter, click.Option) and given and name not in _NOT_AGAIN:
            words += _words(parameter, ctx.params[name]) if name in ctx.params else []
    patterns = list(ctx.params["patterns"])
    words += ["--", *patterns] if any(each.startswith("-") for each in patterns) else patterns
    return " ".join(map(reports.shell_quoted, words))


def _words(parameter: click.Parameter, value: Any) -> list[str]:  # noqa: ANN401  (click's)
    """Return an option as it was given."""
    flag = parameter.opts[-1]
    if isinstance(value, bool):
        return [flag if value else parameter.secondary_opts[-1]]
    values = value if parameter.multiple else [value]
    words = []
    for each in values:
        if isinstance(parameter.type, options.Pair):
            words += [flag, "=".join(each)]
        else:
            words += [flag, *map(_text, each if parameter.nargs > 1 else [each])]
    return words


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
