"""Small pictures for the HTML page: plain SVG, coloured by the page's style, no script."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import Verdict
from nbpipe.reference.pages.wording import amount, number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.reference.comparison.model import ColumnDifference, Measure, TrendPoint

WIDTH, HEIGHT = 460, 150
LEFT, BOTTOM, TOP = 46, 34, 10
TALL = HEIGHT - TOP - BOTTOM
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
    wide = (WIDTH - LEFT - 10) / (high - low)
    bars = []
    for exponent, count in sorted(counts.items()):
        height = TALL * (math.log10(count) + 0.3) / most
        inside = f"{count:,} from {number(2.0**exponent)} to {number(2.0 ** (exponent + 1))}"
        bars.append(
            f'<rect class="bar" x="{LEFT + (exponent - low) * wide:.1f}" '
            f'y="{TOP + TALL - height:.1f}" width="{max(wide - 1, 1):.1f}" '
            f'height="{height:.1f}"><title>{escape(inside)}</title></rect>'
        )
    top = f'<text x="{LEFT - 4}" y="{TOP + 10}" text-anchor="end">{max(counts.values()):,}</text>'
    name = text(f"Sizes of the differences of {column.column} in {path}")
    return _svg(name, WIDTH, HEIGHT, f"{''.join(bars)}{_scale(column, low, high)}{top}")


def _scale(column: ColumnDifference, low: int, high: int) -> str:
    """Return the axis of sizes, with the tolerance where it is one size for all."""
    wide, base = (WIDTH - LEFT - 10) / (high - low), TOP + TALL
    limit, marks = column.tolerance.absolute, ""
    for x, exponent, anchor in ((LEFT, low, "start"), (WIDTH - 10, high, "end")):
        size = number(2.0**exponent)
        marks += f'<text x="{x}" y="{HEIGHT - 18}" text-anchor="{anchor}">{size}</text>'
    if limit and low <= math.log2(limit) <= high:
        at = LEFT + (math.log2(limit) - low) * wide
        word = "absolute tolerance" if column.tolerance.relative else "tolerance"
        marks += (
            f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{base}"/>'
            f'<text class="limit" x="{at:.1f}" y="{HEIGHT - 4}" text-anchor="middle">{word}</text>'
        )
    return f'{marks}<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{base}" y2="{base}"/>'


def steps(measures: Sequence[Measure]) -> str:
    """Return the time of each step beside the reference's; empty where there are none."""
    cells = [each for each in measures if each.name.startswith("cell ")]
    longest = sorted(cells, key=lambda each: -max(each.reference or 0, each.new or 0))[:STEPS]
    chosen = [each for each in cells if each in longest]
    top = max((max(each.reference or 0, each.new or 0) for each in chosen), default=0)
    if not top:
        return ""
    scale = (WIDTH * 1.5 - NAME - FIGURE) / top
    rows = "".join(_step(each, place * ROW, scale) for place, each in enumerate(chosen))
    return _svg("Time of each step", int(WIDTH * 1.5), len(chosen) * ROW + 4, rows)


def _step(measure: Measure, top: float, scale: float) -> str:
    name = text(measure.title or measure.name)
    name = name if len(name) <= 22 else f"{name[:21]}…"  # noqa: PLR2004  (what fits)
    bars = "".join(
        f'<rect class="{kind}" x="{NAME}" y="{top + offset}" width="{(value or 0) * scale:.1f}" '
        'height="8"/>'
        for kind, offset, value in (("old", 3, measure.reference), ("bar", 12, measure.new))
    )
    ratio = "" if measure.ratio is None else f" ({measure.ratio:.2f}x)"
    end = NAME + max(measure.reference or 0, measure.new or 0) * scale + 5
    mark = "limit" if measure.verdict is Verdict.DIFFERENT else ""
    return (
        f'<text x="{NAME - 6}" y="{top + 15}" text-anchor="end">{escape(name)}</text>{bars}'
        f'<text class="{mark}" x="{end:.1f}" y="{top + 15}">'
        f"{amount(measure.new, measure.unit)}{ratio}</text>"
    )


def trend(points: Sequence[TrendPoint]) -> str:
    """Return the wall time over the releases; points on other systems are hollow."""
    known = [(each, each.wall_seconds) for each in points if each.wall_seconds is not None]
    if len(known) < 2:  # noqa: PLR2004  (one point is no trend)
        return ""
    top = max(seconds for _, seconds in known) or 1
    wide = (WIDTH - LEFT - 50) / (len(known) - 1)
    places = [
        (LEFT + number_ * wide, TOP + TALL - TALL * 0.9 * seconds / top, each)
        for number_, (each, seconds) in enumerate(known)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    here = known[-1][0].system
    dots = "".join(_dot(x, y, each, same=each.system == here) for x, y, each in places)
    axis = f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{TOP + TALL}" y2="{TOP + TALL}"/>'
    scale = f'<text x="0" y="{TOP}">{amount(top, "s")}</text>'
    inside = f'<polyline class="trend" points="{line}"/>{dots}{axis}{scale}'
    return _svg("Wall time over the releases", WIDTH, HEIGHT, inside)


def _dot(x: float, y: float, point: TrendPoint, *, same: bool) -> str:
    told = f"{text(point.label)}: {amount(point.wall_seconds, 's')} on {text(point.system)}"
    label = text(point.label)
    label = label if len(label) <= 9 else f"…{label[-8:]}"  # noqa: PLR2004  (what fits)
    return (
        f'<circle class="{"dot" if same else "other"}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{escape(told)}</title></circle>"
        f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{escape(label)}</text>'
    )


def _svg(label: str, width: int, height: int, inside: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{width}px">{inside}</svg>'
    )
