"""The Markdown report: a run as GitHub, GitLab and chat programs render it, failures first.

Whatever comes from a notebook stands in code: a span or a fence that is longer than any run of
backticks in it, so that it can neither end it nor mention anybody. The report never grows
beyond its limit: a block stands whole or not at all, what does not fit is counted, and what was
unfolded is closed. Links lead where `links` knows that there is something.

Source: GitHub Flavored Markdown (code spans 6.3, fenced code 4.5, tables 4.10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TextIO

from nbpipe.model import Outcome
from nbpipe.reports.console import rerun_command, totals
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import by_cause, by_note, by_reason, cause, error
from nbpipe.reports.links import NONE, of_run
from nbpipe.reports.past import before, slower, usual
from nbpipe.system.text import cut, encodable, first_line, plain, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.groups import Group
    from nbpipe.reports.links import Links
    from nbpipe.reports.reporter import Reporter

LIMIT = 900_000
"""Bytes; GitHub takes 1 MiB for the summary of a step."""
SHOWN_EACH = 10
"""Notebooks of one cause that are told in full."""
SHOWN_PATHS = 50
SHOWN_ROWS = 1000
TEXT_LIMIT, TEXT_LEAST = 8_000, 400
"""Characters of one traceback: at most, and where the report has little room."""

_SIGNS = {
    Outcome.PASSED: "✅",
    Outcome.FAILED: "❌",
    Outcome.FLAKY: "⚠️",
    Outcome.SKIPPED: "⏭️",
}
_RESERVE = 400
"""Bytes for what is said about what does not fit."""
_HEAD = "| | notebook | cells | time | usual | kernel | why |\n|---|---|---:|---:|---:|---|---|\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkdownReporter:
    """Writes the Markdown report."""

    rerun: Callable[[Result], str] = rerun_command
    links: Callable[[Run], Links] = lambda _: NONE
    """Returns where the links of a run lead."""
    limit: int = LIMIT
    """Bytes, at most."""
    kind: str = "markdown"

    def report(self, run: Run, stream: TextIO) -> None:
        """Write the whole report, or as much of it as the limit allows."""
        writer = _Writer(
            rerun=self.rerun, links=self.links(run), text_limit=_share(run, self.limit)
        )
        stream.writelines(_bounded(writer.blocks(run), self.limit))


def reporter(console: ConsoleReporter) -> Reporter[Run]:
    """Return the reporter of this kind."""
    links = partial(of_run, environ=console.environ, pages=console.pages)
    return MarkdownReporter(rerun=console.rerun, links=links)


def _share(run: Run, limit: int) -> int:
    """Return the characters of one traceback, so that every cause gets some of a small report."""
    shown = sum(min(len(group.results), SHOWN_EACH) for group in by_cause(run.results))
    return max(TEXT_LEAST, min(TEXT_LIMIT, limit // (4 * max(shown, 1))))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Writer:
    """Makes the blocks of one run's report."""

    rerun: Callable[[Result], str]
    links: Links
    text_limit: int
    """Characters of one traceback."""

    def blocks(self, run: Run) -> Iterator[Block]:
        """Yield the parts of the report, each of which stands whole or not at all."""
        yield Block(_headline(run, self.links))
        groups = by_cause(run.results)
        if groups:
            failed = count(run.count(Outcome.FAILED), "notebook")
            yield Block(f"### Failures: {failed}, {count(len(groups), 'cause')}\n\n")
        for group in groups:
            yield from self._group(group)
        yield from self._flaky(run.results)
        yield from _blocks(_slower(run.results))
        yield from _blocks(_together("Notes", by_note(run.results)))
        yield from _blocks(_together("Skipped", by_reason(run.results)))
        yield from self._table(run.results)
        yield from _excluded(run)

    def _group(self, group: Group) -> Iterator[Block]:
        number = count(len(group.results), "notebook")
        yield Block(f"#### {number}: {span(group.title)}\n\n")
        for result in group.results[:SHOWN_EACH]:
            yield Block(self._one(result))
        yield from _blocks(_paths(group.results[SHOWN_EACH:]))

    def _one(self, result: Result) -> str:
        """Tell one failed notebook: where, what, and what to do."""
        failure = result.failure
        parts = [f"**{self._name(result)}**"]
        if failure is not None:
            parts[0] += f" {self._where(result, failure)}, `{failure.category.value}`"
            parts += self._error(failure)
        parts += [
            f"also {self._where(result, each)}: {span(error(each))}"
            for each in result.failures[1:20]
        ]
        if told := before(result):
            parts.append(f"It {told}.")
        if page := self.links.result(result):
            parts.append(f"[Executed copy, log and earlier results]({page})")
        parts.append(f"Run it again: {span(self.rerun(result))}")
        return "\n\n".join(parts) + "\n\n"

    def _name(self, result: Result) -> str:
        return link(span(plain_name(result.path)), self.links.notebook(result))

    def _where(self, result: Result, failure: Failure) -> str:
        if failure.cell is None:
            return "outside of its cells"
        return link(f"`cells[{failure.cell}]`", self.links.cell(result, failure))

    def _error(self, failure: Failure) -> list[str]:
        """Return the failing lines, the error, and the traceback to unfold."""
        lines = excerpt(failure.source, failure.traceback)
        source = "\n".join(
            f"{'>' if line.failing else ' '}{line.number:4} | {line.text}" for line in lines
        )
        text = ": ".join(part for part in (failure.name, failure.message) if part)
        parts = [fence(source)] if source else []
        text = plain(text or failure.category.value).strip("\n")
        parts.append(fence(cut(text, self.text_limit)))
        traceback = cut(plain(failure.traceback).strip("\n"), self.text_limit)
        if traceback:
            fenced = fence(traceback)
            parts.append(f"<details><summary>Traceback</summary>\n\n{fenced}\n\n</details>")
        return parts

    def _flaky(self, results: Sequence[Result]) -> Iterator[Block]:
        flaky = [result for result in results if result.outcome is Outcome.FLAKY]
        if flaky:
            title = f"### Flaky: {count(len(flaky), 'notebook')}, failed and then passed\n\n"
            yield Block(title)
        for result in flaky:
            failure = result.failure
            where = f" in {self._where(result, failure)}" if failure else ""
            why = f"passed at attempt {result.attempts}, after {span(cause(failure))}{where}"
            yield Block(f"- {self._name(result)} {why}\n")
        if flaky:
            yield Block("\n")

    def _table(self, results: Sequence[Result]) -> Iterator[Block]:
        """Yield a row for each notebook: what did not pass first, the rest by its time."""
        if not results:
            return
        rows = sorted(results, key=lambda each: (each.outcome is Outcome.PASSED, -each.seconds))
        title = f"<details><summary>All: {count(len(results), 'notebook')}</summary>\n\n{_HEAD}"
        yield Block(title, closed_by="\n</details>\n\n")
        for result in rows[:SHOWN_ROWS]:
            yield Block(self._row(result), is_row=True)
        yield Block("", left=len(rows) - len(rows[:SHOWN_ROWS]))

    def _row(self, result: Result) -> str:
        why = span(cause(result.failure)) if result.failure else ""
        if result.reason:
            why = span(first_line(result.reason))
        cells = f"{result.cells_executed}/{result.cells_total}" if result.cells_total else ""
        is_bad = result.outcome in {Outcome.FAILED, Outcome.FLAKY}
        columns = (
            f"{_SIGNS[result.outcome]} {result.outcome.value}",
            self._name(result) if is_bad else span(plain_name(result.path)),
            cells,
            duration(result.seconds),
            usual(result),
            span(result.kernel),
            why,
        )
        text = " | ".join(each.replace("|", r"\|") for each in columns)
        return f"| {text} |\n"


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


