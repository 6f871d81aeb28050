"""The PASS/FAIL matrix of the console: one line for each notebook, and the slowest ones.

Where more than a screen has room for had one outcome, those are one line: the failures themselves
are told below by their causes, and whoever wants to see each one asks for it (`-v`).
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

FOLD = 25
"""Notebooks of one outcome that are listed one by one."""
COLORS = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.FLAKY: "yellow",
    Outcome.SKIPPED: "cyan",
}
Row = tuple[Outcome, str, str, str, str, str]
"""Outcome, cells, duration, kernel, path, and what else there is to say."""


def write(page: Page, results: Sequence[Result], *, verbose: bool = False) -> None:
    """Write the matrix; the path comes late, so that a long one disturbs no column."""
    if not results:
        return
    page.title(f"All: {count(len(results), 'notebook')}")
    rows = _rows(results, verbose=verbose)
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


def _rows(results: Sequence[Result], *, verbose: bool) -> list[Row]:
    of_outcome = {
        outcome: [result for result in results if result.outcome is outcome] for outcome in Outcome
    }
    if verbose or all(len(members) <= FOLD for members in of_outcome.values()):
        return [_row(result) for result in results]
    order = (Outcome.PASSED, Outcome.SKIPPED, Outcome.FLAKY, Outcome.FAILED)
    return [row for outcome in order for row in _shortened(of_outcome[outcome])]


def _shortened(members: Sequence[Result]) -> list[Row]:
    """Return rows for the results of one outcome, or one row where there are too many."""
    if len(members) <= FOLD:
        return [_row(result) for result in members]
    kernels = sorted({plain_name(result.kernel) for result in members})
    return [
        (
            members[0].outcome,
            f"{sum(result.cells_executed for result in members):,}",
            duration(sum(result.seconds for result in members)),
            ", ".join(kernels),
            count(len(members), "notebook"),
            "(-v lists each)",
        )
    ]


def _row(result: Result) -> Row:
    cells = f"{result.cells_executed}/{result.cells_total}"
    if result.outcome is Outcome.SKIPPED:  # its cells were not counted
        cells = "-"
    parts = [f"[{result.failure.category.value}]"] if result.failure else []
    if result.attempts > 1:
        parts.append(f"{result.attempts} attempts")
    path, kernel = plain_name(result.path), plain_name(result.kernel)
    return result.outcome, cells, duration(result.seconds), kernel, path, ", ".join(parts)
