"""Telling what became of a run, while it happens and afterwards, to people and to programs.

Reports, after the run:

    request = parse("junit=out/junit.xml", output_dir=folder)      before the run
    how = reporter(request.kind); check(request, how)              before the run
    write(how, run, request.path, stdout=sys.stdout)               after it

A new kind is a module with a function `reporter`, and a line of `config.tables.REPORTS`.
Progress, during the run:

    with open_progress("auto", total=len(tasks), stream=sys.stderr, environ=os.environ) as display:
        display.started(progress); display.moved(progress); display.finished(result)
        display.running()                                          the text for SIGUSR1

For Jupyter: `html_table.table(...)` and `html_table.failures(...)`.

Results come in, text goes out: nothing here executes, collects or decides about an exit code.
Importing this package imports neither rich nor junit_xml.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nbpipe.config.tables import REPORTS
from nbpipe.reports.console import ConsoleReporter, rerun_command, totals
from nbpipe.reports.displays import open_progress, resolved
from nbpipe.reports.github import commands_stopped, is_running
from nbpipe.reports.listing import listing
from nbpipe.reports.progress import Display, ProgressMode
from nbpipe.reports.reporter import (
    FolderReporter,
    Reporter,
    Request,
    check,
    check_apart,
    check_writable,
    parse,
    write,
)
from nbpipe.system.text import shell_quoted

if TYPE_CHECKING:
    from nbpipe.model import Run

KINDS = tuple(REPORTS)

__all__ = [
    "KINDS",
    "ConsoleReporter",
    "Display",
    "FolderReporter",
    "ProgressMode",
    "Reporter",
    "Request",
    "check",
    "check_apart",
    "check_writable",
    "commands_stopped",
    "is_running",
    "listing",
    "open_progress",
    "parse",
    "reporter",
    "rerun_command",
    "resolved",
    "shell_quoted",
    "totals",
    "write",
]


def reporter(
    kind: str, *, console: ConsoleReporter | None = None
) -> Reporter[Run] | FolderReporter[Run]:
    """Return the reporter of that kind, one of `KINDS`: the one of the module of that name.

    `console` is the console's, as set up: the others have from it how to run a notebook again.
    """
    module = import_module(f"{__name__}.{kind}")
    made: Reporter[Run] | FolderReporter[Run] = module.reporter(console or ConsoleReporter())
    return made
