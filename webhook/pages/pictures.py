"""Pictures of the past as plain SVG: the strip of outcomes, the trend of durations, a badge.

Colours come from the pages' style by class; what is told by colour is told by shape as well. All
text is escaped here. Returns markup for templates; no script, nothing from elsewhere.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

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

WIDTH, HEIGHT = 900, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 16, 30


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
    return Markup(  # noqa: S704  (made here, of numbers and words of ours)
        f'<svg class="strip" role="img" aria-label="{label}" width="{width}" '
        f'height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}">{"".join(paths)}</svg>'
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
    width = WIDTH - _LEFT - _RIGHT
    step = width / max(len(ran) - 1, 1)
    points = [
        (each, _LEFT + number * step, _level(each.seconds, top)) for number, each in enumerate(ran)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for each, x, y in points if each.outcome != "failed")
    said = f"Seconds of the last {len(ran)} executions"
    if median is not None:
        said += f"; the median of passes is {duration(median)}"
    parts = [
        (
            f'<line class="axis" x1="{_LEFT}" y1="{HEIGHT - _BOTTOM}" x2="{WIDTH - _RIGHT}" '
            f'y2="{HEIGHT - _BOTTOM}"/>'
        ),
        f'<polyline class="line" points="{line}"/>',
        *(_point(*point) for point in points),
        _text(_LEFT, HEIGHT - 8, f"{ran[0].started:%Y-%m-%d}", "start"),
        _text(WIDTH - _RIGHT, HEIGHT - 8, f"{ran[-1].started:%Y-%m-%d}", "end"),
        _text(_LEFT - 8, HEIGHT - _BOTTOM + 4, "0 s", "end"),
        _text(_LEFT - 8, _TOP + 4, duration(top), "end"),
    ]
    if median is not None:
        parts.append(_reference(median, top))
    return Markup(  # noqa: S704  (what is not ours in it is escaped)
        f'<svg class="trend" role="img" aria-label="{escape(said)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'preserveAspectRatio="xMinYMin meet">{"".join(parts)}</svg>'
    )


def _reference(median: float, top: float) -> str:
    level = _level(median, top)
    return (
        f'<line class="reference" x1="{_LEFT}" y1="{level:.1f}" x2="{WIDTH - _RIGHT}" '
        f'y2="{level:.1f}"/>'
        + _text(
            (WIDTH + _LEFT) / 2, HEIGHT - 8, f"- - median of passes {duration(median)}", "middle"
        )
    )


def _level(seconds: float, top: float) -> float:
    return HEIGHT - _BOTTOM - seconds / top * (HEIGHT - _BOTTOM - _TOP)


def _point(result: PastLine, x: float, y: float) -> str:
    title = escape(f"{result.run}: {result.outcome}, {duration(result.seconds)}")
    if result.outcome == "failed":
        return (
            f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8">'
            f"<title>{title}</title></path>"
        )
    return (
        f'<circle class="{escape(result.outcome or "")}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
        f"<title>{title}</title></circle>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


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
