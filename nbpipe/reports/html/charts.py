"""Durations as pictures: the longest notebooks, and what ran beside what. Plain SVG, no script.

Colours come from the page's style by class; sizes are in the picture's own units, and the
picture scales with the page.
"""

from __future__ import annotations

from heapq import nlargest
from html import escape
from typing import TYPE_CHECKING

from nbpipe.system.text import cut, plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.model import Result

SHOWN = 20
WIDTH = 900
_ROW = 22
_LABEL = 330
_LABEL_CHARACTERS = 44
_VALUE = 90
_LANE = 18
_LANES = 200
"""More lanes than that are not drawn: nobody could tell them apart."""


def longest(results: Sequence[Result]) -> str:
    """Return the slowest notebooks as horizontal bars; empty where nothing ran."""
    slowest = nlargest(SHOWN, results, key=lambda each: each.seconds)
    chosen = [each for each in slowest if each.seconds > 0]
    if not chosen:
        return ""
    scale = (WIDTH - _LABEL - _VALUE) / chosen[0].seconds
    rows = "".join(_bar(each, number * _ROW, scale) for number, each in enumerate(chosen))
    return _svg(f"The {len(chosen)} slowest notebooks", len(chosen) * _ROW, rows)


def _bar(result: Result, top: float, scale: float) -> str:
    name = plain_name(result.path)
    if len(name) > _LABEL_CHARACTERS:
        name = f"…{name[-_LABEL_CHARACTERS:]}"
    width = max(result.seconds * scale, 1)
    middle = top + _ROW * 0.68
    return (
        f'<text x="{_LABEL - 8}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{result.outcome}" x="{_LABEL}" y="{top + 3}" width="{width:.1f}" '
        f'height="{_ROW - 6}"/>'
        f'<text x="{_LABEL + width + 6:.1f}" y="{middle:.1f}">{duration(result.seconds)}</text>'
    )


def timeline(results: Sequence[Result]) -> str:
    """Return when each notebook ran, in as many lanes as ran at once; empty where not known."""
    ran = sorted(
        ((each.started, each) for each in results if each.started and each.seconds > 0),
        key=lambda pair: pair[0],
    )
    if not ran:
        return ""
    start = ran[0][0]
    end = max((begun - start).total_seconds() + each.seconds for begun, each in ran)
    free: list[float] = []
    bars = []
    for begun, each in ran:
        offset = (begun - start).total_seconds()
        lane = _lane(free, offset, each.seconds)
        if lane < _LANES:
            bars.append(_span(each, offset, lane, WIDTH / end))
    height = min(len(free), _LANES) * _LANE + 20
    axis = (
        f'<text x="0" y="{height - 4}">0 s</text>'
        f'<text x="{WIDTH}" y="{height - 4}" text-anchor="end">{duration(end)}</text>'
    )
    return _svg("When each notebook ran", height, "".join(bars) + axis)


def _lane(free: list[float], offset: float, seconds: float) -> int:
    """Return the first lane that is free by then, and take it."""
    for number, since in enumerate(free):
        if since <= offset:
            free[number] = offset + seconds
            return number
    free.append(offset + seconds)
    return len(free) - 1


def _span(result: Result, offset: float, lane: int, scale: float) -> str:
    title = f"{plain_name(result.path)}: {result.outcome}, {duration(result.seconds)}"
    return (
        f'<rect class="{result.outcome}" x="{offset * scale:.1f}" y="{lane * _LANE + 1}" '
        f'width="{max(result.seconds * scale - 1, 1):.1f}" height="{_LANE - 3}">'
        f"<title>{escape(cut(title, 300))}</title></rect>"
    )


def _svg(label: str, height: float, inside: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'preserveAspectRatio="xMinYMin meet">{inside}</svg>'
    )
