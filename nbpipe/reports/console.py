"""The console report: what a maintainer reads when a run has ended, most useful last.

One line for each notebook, the slowest ones, notes, skips, flaky notebooks, then failures by cause
with everything to act upon. The last screen has, whatever the number of notebooks, the causes in
one line each, where the reports are, the next command and the totals. `cells[3]` is Python's own
way to name a cell of the source notebook: the index is 0-based and the same number as in the JSON
report. Whatever comes from a notebook stands behind a gutter (`|`), so that no CI takes a line of
it for a command of its own (`::error::`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TextIO

from nbpipe.model import Category, Outcome
from nbpipe.reports import matrix
from nbpipe.reports.excerpt import excerpt, library_frame
from nbpipe.reports.groups import by_cause, by_note, by_reason, cause, error, with_category
from nbpipe.reports.past import before, slower, usual
from nbpipe.reports.terminal import Color, Page, is_colored
from nbpipe.system.text import columns, cut, plain, plain_name, shell_quoted
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.groups import Group
    from nbpipe.reports.reporter import Reporter

SHOWN_EACH = 3
"""A cause with at most so many notebooks is told for each of them, else for the first."""
SHOWN_GROUPS = 10
"""Causes told in full, and in one line each at the end."""
VERBOSE_GROUPS = 500
"""The same with `-v`."""
SHOWN_TITLE, SHOWN_LEAST = 100, 24
"""Characters of a cause in one line, at most and at least."""
SHOWN_PATHS = 20
"""Notebooks listed under one cause or reason."""
SHOWN_LINES = 12
"""Lines of an error's message, or of a traceback where there is no source to show."""
SHOWN_CHARACTERS = 2000
LONG_CHARACTERS = 100_000
"""Of a traceback that is shown whole."""
Tracebacks = Literal["short", "long", "none"]
"""How an error is shown: the line in the cell and where in the library; all of it; its name."""
_KERNELS_FAULT = {Category.EXCEPTION, Category.MISSING_PACKAGE}
"""What a notebook fails with on a kernel that is not the one it was written for."""


