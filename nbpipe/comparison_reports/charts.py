"""The pictures of a comparison: sizes of differences, time of steps, the trend over releases."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.comparison_reports.wording import amount, number, text
from nbpipe.reference.comparison.model import Verdict
from nbpipe.reports.charts import Axes, bar, dot, line, svg, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.reference.comparison.model import ColumnDifference, Measure, TrendPoint

AXES = Axes(460, 150, left=46, right=10, top=10, bottom=34)
WIDE = 690
ROW, NAME, FIGURE = 24, 150, 110
STEPS = 30
"""Bars of the steps that took longest."""


def histogram(path: str, column: ColumnDifference) -> str:
    """Return how large the differences of a column are: counts over powers of two, both log."""
    counts = {int(exponent): count for exponent, count in column.histogram.items()}
    if sum(counts.values()) < 2:  # noqa: PLR2004  (one value is no distribution)
        return ""
    low, high = min(counts) - 1, max(counts) + 2
    most = math.log10(max(counts.values())) + 0.3
    wide = AXES.x(1 / (high - low)) - AXES.left
    bars = []
    for exponent, count in sorted(counts.items()):
        level = AXES.y((math.log10(count) + 0.3) / most)
        inside = f"{count:,} from {number(2.0**exponent)} to {number(2.0 ** (exponent + 1))}"
        left = AXES.left + (exponent - low) * wide
        bars.append(bar("bar", left, level, (max(wide - 1, 1), AXES.base - level), inside))
    top = words(AXES.left - 4, AXES.top + 10, f"{max(counts.values()):,}", "end")
    name = text(f"Sizes of the differences of {column.column} in {path}")
    inside = f"{''.join(bars)}{_scale(column, low, high)}{top}"
    return _picture(name, AXES.size, inside)


def _scale(column: ColumnDifference, low: int, high: int) -> str:
    """Return the axis of sizes, with the tolerance where it is one size for all."""
    limit = column.tolerance.absolute
    marks = words(AXES.left, AXES.height - 18, number(2.0**low), "start")
    marks += words(AXES.width - AXES.right, AXES.height - 18, number(2.0**high), "end")
    if limit and low <= math.log2(limit) <= high:
        at = AXES.x((math.log2(limit) - low) / (high - low))
        word = "absolute tolerance" if column.tolerance.relative else "tolerance"
        marks += AXES.down(at, "limit") + words(at, AXES.height - 4, word, "middle", css="limit")
    return marks + AXES.across(AXES.base)


def steps(measures: Sequence[Measure]) -> str:
    """Return the time of each step beside the reference's; empty where there are none."""
    cells = [each for each in measures if each.name.startswith("cell ")]
    longest = sorted(cells, key=lambda each: -max(each.reference or 0, each.new or 0))[:STEPS]
    chosen = [each for each in cells if each in longest]
    top = max((max(each.reference or 0, each.new or 0) for each in chosen), default=0)
    if not top:
        return ""
    scale = (WIDE - NAME - FIGURE) / top
    rows = "".join(_step(each, place * ROW, scale) for place, each in enumerate(chosen))
    return _picture("Time of each step", (WIDE, len(chosen) * ROW + 4), rows)


def _step(measure: Measure, top: int, scale: float) -> str:
    name = text(measure.title or measure.name)
    name = name if len(name) <= 22 else f"{name[:21]}…"  # noqa: PLR2004  (what fits)
    bars = "".join(
        bar(kind, NAME, top + offset, ((value or 0) * scale, 8))
        for kind, offset, value in (("old", 3, measure.reference), ("bar", 12, measure.new))
    )
    ratio = "" if measure.ratio is None else f" ({measure.ratio:.2f}x)"
    end = NAME + max(measure.reference or 0, measure.new or 0) * scale + 5
    mark = "limit" if measure.verdict is Verdict.DIFFERENT else ""
    figure = words(end, top + 15, f"{amount(measure.new, measure.unit)}{ratio}", css=mark)
    return f"{words(NAME - 6, top + 15, name, 'end')}{bars}{figure}"


def trend(points: Sequence[TrendPoint]) -> str:
    """Return the wall time over the releases; points on other systems are hollow."""
    known = [(each, each.wall_seconds) for each in points if each.wall_seconds is not None]
    if len(known) < 2:  # noqa: PLR2004  (one point is no trend)
        return ""
    top = max(seconds for _, seconds in known) or 1
    axes = replace(AXES, right=50)  # room for the last label
    places = [
        (axes.x(place / (len(known) - 1)), axes.y(0.9 * seconds / top), each)
        for place, (each, seconds) in enumerate(known)
    ]
    here = known[-1][0].system
    dots = "".join(_dot(x, y, each, same=each.system == here) for x, y, each in places)
    curve = line(((x, y) for x, y, _ in places), "trend")
    inside = f"{curve}{dots}{AXES.across(AXES.base)}{words(0, AXES.top, amount(top, 's'))}"
    return _picture("Wall time over the releases", AXES.size, inside)


def _dot(x: float, y: float, point: TrendPoint, *, same: bool) -> str:
    told = f"{text(point.label)}: {amount(point.wall_seconds, 's')} on {text(point.system)}"
    label = text(point.label)
    label = label if len(label) <= 9 else f"…{label[-8:]}"  # noqa: PLR2004  (what fits)
    point_ = dot("dot" if same else "other", x, y, 4, told)
    return f"{point_}{words(x, AXES.height - 18, label, 'middle')}"


def _picture(label: str, size: tuple[int, int], inside: str) -> str:
    return svg(label, size, inside, more=f'style="max-width:{size[0]}px"')
