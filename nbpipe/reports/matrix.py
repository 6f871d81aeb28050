"""The PASS/FAIL matrix of the console: one line for each notebook, and the slowest ones.

Where more than `FOLD` had one outcome, those are counted by folder, but for the first failed ones:
the failures themselves are told above by their causes.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING

from nbpipe.model import Outcome
from nbpipe.system.text import plain_name
from nbpipe.system.units import count, duration
from nbpipe.system.units import memory as in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.model import Result
    from nbpipe.reports.terminal import Page

FOLD = 200
_OTHERS = "(other folders)"
COLORS = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.FLAKY: "yellow",
    Outcome.SKIPPED: "cyan",
}
Row = tuple[Outcome, str, str, str, str, str]
"""Outcome, cells, duration, kernel, path, and what else there is to say."""


def write(page: Page, results: Sequence[Result]) -> None:
    """Write the matrix; the path comes late, so that a long one disturbs no column."""
    if not results:
        return
    page.title(f"All: {count(len(results), 'notebook')}")
    rows = _rows(results)
    cells_width, seconds_width, kernel_width = (
        max(len(row[column]) for row in rows) for column in (1, 2, 3)
    )
    for outcome, cells, seconds, kernel, path, more in rows:
        page.line(
            "  ",
            (f"{outcome.value.upper():7}", COLORS[outcome]),
            f"  {cells:>{cells_width}}  {seconds:>{seconds_width}}  {kernel:{kernel_width}}",
            f"  {path}  {more}",
        )


def slowest(page: Page, results: Sequence[Result], number: int) -> None:
    """Write the notebooks that took longest, and how much memory at their peak."""
    chosen = nlargest(number, results, key=lambda result: result.seconds)
    if not chosen:
        return
    page.title(f"Slowest: {count(len(chosen), 'notebook')}")
    measured = ["" if each.memory is None else f"{in_memory(each.memory)}  " for each in chosen]
    width = max(map(len, measured))
    for result, memory in zip(chosen, measured, strict=True):
        took = f"{duration(result.seconds):>12}  {memory:>{width}}"
        page.line(f"  {took}{plain_name(result.path)}")


def _rows(results: Sequence[Result]) -> list[Row]:
    of_outcome = {
        outcome: [result for result in results if result.outcome is outcome] for outcome in Outcome
    }
    if all(len(members) <= FOLD for members in of_outcome.values()):
        return [_row(result) for result in results]
    order = (Outcome.PASSED, Outcome.SKIPPED, Outcome.FLAKY, Outcome.FAILED)
    return [row for outcome in order for row in _shortened(of_outcome[outcome])]


def _shortened(members: Sequence[Result]) -> list[Row]:
    """Return rows for the results of one outcome."""
    if len(members) <= FOLD:
        return [_row(result) for result in members]
    told = FOLD if members[0].outcome in {Outcome.FAILED, Outcome.FLAKY} else 0
    return [*(_row(result) for result in members[:told]), *_folded(members[told:])]


def _row(result: Result) -> Row:
    cells = f"{result.cells_executed}/{result.cells_total}"
    if result.outcome is Outcome.SKIPPED:  # its cells were not counted
        cells = "-"
    parts = [f"[{result.failure.category.value}]"] if result.failure else []
    if result.attempts > 1:
        parts.append(f"{result.attempts} attempts")
    path, kernel = plain_name(result.path), plain_name(result.kernel)
    return result.outcome, cells, duration(result.seconds), kernel, path, ", ".join(parts)


def _folded(members: Sequence[Result]) -> list[Row]:
    """Return a row for each folder, the last one for all folders that are too many."""
    folders: dict[str, list[Result]] = {}
    for result in members:
        name = result.path.rpartition("/")[0]
        if name not in folders and len(folders) >= FOLD:
            name = _OTHERS
        folders.setdefault(name, []).append(result)
    return [
        (
            results[0].outcome,
            str(sum(result.cells_executed for result in results)),
            duration(sum(result.seconds for result in results)),
            ", ".join(sorted({plain_name(result.kernel) for result in results})),
            name if name == _OTHERS else plain_name(f"{name}/" if name else "./"),
            count(len(results), "notebook"),
        )
        for name, results in folders.items()
    ]
