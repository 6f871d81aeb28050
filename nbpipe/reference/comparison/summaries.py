"""Columns compared by their statistics, where the reference's data are gone; pure decisions.

If no value moves by more than the tolerance, then neither do minimum, maximum and mean; the
standard deviation moves by less than twice of it. So statistics within it prove nothing about
the values, but statistics beyond it prove a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import ColumnDifference, Verdict, Worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.reference.comparison.model import Tolerance
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Column, Output, Statistics

ROUNDING = 1e-12
"""Relative: sums in another order differ by about this much."""
FIGURES = (("min", 1, 0.0), ("max", 1, 0.0), ("mean", 1, ROUNDING), ("std", 2, ROUNDING))
"""Each with how many tolerances it may move, and its own rounding: two of them are values."""
COUNTS = ("missing", "nan", "infinite")


def compare_statistics(old: Output, new: Output, rules: Rules) -> Iterator[ColumnDifference]:
    """Yield every column of both files that has statistics, with its verdict."""
    parts = {part.name: part for part in new.parts}
    for part in old.parts:
        after = {each.name: each for each in parts[part.name].columns} if part.name in parts else {}
        for column in part.columns:
            other = after.get(column.name)
            if other is None or rules.ignores_column(new.path, part.name, column.name):
                continue
            if column.statistics is None or other.statistics is None:
                continue
            tolerance = rules.tolerance(new.path, part.name, column.name)
            yield _column(part.name, column, column.statistics, other.statistics, tolerance)


def without_statistics(old: Output, rules: Rules) -> list[str]:
    """Return the columns that this level says nothing about."""
    return [
        each.name
        for part in old.parts
        for each in part.columns
        if each.statistics is None and not rules.ignores_column(old.path, part.name, each.name)
    ]


def _column(
    part: str, column: Column, old: Statistics, new: Statistics, tolerance: Tolerance
) -> ColumnDifference:
    found = [*_counts(old, new, tolerance), *_figures(old, new, tolerance)]
    beyond = [worst for worst, ratio in found if ratio > 1]
    finite = [ratio for _, ratio in found if 0 < ratio < float("inf")]
    verdict = Verdict.DIFFERENT if beyond else Verdict.WITHIN if found else Verdict.SAME
    return ColumnDifference(
        part=part,
        column=column.name,
        verdict=verdict,
        level="statistics",
        tolerance=tolerance,
        unit=column.unit,
        compared=new.count,
        excess=max(finite) if finite and (tolerance.absolute or tolerance.relative) else None,
        worst=tuple(beyond),
        note="only the statistics were compared",
    )


def _counts(old: Statistics, new: Statistics, given: Tolerance) -> Iterator[tuple[Worst, float]]:
    """Yield the counts that differ, each with how far beyond what is allowed."""
    if old.count != new.count:
        yield _worst("count", old.count, new.count), float("inf")
    for name in COUNTS:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            room = given.allowed * new.count
            yield _worst(name, before, after), abs(after - before) / room if room else float("inf")


def _figures(old: Statistics, new: Statistics, given: Tolerance) -> Iterator[tuple[Worst, float]]:
    for name, times, rounding in FIGURES:
        before, after = getattr(old, name), getattr(new, name)
        if before is None or after is None:
            if before is not after:
                yield _worst(name, before, after), float("inf")
            continue
        if before == after:
            continue
        scale = max(abs(each or 0) for each in (old.min, old.max, before))
        room = times * (given.absolute + given.relative * scale) + rounding * scale
        # One value alone may be the minimum or maximum: the share says nothing about it.
        free = given.allowed > 0 and name in {"min", "max"}
        ratio = 0.0 if free else abs(after - before) / room if room else float("inf")
        yield _worst(name, before, after), ratio


def _worst(name: str, old: float | None, new: float | None) -> Worst:
    size = None if old is None or new is None else float(abs(new - old))
    texts = ["none" if each is None else f"{each:.17g}" for each in (old, new)]
    return Worst(row=name, reference=texts[0], new=texts[1], difference=size)
