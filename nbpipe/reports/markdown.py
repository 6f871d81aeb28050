"""The Markdown report: a run as GitHub, GitLab and chat programs render it, failures first.

Whatever comes from a notebook stands in code: a span or a fence that is longer than any run of
backticks in it, so that it can neither end it nor mention anybody. The report never grows
beyond its limit: what does not fit is counted.

Source: GitHub Flavored Markdown (code spans 6.3, fenced code 4.5, tables 4.10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from nbpipe.model import Outcome
from nbpipe.reports.console import rerun_command, totals
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import by_cause, by_note, by_reason, cause, error
from nbpipe.reports.past import before, slower, usual
from nbpipe.system.text import cut, encodable, first_line, plain, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.groups import Group
    from nbpipe.reports.reporter import Reporter

LIMIT = 900_000
"""Bytes; GitHub takes 1 MiB for the summary of a step."""
SHOWN_EACH = 10
"""Notebooks of one cause that are told in full."""
SHOWN_PATHS = 50
SHOWN_ROWS = 1000
TEXT_LIMIT = 8_000
"""Characters of one traceback."""

_SIGNS = {
    Outcome.PASSED: "✅",
    Outcome.FAILED: "❌",
    Outcome.FLAKY: "⚠️",
    Outcome.SKIPPED: "⏭️",
}
_RESERVE = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkdownReporter:
    """Writes the Markdown report."""

    rerun: Callable[[Result], str] = rerun_command
    limit: int = LIMIT
    """Bytes, at most."""
    kind: str = "markdown"

    def report(self, run: Run, stream: TextIO) -> None:
        """Write the whole report, or as much of it as the limit allows."""
        stream.writelines(_bounded(self._blocks(run), self.limit))

    def _blocks(self, run: Run) -> Iterator[str]:
        yield _headline(run)
        groups = by_cause(run.results)
        if groups:
            failed = count(run.count(Outcome.FAILED), "notebook")
            yield f"### Failures: {failed}, {count(len(groups), 'cause')}\n\n"
        for group in groups:
            yield from self._group(group)
        yield from _flaky(run.results)
        yield from _slower(run.results)
        yield from _together("Notes", by_note(run.results))
        yield from _together("Skipped", by_reason(run.results))
        yield from _table(run.results)
        yield from _excluded(run)

    def _group(self, group: Group) -> Iterator[str]:
        number = count(len(group.results), "notebook")
        yield f"#### {number}: {span(group.title)}\n\n"
        for result in group.results[:SHOWN_EACH]:
            yield self._one(result)
        yield from _paths(group.results[SHOWN_EACH:])

    def _one(self, result: Result) -> str:
        """Tell one failed notebook: where, what, and what to do."""
        failure = result.failure
        parts = [f"**{span(plain_name(result.path))}**"]
        if failure is not None:
            parts[0] += f" {_where(failure)}, `{failure.category.value}`"
            parts += _error(failure)
        parts += [f"also {_where(each)}: {span(error(each))}" for each in result.failures[1:20]]
        if told := before(result):
            parts.append(f"It {told}.")
        parts.append(f"Run it again: {span(self.rerun(result))}")
        return "\n\n".join(parts) + "\n\n"


def reporter(console: ConsoleReporter) -> Reporter[Run]:
    """Return the reporter of this kind."""
    return MarkdownReporter(rerun=console.rerun)


def span(text: str) -> str:
    """Return text as a code span, whatever is in it."""
    text = encodable(plain(text)).replace("\n", " ").strip() or " "
    ticks = "`" * (_longest_ticks(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def fence(text: str, language: str = "") -> str:
    """Return text as a block of code, whatever is in it."""
    ticks = "`" * max(3, _longest_ticks(text) + 1)
    return f"{ticks}{language}\n{encodable(text)}\n{ticks}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _bounded(blocks: Iterable[str], limit: int) -> Iterator[str]:
    """Yield blocks while they fit, then how much did not."""
    used = 0
    left = 0
    for block in blocks:
        used += len(block.encode())
        if left or used > limit - _RESERVE:
            left += 1
            continue
        yield block
    if left:
        yield f"\n\n{count(left, 'part')} of this report did not fit; the JSON report has all.\n"


def _headline(run: Run) -> str:
    order = (Outcome.FAILED, Outcome.FLAKY, Outcome.PASSED)
    worst = next((each for each in order if run.count(each)), Outcome.SKIPPED)
    commit = f"commit {span(run.commit[:12])}, " if run.commit else ""
    return (
        f"## {_SIGNS[worst]} nbpipe: {totals(run)}\n\n"
        f"{commit}run {span(run.id)}, {count(run.jobs, 'notebook')} at once, "
        f"on {span(run.host)}, nbpipe {run.version}, Python {run.python}\n\n"
    )


def _where(failure: Failure) -> str:
    return "outside of its cells" if failure.cell is None else f"`cells[{failure.cell}]`"


def _error(failure: Failure) -> list[str]:
    """Return the failing lines, the error, and the traceback to unfold."""
    lines = excerpt(failure.source, failure.traceback)
    source = "\n".join(
        f"{'>' if line.failing else ' '}{line.number:4} | {line.text}" for line in lines
    )
    text = ": ".join(part for part in (failure.name, failure.message) if part)
    parts = [fence(source)] if source else []
    parts.append(fence(cut(plain(text or failure.category.value).strip("\n"), TEXT_LIMIT)))
    traceback = cut(plain(failure.traceback).strip("\n"), TEXT_LIMIT)
    if traceback:
        parts.append(f"<details><summary>Traceback</summary>\n\n{fence(traceback)}\n\n</details>")
    return parts


def _flaky(results: Sequence[Result]) -> Iterator[str]:
    flaky = [result for result in results if result.outcome is Outcome.FLAKY]
    if flaky:
        yield f"### Flaky: {count(len(flaky), 'notebook')}, failed and then passed\n\n"
    for result in flaky:
        why = f"passed at attempt {result.attempts}, after {span(cause(result.failure))}"
        yield f"- {span(plain_name(result.path))} {why}\n"
    if flaky:
        yield "\n"


def _slower(results: Sequence[Result]) -> Iterator[str]:
    slow = slower(results)
    if slow:
        yield f"### Slower than usual: {count(len(slow), 'notebook')}\n\n"
    for result in slow[:SHOWN_PATHS]:
        took = f"{duration(result.seconds)}, usually {usual(result)}"
        yield f"- {span(plain_name(result.path))} {took}\n"
    if slow:
        yield "\n"


def _together(title: str, groups: Mapping[str, list[Result]]) -> Iterator[str]:
    if groups:
        total = len({id(result) for results in groups.values() for result in results})
        yield f"### {title}: {count(total, 'notebook')}\n\n"
    for text, results in groups.items():
        yield f"{count(len(results), 'notebook')}: {span(text)}\n\n"
        yield from _paths(results)


def _paths(results: Sequence[Result]) -> Iterator[str]:
    for result in results[:SHOWN_PATHS]:
        yield f"- {span(plain_name(result.path))}\n"
    if (more := len(results) - SHOWN_PATHS) > 0:
        yield f"- and {more:,} more\n"
    if results:
        yield "\n"


def _table(results: Sequence[Result]) -> Iterator[str]:
    """Yield a row for each notebook: what did not pass first, the rest by its time."""
    if not results:
        return
    rows = sorted(results, key=lambda each: (each.outcome is Outcome.PASSED, -each.seconds))
    yield f"<details><summary>All: {count(len(results), 'notebook')}</summary>\n\n"
    yield "| | notebook | cells | time | usual | kernel | why |\n|---|---|---:|---:|---:|---|---|\n"
    for result in rows[:SHOWN_ROWS]:
        yield _row(result)
    if (more := len(rows) - SHOWN_ROWS) > 0:
        yield f"\nand {more:,} more\n"
    yield "\n</details>\n\n"


def _row(result: Result) -> str:
    why = span(cause(result.failure)) if result.failure else ""
    if result.reason:
        why = span(first_line(result.reason))
    cells = f"{result.cells_executed}/{result.cells_total}" if result.cells_total else ""
    columns = (
        f"{_SIGNS[result.outcome]} {result.outcome.value}",
        span(plain_name(result.path)),
        cells,
        duration(result.seconds),
        usual(result),
        span(result.kernel),
        why,
    )
    cells_text = " | ".join(each.replace("|", r"\|") for each in columns)
    return f"| {cells_text} |\n"


def _excluded(run: Run) -> Iterator[str]:
    if not run.excluded:
        return
    yield f"<details><summary>{count(len(run.excluded), 'notebook')} excluded</summary>\n\n"
    for each in run.excluded[:SHOWN_ROWS]:
        yield f"- {span(plain_name(each.path))}: {span(each.reason)}\n"
    if (more := len(run.excluded) - SHOWN_ROWS) > 0:
        yield f"- and {more:,} more\n"
    yield "\n</details>\n"
