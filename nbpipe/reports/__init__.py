"""Telling what became of a run, while it happens and afterwards, to people and to programs.

Reports, after the run:

    request = parse("junit=out/junit.xml", output_dir=folder)      before the run
    check(request)                                                 before the run
    write(JunitReporter(), run, request.path, stdout=sys.stdout)   after it

`reporter` chooses a `Reporter` by its kind; `HtmlReporter` is a `FolderReporter`. Progress, during
the run:

    with open_progress("auto", total=len(tasks), stream=sys.stderr, environ=os.environ) as display:
        display.started(progress); display.moved(progress); display.finished(result)
        display.running()                                          the text for SIGUSR1

For Jupyter: `html_table.table(...)` and `html_table.failures(...)`.

Results come in, text goes out: nothing here executes, collects or decides about an exit code.
Importing this package imports neither rich nor junit_xml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.config.tables import REPORTS
from nbpipe.reports.console import ConsoleReporter, rerun_command, totals
from nbpipe.reports.github import GithubReporter, commands_stopped, is_running
from nbpipe.reports.html import HtmlReporter
from nbpipe.reports.json_report import JsonReporter
from nbpipe.reports.junit import JunitReporter
from nbpipe.reports.listing import listing
from nbpipe.reports.markdown import MarkdownReporter
from nbpipe.reports.progress import Display, ProgressMode, open_progress
from nbpipe.reports.reporter import (
    FolderReporter,
    Reporter,
    Request,
    cannot_write,
    check_writable,
    parse,
    write,
)
from nbpipe.system.text import shell_quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

KINDS = tuple(REPORTS)

__all__ = [
    "KINDS",
    "ConsoleReporter",
    "Display",
    "FolderReporter",
    "GithubReporter",
    "HtmlReporter",
    "JsonReporter",
    "JunitReporter",
    "MarkdownReporter",
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
    "shell_quoted",
    "totals",
    "write",
]


def check(request: Request, *, sources: Collection[str] = ()) -> None:
    """Find out before a long run whether a report can be written; changes nothing.

    Args:
        request: The report.
        sources: Resolved paths of files that the run reads, which no report may replace.

    Raises:
        UsageError: It cannot.
    """
    if request.path is None:
        return
    if str(request.path.resolve()) in sources:
        raise cannot_write(request.path, "the run itself reads that file")
    if request.kind == "html":
        HtmlReporter().check(request.path)
        check_writable(request.path / "index.html")
    else:
        check_writable(request.path)


def check_apart(requests: Iterable[Request]) -> None:
    """Find out before a long run whether each report has a place of its own.

    Raises:
        UsageError: Two kinds of report would be written to one file.
    """
    taken: dict[Path, str] = {}
    for request in requests:
        path = request.path and request.path.resolve()
        if path is None or (path.exists() and not path.is_file()):  # a pipe takes them all
            continue
        if (other := taken.setdefault(path, request.kind)) != request.kind:
            raise cannot_write(path, f"the {other} report goes there too")


def reporter(kind: str, *, console: ConsoleReporter) -> Reporter | FolderReporter:
    """Return the reporter of that kind, one of `KINDS`; `console` is the console's, as set up."""
    rerun = console.rerun
    makers: dict[str, Callable[[], Reporter | FolderReporter]] = {
        "console": lambda: console,
        "junit": JunitReporter,
        "json": JsonReporter,
        "html": lambda: HtmlReporter(rerun=rerun),
        "markdown": lambda: MarkdownReporter(rerun=rerun),
        "github": lambda: GithubReporter(environ=console.environ, rerun=rerun),
    }
    return makers[kind]()