def rerun_command(result: Result, prefix: str = "nbpipe test") -> str:
    """Return the command that runs this one notebook again, quoted for a shell."""
    dashes = "-- " if result.path.startswith("-") else ""
    return f"{prefix} {dashes}{shell_quoted(result.path)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsoleReporter:
    """Writes the report for people."""

    color: Color = "auto"
    environ: Mapping[str, str] = field(default_factory=dict)
    """Where NO_COLOR, FORCE_COLOR and TERM are looked up."""
    rerun: Callable[[Result], str] = rerun_command
    durations: int = 0
    """How many of the slowest notebooks to list."""
    pages: str | None = None
    """The address of the collection's pages at the service, for the reports that link there."""
    verbose: bool = False
    """List each notebook and cause, however many there are."""
    tracebacks: Tracebacks = "short"
    listed: bool = False
    """Each notebook stands in the same place already, since the progress named it."""
    reports: tuple[tuple[str, Path], ...] = ()
    """Kind and place of the other reports."""
    next_command: Callable[[Run], str] = lambda _: ""
    """Returns what to run next; nothing where there is nothing to suggest."""
    kind: str = "console"

    def report(self, run: Run, stream: TextIO) -> None:
        """Write the whole report."""
        page = Page(stream, colored=is_colored(stream, self.color, self.environ))
        if not self.listed or self.verbose:
            matrix.write(page, run.results, verbose=self.verbose)
        matrix.slowest(page, run.results, self.durations)
        _together(page, "Notes", by_note(run.results))
        _together(page, "Skipped", by_reason(run.results))
        _slower(page, run)
        _flaky(page, run)
        groups = by_cause(run.results)
        self._failures(page, run, groups)
        self._end(page, run, groups)
        page.flush()

    @property
    def _most(self) -> int:
        """How many causes are told."""
        return VERBOSE_GROUPS if self.verbose else SHOWN_GROUPS

    def _failures(self, page: Page, run: Run, groups: Sequence[Group]) -> None:
        if not groups:
            return
        page.title(f"Failures: {_counted(run, groups)}")
        for group in groups[: self._most]:
            page.line()
            _heading(page, group)
            many = len(group.results) > SHOWN_EACH
            if many:
                _paths(page, group.results)
            for result in group.results[:1] if many else group.results:
                page.line()
                self._one(page, run, result, example=many)

    def _one(self, page: Page, run: Run, result: Result, *, example: bool) -> None:
        """Tell one failed notebook: where, what, and what to do."""
        failure = result.failure
        where = f"  {_where(failure)}" if failure else ""
        word = "for example " if example else ""
        page.line("  ", word, (plain_name(result.path), "bold"), where)
        if failure:
            _error(page, failure, self.tracebacks)
        for other in result.failures[1 : 1 + SHOWN_PATHS]:
            page.line("    also ", _where(other), ": ", (error(other), "red"))
        if (more := len(result.failures) - 1 - SHOWN_PATHS) > 0:
            page.line(f"    and {count(more, 'more error')}")
        if failure and failure.category in _KERNELS_FAULT and result.task.kernel_why:
            why = plain_name(result.task.kernel_why)
            page.line(f"    kernel:        {plain_name(result.kernel)} ({why})")
        if told := before(result):
            page.line("    it ", told)
        _files(page, run, result)
        page.line("    run it again:  ", (self.rerun(result), "bold"))

    def _end(self, page: Page, run: Run, groups: Sequence[Group]) -> None:
        """Write what is needed next, and the totals: the last screen, whatever came before."""
        page.line()
        if sum(len(group.results) for group in groups) > 1:
            page.line((f"Failed: {_counted(run, groups)}", "bold"))
            width = max(len(f"{len(group.results):,}") for group in groups[: self._most])
            for group in groups[: self._most]:
                _summary(page, group, width)
            if (more := len(groups) - self._most) > 0:
                how = "" if self.verbose else "-v tells more, "
                page.line(f"  and {count(more, 'more cause')} ({how}a JSON report has all)")
        if run.excluded:
            page.line(f"{count(len(run.excluded), 'notebook')} excluded (--list says why)")
        for kind, path in self.reports:
            page.line(f"{kind + ' report:':16} ", (plain_name(str(path)), _link(path)))
        page.line("copies and logs: ", plain_name(str(run.output_dir)))
        if command := self.next_command(run):
            page.line(f"{'next:':16} ", (command, "bold"))
        page.line((totals(run), _color(run)))


def reporter(console: ConsoleReporter) -> Reporter[Run]:
    """Return the reporter of this kind."""
    return console


def _categories(groups: Iterable[Group]) -> str:
    """Return how many notebooks failed in each category, most first, where there are several."""
    counts = Counter[str]()
    for group in groups:
        counts[group.category or "unknown"] += len(group.results)
    told = ", ".join(f"{number:,} {category}" for category, number in counts.most_common())
    return f" ({told})" if len(counts) > 1 else ""


def _counted(run: Run, groups: Sequence[Group]) -> str:
    """Return how many notebooks failed, for how many causes, and in which categories."""
    failed = count(run.count(Outcome.FAILED), "notebook")
    return f"{failed}, {count(len(groups), 'cause')}{_categories(groups)}"


def _summary(page: Page, group: Group, width: int) -> None:
    """Write a cause in one line, with its notebook or the first one."""
    title = with_category(group.title, group.category)
    first = plain_name(group.results[0].path)
    if len(group.results) > 1:
        first += f" and {len(group.results) - 1:,} more"
    room = SHOWN_TITLE
    if page.columns is not None:  # the path stays whole: it can be copied
        room = min(room, max(page.columns - width - columns(first) - 6, SHOWN_LEAST))
    title = title if len(title) <= room else group.title
    title = title if len(title) <= room else f"{title[: room - 1]}…"
    page.line(f"  {len(group.results):>{width},}  ", (title, "red"), f"  {first}")


def _link(path: Path) -> str:
    """Return the style of a path that a terminal can open."""
    return f"link {path.as_uri()}" if path.is_absolute() else ""


def _heading(page: Page, group: Group) -> None:
    number = count(len(group.results), "notebook")
    page.line((f"{number}: {with_category(group.title, group.category)}", "bold red"))


