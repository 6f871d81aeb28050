"""Pictures of the past as plain SVG: the strip of outcomes, the trend of durations, a badge.

Colours come from the pages' style by class; what is told by colour is told by shape as well. All
text is escaped. Returns markup for templates; no script, nothing from elsewhere.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

from nbpipe.reports import charts
from nbpipe.system.text import plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.history import PastLine

_BAR = 6
_GAP = 2
_HEIGHT = 20
_SHAPES = {
    ".": ("passed", 8, 12),
    "F": ("failed", 0, 20),
    "~": ("flaky", 4, 16),
    "s": ("skipped", 17, 3),
    "?": ("skipped", 17, 3),
}
"""Mark -> outcome, top and height: what went wrong stands higher."""
_WORDS = {".": "passed", "F": "failed", "~": "flaky", "s": "skipped"}

_AXES = charts.Axes(900, 220, left=90, right=20, top=16, bottom=30)


def strip(marks: str, places: int) -> Markup:
    """Return outcomes in a row, the newest right; `marks` as in `Statistics.strip`.

    Args:
        marks: One character each, the newest last.
        places: How many are shown at most.
    """
    marks = marks[-places:]
    width = max(len(marks) * (_BAR + _GAP) - _GAP, 1)
    bars: dict[str, list[str]] = {}
    for number, mark in enumerate(marks):
        kind, top, height = _SHAPES[mark]
        left = number * (_BAR + _GAP)
        bars.setdefault(kind, []).append(f"M{left} {top}h{_BAR}v{height}h-{_BAR}z")
    paths = (f'<path class="{kind}" d="{"".join(each)}"/>' for kind, each in bars.items())
    counts = [f"{marks.count(mark)} {word}" for mark, word in _WORDS.items() if mark in marks]
    label = f"The last {len(marks)}: {', '.join(counts)}" if marks else "No result"
    size = f'width="{width}" height="{_HEIGHT}"'
    return Markup(  # noqa: S704  (made here, of numbers and words of ours)
        charts.svg(label, (width, _HEIGHT), "".join(paths), css="strip", more=size)
    )


def trend(results: Sequence[PastLine], median: float | None) -> Markup:
    """Return durations over time with their reference; empty where nothing ran.

    Args:
        results: The newest first.
        median: The reference: of those that passed, in seconds.
    """
    ran = [each for each in reversed(results) if each.outcome != "skipped"]
    top = max([*(each.seconds for each in ran), median or 0.0], default=0.0) * 1.1
    if not ran or top <= 0:
        return Markup("")
    points = [
        (each, _AXES.x(number / max(len(ran) - 1, 1)), _AXES.y(each.seconds / top))
        for number, each in enumerate(ran)
    ]
    said = f"Seconds of the last {len(ran)} executions"
    if median is not None:
        said += f"; the median of passes is {duration(median)}"
    foot, left, right = _AXES.height - 8, _AXES.left, _AXES.width - _AXES.right
    parts = [
        _AXES.across(_AXES.base, "axis"),
        charts.line(((x, y) for each, x, y in points if each.outcome != "failed"), "line"),
        *(_point(*point) for point in points),
        charts.words(left, foot, f"{ran[0].started:%Y-%m-%d}", "start"),
        charts.words(right, foot, f"{ran[-1].started:%Y-%m-%d}", "end"),
        charts.words(left - 8, _AXES.base + 4, "0 s", "end"),
        charts.words(left - 8, _AXES.top + 4, duration(top), "end"),
    ]
    if median is not None:
        told = f"- - median of passes {duration(median)}"
        parts.append(_AXES.across(_AXES.y(median / top), "reference"))
        parts.append(charts.words((_AXES.width + left) / 2, foot, told, "middle"))
    return Markup(  # noqa: S704  (what is not ours in it is escaped)
        charts.svg(said, _AXES.size, "".join(parts), css="trend", more=charts.SCALED)
    )


def _point(result: PastLine, x: float, y: float) -> str:
    title = f"{result.run}: {result.outcome}, {duration(result.seconds)}"
    if result.outcome == "failed":
        return charts.cross(x, y, title)
    return charts.dot(result.outcome or "", x, y, 3, title)


_BADGE = {"failing": "#b3261e", "flaky": "#7a4d00", "passing": "#1a6e37", "unknown": "#59636e"}
"""White text stands on each with a contrast of more than 4.5."""


def badge(label: str, message: str, state: str) -> str:
    """Return a badge: a label and a message on the colour of its state, self-contained.

    Args:
        label: Such as `notebooks`.
        message: Such as `2 of 100 failing`.
        state: `passing`, `flaky`, `failing` or `unknown`.
    """
    left, right = _columns(label), _columns(message)
    whole = left + right
    title = escape(plain_name(f"{label}: {message}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{whole}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_BADGE[state]}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
        f'text-anchor="middle"><text x="{left / 2:.1f}" y="14">{escape(plain_name(label))}</text>'
        f'<text x="{left + right / 2:.1f}" y="14">{escape(plain_name(message))}</text></g></svg>'
    )


def _columns(text: str) -> int:
    """Return a width that the text fits into, in pixels."""
    return 12 + round(6.8 * len(text))