def link(text: str, address: str | None) -> str:
    """Return Markdown that leads to an address, or only the text where there is none."""
    return f"[{text}]({address})" if address else text


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the report that stands whole or not at all."""

    text: str
    closed_by: str = ""
    """What ends that which this one begins, after its rows."""
    is_row: bool = False
    """It is one of the rows of what was begun last; those that do not fit are counted there."""
    left: int | None = None
    """It ends what was begun last, with so many rows left out already."""


def _blocks(texts: Iterable[str]) -> Iterator[Block]:
    return map(Block, texts)


def _bounded(blocks: Iterable[Block], limit: int) -> Iterator[str]:
    """Yield the blocks that fit, each whole, and how much did not.

    What is begun is closed. A row that does not fit takes those behind it with it, since rows have
    an order; a block of another kind only itself: a short cause behind a long one still fits.
    """
    room = limit - _RESERVE
    left = rows_left = 0
    closing = ""
    for block in blocks:
        if block.left is not None:
            if closing and (more := block.left + rows_left):
                yield f"\nand {more:,} more\n"
            yield closing
            rows_left, closing = 0, ""
            continue
        size = len((block.text + block.closed_by).encode())
        if block.is_row and (rows_left or size > room or not closing):
            rows_left += 1
        elif size > room:
            left += 1
        else:
            room -= size
            closing = block.closed_by or closing
            yield block.text
    if left:
        yield f"\n\n{count(left, 'part')} of this report did not fit; the JSON report has all.\n"


def _headline(run: Run, links: Links) -> str:
    order = (Outcome.FAILED, Outcome.FLAKY, Outcome.PASSED)
    worst = next((each for each in order if run.count(each)), Outcome.SKIPPED)
    commit = f"commit {link(span(run.commit[:12]), links.commit)}, " if run.commit else ""
    lines = [f"## {_SIGNS[worst]} nbpipe: {totals(run)}"]
    if links.artifact:
        lines.append(f"**[HTML report: download, unpack, open index.html]({links.artifact})**")
    lines.append(
        f"{commit}run {link(span(run.id), links.page or links.run)}, "
        f"{count(run.jobs, 'notebook')} at once, "
        f"on {span(run.host)}, nbpipe {run.version}, Python {run.python}"
    )
    if links.page and links.run:
        lines.append(f"[The run in CI]({links.run})")
    is_linked = any(links.notebook(each) for each in run.results if each.failure)
    if is_linked:
        lines.append(f"Names and cells lead to the files at commit {span(links.sha[:12])}.")
    return "\n\n".join(lines) + "\n\n"


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


def _excluded(run: Run) -> Iterator[Block]:
    if not run.excluded:
        return
    title = f"<details><summary>{count(len(run.excluded), 'notebook')} excluded</summary>\n\n"
    yield Block(title, closed_by="\n</details>\n")
    for each in run.excluded[:SHOWN_ROWS]:
        yield Block(f"- {span(plain_name(each.path))}: {span(each.reason)}\n", is_row=True)
    yield Block("", left=len(run.excluded) - len(run.excluded[:SHOWN_ROWS]))
