"""The command that runs one notebook again as it just ran."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from nbpipe import reports
from nbpipe.cli import options

if TYPE_CHECKING:
    from nbpipe.model import Result

_LEFT_OUT = {"patterns", "exclude", "keyword", "shard", "jobs", "exitfirst", "maxfail"} | {
    "reports", "output_dir", "durations", "progress", "color", "list_only", "retries", "flaky",
    "last_failed", "failed_first", "resume", "changed_since", "cluster", "memory_budget", "preload",
}  # fmt: skip
"""Options that do not change what becomes of one notebook."""


def command(ctx: click.Context, result: Result) -> str:
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