def _where(failure: Failure) -> str:
    if failure.cell is None:
        return "outside of its cells"
    return f"cells[{failure.cell}]"


def _error(page: Page, failure: Failure, how: Tracebacks) -> None:
    """Show the failing cell's source, or where there is none the traceback's end; the error."""
    if how == "none":
        page.line("         | ", (error(failure), "red"))
        return
    lines = excerpt(failure.source, failure.traceback)
    for line in lines:
        mark, style = (">", "red") if line.failing else (" ", "")
        page.line((f"    {mark}{line.number:4} | {line.text}", style))
    if how == "long" and failure.traceback.strip():
        for line_text in cut(plain(failure.traceback), LONG_CHARACTERS).strip("\n").split("\n"):
            page.line("         | ", (line_text, "red"))
        return
    if lines or not failure.traceback.strip():
        text = ": ".join(part for part in (failure.name, failure.message) if part)
        shown = plain(text or failure.category.value).strip("\n").split("\n")[:SHOWN_LINES]
    else:
        shown = plain(failure.traceback).strip("\n").split("\n")[-SHOWN_LINES:]
    for line_text in cut("\n".join(shown), SHOWN_CHARACTERS).split("\n"):
        page.line("         | ", (line_text, "red"))
    if lines and (frame := library_frame(failure.traceback)):
        page.line("         | ", (f"at {frame}", "red"))


def _files(page: Page, run: Run, result: Result) -> None:
    """Say where the executed copy and the log are, those of each attempt where there are more."""
    for attempt in result.retried:
        end = cause(attempt.failure) if attempt.failure else attempt.outcome.value
        page.line(f"    attempt {attempt.number}:     {end}, {duration(attempt.seconds)}")
        if attempt.executed:
            page.line("                   ", plain_name(str(run.output_dir / attempt.executed)))
    if result.executed and not result.retried:
        page.line("    executed copy: ", plain_name(str(run.output_dir / result.executed)))
    if result.log:
        page.line("    log:           ", plain_name(str(run.output_dir / result.log)))


def _flaky(page: Page, run: Run) -> None:
    flaky = [result for result in run.results if result.outcome is Outcome.FLAKY]
    if not flaky:
        return
    page.title(f"Flaky: {count(len(flaky), 'notebook')}, failed and then passed")
    for result in flaky:
        page.line(f"  {plain_name(result.path)}  (attempt {result.attempts} passed)")
        page.line("         | ", (cause(result.failure), "yellow"))
        _files(page, run, result)


def _slower(page: Page, run: Run) -> None:
    slow = slower(run.results)
    if slow:
        page.title(f"Slower than usual: {count(len(slow), 'notebook')}")
    for result in slow[:SHOWN_PATHS]:
        took = f"{duration(result.seconds)}, usually {usual(result)}"
        page.line(f"  {plain_name(result.path)}  ({took})")


def _together(page: Page, title: str, groups: Mapping[str, list[Result]]) -> None:
    if not groups:
        return
    total = len({id(result) for results in groups.values() for result in results})
    page.title(f"{title}: {count(total, 'notebook')}")
    for text, results in groups.items():
        page.line(f"  {count(len(results), 'notebook')}: {text}")
        _paths(page, results)


def _paths(page: Page, results: Iterable[Result]) -> None:
    paths = [result.path for result in results]
    for path in paths[:SHOWN_PATHS]:
        page.line(f"    {plain_name(path)}")
    if len(paths) > SHOWN_PATHS:
        page.line(f"    and {len(paths) - SHOWN_PATHS:,} more")


def totals(run: Run) -> str:
    """Return the last line: how many had each outcome, and how long it took."""
    counts = ((run.count(outcome), outcome.value) for outcome in Outcome)
    told = ", ".join(f"{number:,} {word}" for number, word in counts if number)
    start = "interrupted: " if run.interrupted else ""
    return f"{start}{told or 'no notebooks'} in {duration(run.seconds)}"


def _color(run: Run) -> str:
    if run.interrupted or run.count(Outcome.FAILED):
        return "bold red"
    return "bold yellow" if run.count(Outcome.FLAKY) else "bold green"
