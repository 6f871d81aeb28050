"""A run inside Jupyter: the coloured PASS/FAIL matrix, and the failures by cause.

HTML without scripts and without anything from elsewhere; every style stands in the element, so
that a saved notebook shows the same. Colours are half transparent on the page's own, and text
keeps the page's colour: readable in light and dark themes.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from nbpipe.model import Outcome
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import by_cause, cause, error, with_category
from nbpipe.system.text import cut, first_line, plain, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nbpipe.model import Excluded, Progress, Result
    from nbpipe.reports.groups import Group

COLORS = {
    Outcome.PASSED: "46, 160, 67",
    Outcome.FAILED: "218, 54, 51",
    Outcome.FLAKY: "210, 153, 34",
    Outcome.SKIPPED: "128, 128, 128",
}
RUNNING = "56, 139, 253"
TRACEBACK_LIMIT = 20_000
"""Characters of one traceback that are put into the page."""
SHOWN_PATHS = 100

_CELL = "text-align:left;padding:2px 10px;vertical-align:top"
_NUMBER = "text-align:right;padding:2px 10px;vertical-align:top;white-space:nowrap"
_WHY = f"{_CELL};overflow-wrap:anywhere;min-width:20em"
_PRE = (
    "margin:4px 0;padding:6px 10px;overflow:auto;max-height:30em;color:inherit;"
    "background:rgba(128,128,128,0.12);white-space:pre"
)


def table(
    results: Sequence[Result],
    excluded: Sequence[Excluded] = (),
    *,
    running: Iterable[Progress] = (),
) -> str:
    """Return the matrix: a row for each notebook, the totals above it."""
    rows = [*(_row(result) for result in results), *(_running(each) for each in running)]
    head = "".join(
        f'<th scope="col" style="{style}">{name}</th>'
        for name, style in (
            ("Outcome", _CELL),
            ("Notebook", _CELL),
            ("Kernel", _CELL),
            ("Cells", _NUMBER),
            ("Time", _NUMBER),
            ("Why", _CELL),
        )
    )
    return (
        f'<div class="nbpipe"><p>{_totals(results)}</p>'
        f'<table style="border-collapse:collapse;color:inherit"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{_excluded(excluded)}</div>"
    )


def failures(results: Iterable[Result]) -> str:
    """Return the failed notebooks grouped by cause, each with its traceback to unfold."""
    groups = by_cause(results)
    if not groups:
        return '<div class="nbpipe"><p>No notebook failed.</p></div>'
    return f'<div class="nbpipe">{"".join(_group(group) for group in groups)}</div>'


def _row(result: Result) -> str:
    why = first_line(result.reason or "")
    if (failure := result.failure) is not None:
        why = with_category(cause(failure), failure.category.value)
    why = "; ".join([why, *result.notes] if why else result.notes)
    cells = f"{result.cells_executed}/{result.cells_total}"
    return _line(
        result.outcome.value.upper(),
        COLORS[result.outcome],
        (result.path, result.kernel, cells, duration(result.seconds), why),
    )


def _running(progress: Progress) -> str:
    task = progress.task
    cells = f"{progress.cell}/{progress.cells}" if progress.cell else ""
    return _line("RUNNING", RUNNING, (task.path, task.kernel, cells, "", ""))


def _line(word: str, color: str, texts: tuple[str, str, str, str, str]) -> str:
    badge = f"{_CELL};background:rgba({color},0.35);font-weight:bold"
    styles = (f"{_CELL};overflow-wrap:anywhere;min-width:12em", _CELL, _NUMBER, _NUMBER, _WHY)
    columns = "".join(
        f'<td style="{style}">{_escaped(text)}</td>'
        for text, style in zip(texts, styles, strict=True)
    )
    style = f"color:inherit;background:rgba({color},0.10)"
    return f'<tr style="{style}"><td style="{badge}">{word}</td>{columns}</tr>'


def _totals(results: Sequence[Result]) -> str:
    counts = [
        (sum(result.outcome is outcome for result in results), outcome) for outcome in Outcome
    ]
    told = ", ".join(
        f'<span style="padding:1px 6px;background:rgba({COLORS[outcome]},0.35)">'
        f"{number:,} {outcome.value}</span>"
        for number, outcome in counts
        if number
    )
    return told or "No notebook has finished."


def _excluded(excluded: Sequence[Excluded]) -> str:
    if not excluded:
        return ""
    items = "".join(f"<li>{_escaped(each.path)}: {_escaped(each.reason)}</li>" for each in excluded)
    return _unfold(f"{count(len(excluded), 'notebook')} excluded", f"<ul>{items}</ul>")


def _group(group: Group) -> str:
    number = count(len(group.results), "notebook")
    title = f"{number}: {with_category(group.title, group.category)}"
    parts = [_failure(result) for result in group.results[:SHOWN_PATHS]]
    if (more := len(group.results) - SHOWN_PATHS) > 0:
        parts.append(f"<p>and {more:,} more</p>")
    style = "font-weight:bold;margin:1em 0 0.3em;overflow-wrap:anywhere"
    return f'<p style="{style}">{_escaped(title)}</p>{"".join(parts)}'


def _failure(result: Result) -> str:
    blocks = []
    for failure in result.failures:
        lines = "\n".join(
            f"{'>' if line.failing else ' '}{line.number:4} {line.text}"
            for line in excerpt(failure.source, failure.traceback)
        )
        text = failure.traceback.strip("\n") or error(failure)
        blocks += [_pre(each) for each in (lines, cut(plain(text), TRACEBACK_LIMIT)) if each]
    where = ""
    if result.failure and result.failure.cell is not None:
        where = f" cells[{result.failure.cell}]"
    return _unfold(f"{plain_name(result.path)}{where}", "".join(blocks))


def _pre(text: str) -> str:
    return f'<pre style="{_PRE}">{html.escape(text)}</pre>'


def _unfold(title: str, inside: str) -> str:
    return f"<details><summary>{_escaped(title)}</summary>{inside}</details>"


def _escaped(text: str) -> str:
    return html.escape(plain_name(text))
