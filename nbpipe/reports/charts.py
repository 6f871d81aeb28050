"""Pictures as plain SVG, no script: what every chart is made of, and those of a run.

Colours come from the page's style by class; sizes are in the picture's own units, and the
picture scales with the page. All text is escaped here, and nowhere else: a chart of the service's
pages or of a comparison says only what stands where.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest
from html import escape
from typing import TYPE_CHECKING

from nbpipe.system.text import cut, plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nbpipe.model import Attempt, Result

SCALED = 'preserveAspectRatio="xMinYMin meet"'
"""Of a picture that takes the page's width."""
SHOWN = 20
WIDTH = 900
_ROW = 22
_LABEL = 330
_LABEL_CHARACTERS = 44
_VALUE = 90
_LANE = 18
_LANES = 200
"""More lanes than that are not drawn: nobody could tell them apart."""


def svg(
    label: str, size: tuple[float, float], inside: str, *, css: str = "", more: str = ""
) -> str:
    """Return a picture; `label` is what it shows, for those who do not see it.

    Args:
        label: One line.
        size: Width and height, in its own units.
        inside: Its elements.
        css: Its class.
        more: Attributes of ours.
    """
    width, height = size
    return (
        f'<svg{_css(css)} role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width} {height:.0f}"{more and f" {more}"}>{inside}</svg>'
    )


def words(x: float, y: float, text: str, anchor: str = "", *, css: str = "") -> str:
    """Return a line of text; `anchor` is what of it stands at x: its start, middle or end."""
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{_css(css)} x="{_at(x)}" y="{_at(y)}"{place}>{escape(text)}</text>'


def bar(css: str, x: float, y: float, size: tuple[float, float], title: str = "") -> str:
    """Return a rectangle, with what is shown where the pointer is over it."""
    width, height = size
    element = (
        f'<rect class="{css}" x="{_at(x)}" y="{_at(y)}" width="{width:.1f}" height="{_at(height)}"'
    )
    return f"{element}>{_title(title)}</rect>" if title else f"{element}/>"


def dot(css: str, x: float, y: float, radius: int, title: str) -> str:
    """Return a point of a line, with what is shown where the pointer is over it."""
    return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{_title(title)}</circle>'


def cross(x: float, y: float, title: str) -> str:
    """Return a point that stands apart by its shape."""
    return f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8">{_title(title)}</path>'


def line(points: Iterable[tuple[float, float]], css: str) -> str:
    """Return a line from point to point."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{css}" points="{places}"/>'


@dataclass(frozen=True, slots=True)
class Axes:
    """Where a chart's values are drawn, between its margins; both axes run from 0 to 1."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, share: float) -> float:
        """Return how far to the right that is."""
        return self.left + share * (self.width - self.left - self.right)

    def y(self, share: float) -> float:
        """Return how far down that is: 0 at the base, 1 at the top."""
        return self.base - share * (self.base - self.top)

    @property
    def base(self) -> int:
        """How far down the horizontal axis is."""
        return self.height - self.bottom

    @property
    def size(self) -> tuple[int, int]:
        """The picture's width and height."""
        return self.width, self.height

    def across(self, y: float, css: str = "") -> str:
        """Return a horizontal line; at `base` it is the axis."""
        end = self.width - self.right
        return f'<line{_css(css)} x1="{self.left}" x2="{end}" y1="{_at(y)}" y2="{_at(y)}"/>'

    def down(self, x: float, css: str) -> str:
        """Return a vertical line."""
        return f'<line class="{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.base}"/>'


def _at(value: float) -> str:
    """Return a coordinate: a whole one as it is, others as exactly as a screen can show."""
    return f"{value}" if isinstance(value, int) else f"{value:.1f}"


def _css(name: str) -> str:
    return f' class="{escape(name)}"' if name else ""


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def longest(results: Sequence[Result]) -> str:
    """Return the slowest notebooks as horizontal bars; empty where nothing ran."""
    slowest = nlargest(SHOWN, results, key=lambda each: each.seconds)
    chosen = [each for each in slowest if each.seconds > 0]
    if not chosen:
        return ""
    scale = (WIDTH - _LABEL - _VALUE) / chosen[0].seconds
    rows = "".join(_row(each, number * _ROW, scale) for number, each in enumerate(chosen))
    return svg(
        f"The {len(chosen)} slowest notebooks", (WIDTH, len(chosen) * _ROW), rows, more=SCALED
    )


def _row(result: Result, top: int, scale: float) -> str:
    name = plain_name(result.path)
    if len(name) > _LABEL_CHARACTERS:
        name = f"…{name[-_LABEL_CHARACTERS:]}"
    width = max(result.seconds * scale, 1)
    middle = top + _ROW * 0.68
    return (
        words(_LABEL - 8, middle, name, "end")
        + bar(result.outcome, _LABEL, top + 3, (width, _ROW - 6))
        + words(_LABEL + width + 6, middle, duration(result.seconds))
    )


def timeline(results: Sequence[Result]) -> str:
    """Return when each attempt ran, in as many lanes as ran at once; empty where not known."""
    ran = sorted(
        (
            (attempt.started, attempt, result)
            for result in results
            for attempt in result.attempted
            if attempt.started and attempt.seconds > 0
        ),
        key=lambda one: one[0],
    )
    if not ran:
        return ""
    start = ran[0][0]
    end = max((begun - start).total_seconds() + each.seconds for begun, each, _ in ran)
    free: list[float] = []
    bars = []
    for begun, attempt, result in ran:
        offset = (begun - start).total_seconds()
        lane = _lane(free, offset, attempt.seconds)
        if lane < _LANES:
            bars.append(_span(result, attempt, offset, (lane, WIDTH / end)))
    height = min(len(free), _LANES) * _LANE + 20
    axis = words(0, height - 4, "0 s") + words(WIDTH, height - 4, duration(end), "end")
    return svg("When each notebook ran", (WIDTH, height), "".join(bars) + axis, more=SCALED)


def _lane(free: list[float], offset: float, seconds: float) -> int:
    """Return the first lane that is free by then, and take it."""
    for number, since in enumerate(free):
        if since <= offset:
            free[number] = offset + seconds
            return number
    free.append(offset + seconds)
    return len(free) - 1


def _span(result: Result, attempt: Attempt, offset: float, place: tuple[int, float]) -> str:
    """Return the bar of an attempt; its place is the lane, and units of length per second."""
    lane, scale = place
    number = f", attempt {attempt.number} of {len(result.tries)}" if result.retried else ""
    title = f"{plain_name(result.path)}: {attempt.outcome}, {duration(attempt.seconds)}{number}"
    size = (max(attempt.seconds * scale - 1, 1), _LANE - 3)
    return bar(attempt.outcome, offset * scale, lane * _LANE + 1, size, cut(title, 300))
