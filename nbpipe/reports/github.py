"""The GitHub Actions report: annotations, groups in the log, and the job summary.

GitHub shows at most ten annotations of a kind for each step; the others are counted in one more.
Text from a notebook reaches the log only escaped in a command, or while commands are stopped
(the runner finds `##[add-mask]` in the middle of a line, so that a gutter alone is no protection).

Source: GitHub's "Workflow commands for GitHub Actions", and actions/toolkit's `command.ts` for
what is escaped.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from nbpipe.model import Outcome
from nbpipe.reports.console import rerun_command
from nbpipe.reports.groups import cause, error
from nbpipe.reports.links import failing_line_in_file, of_run
from nbpipe.reports.markdown import MarkdownReporter
from nbpipe.reports.past import before
from nbpipe.system.text import cut, encodable, first_line, plain, plain_name
from nbpipe.system.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.reporter import Reporter

ANNOTATIONS = 10
MESSAGE_LIMIT = 4_000
"""Characters of one annotation's message."""
LOG_LIMIT = 20_000
"""Characters of one traceback in the log."""

WANTED = "GITHUB_ACTIONS"
SUMMARY = "GITHUB_STEP_SUMMARY"
WORKSPACE = "GITHUB_WORKSPACE"
_SUMMARY_LIMIT = 900_000


def is_running(environ: Mapping[str, str]) -> bool:
    """Tell whether this is a step of a GitHub workflow."""
    return environ.get(WANTED) == "true"


@dataclass(frozen=True, kw_only=True, slots=True)
class GithubReporter:
    """Writes workflow commands, and the summary to the file that the environment names."""

    environ: Mapping[str, str] = field(default_factory=dict)
    pages: str | None = None
    """The address of the collection's pages at the service."""
    rerun: Callable[[Result], str] = rerun_command
    kind: str = "github"

    def report(self, run: Run, stream: TextIO) -> None:
        """Write annotations and groups to the stream, and append to the job's summary."""
        for result in run.results:
            if result.failure is not None and result.outcome is Outcome.FAILED:
                _log(result, stream)
        self._annotations(run, stream)
        if name := self.environ.get(SUMMARY):
            self._summary(run, Path(name))

    def _annotations(self, run: Run, stream: TextIO) -> None:
        told = [each for each in run.results if each.outcome is Outcome.FAILED]
        told += [each for each in run.results if each.outcome is Outcome.FLAKY]
        stream.writelines(self._annotation(run, result) for result in told[:ANNOTATIONS])
        if (more := len(told) - ANNOTATIONS) > 0:
            text = f"{count(more, 'more notebook')} failed or flaky; the job's summary has all."
            stream.write(command("notice", text, title="nbpipe"))

    def _annotation(self, run: Run, result: Result) -> str:
        word = "error" if result.outcome is Outcome.FAILED else "warning"
        failure = result.failure
        properties: dict[str, str | int] = {"title": f"{result.path}: {cause(failure)}"}
        name = self._in_repository(run, result)
        if name is not None:
            properties["file"] = name
            line = failing_line_in_file(result, failure) if failure else None
            properties["line"] = line or 1
        return command(word, self._message(result, failure), **properties)

    def _message(self, result: Result, failure: Failure | None) -> str:
        if failure is None:
            return "failed; no reason was recorded"
        where = "" if failure.cell is None else f" in cells[{failure.cell}]"
        text = cut(plain(failure.message).strip("\n"), MESSAGE_LIMIT)
        named = ": ".join(part for part in (first_line(failure.name), text) if part)
        flaky = f"\npassed at attempt {result.attempts}"
        past = f"it {told}\n" if (told := before(result)) else ""
        return (
            f"{failure.category.value}{where}: {named}"
            f"{flaky if result.outcome is Outcome.FLAKY else ''}\n"
            f"{past}run it again: {self.rerun(result)}"
        )

    def _in_repository(self, run: Run, result: Result) -> str | None:
        """Return the notebook's path from the workspace, None where it lies outside."""
        root = Path(self.environ.get(WORKSPACE) or run.root).resolve()
        file = result.task.file
        return file.relative_to(root).as_posix() if file.is_relative_to(root) else None

    def _summary(self, run: Run, file: Path) -> None:
        """Append the summary; GitHub made the file, and removes it."""
        used = file.stat().st_size if file.exists() else 0
        with file.open("a", encoding="utf-8", newline="\n") as stream:
            limit = max(_SUMMARY_LIMIT - used, 1_000)
            links = partial(of_run, environ=self.environ, pages=self.pages)
            MarkdownReporter(rerun=self.rerun, links=links, limit=limit).report(run, stream)


def reporter(console: ConsoleReporter) -> Reporter[Run]:
    """Return the reporter of this kind."""
    return GithubReporter(environ=console.environ, rerun=console.rerun, pages=console.pages)


def command(word: str, message: str, **properties: str | int) -> str:
    """Return a workflow command, one line whatever is in its parts."""
    told = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{word} {told}::{_data(message)}\n"


def _data(text: str) -> str:
    text = encodable(plain(text))
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain_name(text)).replace(":", "%3A").replace(",", "%2C")


def _log(result: Result, stream: TextIO) -> None:
    """Write the traceback as a group that unfolds; every line of it behind a gutter."""
    failure = result.failure
    if failure is None:
        return
    text = plain(failure.traceback).strip("\n") or error(failure)
    stream.write(f"::group::{_data(plain_name(result.path))}: {_data(cause(failure))}\n")
    with commands_stopped(stream):
        stream.writelines(f"| {encodable(line)}\n" for line in cut(text, LOG_LIMIT).split("\n"))
    stream.write("::endgroup::\n")


@contextmanager
def commands_stopped(stream: TextIO) -> Iterator[None]:
    """Let nothing that is written meanwhile be taken for a command."""
    token = secrets.token_hex(16)
    stream.write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        stream.write(f"::{token}::\n")
