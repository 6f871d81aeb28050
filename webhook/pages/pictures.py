"""Pictures of the past as plain SVG: the strip of outcomes, the trend of durations, a badge.

Colours come from the pages' style by class; what is told by colour is told by shape as well. All
text is escaped. Returns markup for templates; no script, nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from nbpipe.reports import charts
from nbpipe.system.text import plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nbpipe.history import PastLine, RunLine
    from nbpipe.history.page_queries import RunMark

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

_MARK_OF = {"passed": ".", "failed": "F", "flaky": "~", "skipped": "s"}

_Href = Callable[[Any], str]
_AXES = charts.Axes(900, 220, left=90, right=20, top=16, bottom=30)


def marks(results: Sequence[RunMark | PastLine], places: int, href: _Href) -> Markup:
    """Return outcomes in a row, the newest right, as `strip`; what did not pass leads to its run.

    The marks are for pointers: the same results are reached by the notebook's own page, so that a
    table of fifty strips is not thousands of stops for the keyboard.

    Args:
        results: The newest first.
        places: How many are shown at most.
        href: The address of a result.
    """
    shown = list(reversed(results[:places]))
    width = max(len(shown) * (_BAR + _GAP) - _GAP, 1)
    passed, others = [], []
    for number, each in enumerate(shown):
        kind, top, height = _SHAPES[_MARK_OF.get(each.outcome or "", "?")]
        d = f"M{number * (_BAR + _GAP)} {top}h{_BAR}v{height}h-{_BAR}z"
        if kind == "passed" and number < len(shown) - 1:
            passed.append(d)
            continue
        path = f'<path class="{kind}" d="{d}"/>'
        others.append(_leads(href(each), _said(each), path))
    if passed:
        others.insert(0, f'<path class="passed" d="{"".join(passed)}"/>')
    outcomes = [each.outcome for each in shown]
    counts = [f"{outcomes.count(word)} {word}" for word in _WORDS.values() if word in outcomes]
    label = f"The last {len(shown)}: {', '.join(counts)}" if shown else "No result"
    size = (width, _HEIGHT)
    more = f'width="{width}" height="{_HEIGHT}"'
    return _linked(label, size, "".join(others), "strip", more)


def trend(results: Sequence[PastLine], median: float | None, href: _Href) -> Markup:
    """Return durations over time with their reference; empty where nothing ran.

    Args:
        results: The newest first.
        median: The reference: of those that passed, in seconds.
        href: The address of a result.
    """
    ran = [each for each in reversed(results) if each.outcome != "skipped"]
    top = max([*(each.seconds for each in ran), median or 0.0], default=0.0) * 1.1
    if not ran or top <= 0:
        return Markup("")
    points = [
        _Point(
            share=each.seconds / top,
            kind=each.outcome or "",
            title=_said(each),
            href=href(each),
        )
        for each in ran
    ]
    said = f"Seconds of the last {len(ran)} executions"
    parts = []
    if median is not None:
        said += f"; the median of passes is {duration(median)}"
        told = f"- - median of passes {duration(median)}"
        parts.append(_AXES.across(_AXES.y(median / top), "reference"))
        middle = (_AXES.width + _AXES.left) / 2
        parts.append(charts.words(middle, _AXES.height - 8, told, "middle"))
    parts.append(_drawn(points, ran[0].started, ran[-1].started, duration(top), "0 s"))
    return _linked(said, _AXES.size, "".join(parts), "trend", charts.SCALED)


def rates(runs: Sequence[RunLine], href: _Href) -> Markup:
    """Return which share of the executed notebooks passed, run by run; empty where none ended.

    Args:
        runs: The newest first.
        href: The address of a run.
    """
    ended = [each for each in reversed(runs) if _executed(each)]
    if len(ended) < _FEWEST:
        return Markup("")
    points = [
        _Point(
            share=_rate(each),
            kind="failed" if each.failed else "flaky" if each.flaky else "passed",
            title=f"{each.run.id}: {_rate(each):.0%} of {_executed(each):,} passed",
            href=href(each),
        )
        for each in ended
    ]
    lowest = min(ended, key=_rate)
    said = (
        f"Share of notebooks that passed in the last {len(ended)} runs: {_rate(ended[-1]):.0%} in "
        f"the newest, at the lowest {_rate(lowest):.0%} on {lowest.run.started:%Y-%m-%d}"
    )
    drawn = _drawn(points, ended[0].run.started, ended[-1].run.started, "100%", "0%", through=True)
    return _linked(said, _AXES.size, drawn, "trend", charts.SCALED)


def lengths(runs: Sequence[RunLine], href: _Href) -> Markup:
    """Return how long the runs took, one after the other; empty where none ended.

    Args:
        runs: The newest first.
        href: The address of a run.
    """
    ended = [(each, each.run.seconds) for each in reversed(runs) if each.run.seconds is not None]
    top = max((seconds for _, seconds in ended), default=0.0) * 1.1
    if len(ended) < _FEWEST or top <= 0:
        return Markup("")
    points = [
        _Point(
            share=seconds / top,
            kind="flaky" if each.run.interrupted else "passed",
            title=f"{each.run.id}: {duration(seconds)} for {_executed(each):,} notebooks",
            href=href(each),
        )
        for each, seconds in ended
    ]
    first, last = ended[0][0].run, ended[-1][0].run
    said = (
        f"Duration of the last {len(ended)} runs: {duration(ended[-1][1])} in the newest, at most "
        f"{duration(max(seconds for _, seconds in ended))}"
    )
    drawn = _drawn(points, first.started, last.started, duration(top), "0 s")
    return _linked(said, _AXES.size, drawn, "trend", charts.SCALED)


_FEWEST = 2
"""Runs that make a picture over time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    share: float
    """How high it stands: 0 to 1."""
    kind: str
    title: str
    href: str


def _drawn(  # noqa: PLR0913  (a chart's words and points)
    points: Sequence[_Point],
    first: datetime,
    last: datetime,
    top: str,
    bottom: str,
    *,
    through: bool = False,
) -> str:
    """Return points over time between their axes; the line leads `through` failures, too."""
    placed = [
        (each, _AXES.x(number / max(len(points) - 1, 1)), _AXES.y(each.share))
        for number, each in enumerate(points)
    ]
    foot, left, right = _AXES.height - 8, _AXES.left, _AXES.width - _AXES.right
    parts = [
        _AXES.across(_AXES.base, "axis"),
        charts.line(((x, y) for each, x, y in placed if through or each.kind != "failed"), "line"),
        charts.words(left, foot, f"{first:%Y-%m-%d}", "start"),
        charts.words(right, foot, f"{last:%Y-%m-%d}", "end"),
        charts.words(left - 8, _AXES.base + 4, bottom, "end"),
        charts.words(left - 8, _AXES.top + 4, top, "end"),
    ]
    for each, x, y in placed:
        shape = charts.cross(x, y, each.title)
        if each.kind != "failed":
            shape = charts.dot(each.kind, x, y, 3, each.title)
        parts.append(_leads(each.href, each.title, shape))
    return "".join(parts)


def _leads(href: str, title: str, shape: str) -> str:
    """Return a shape that leads somewhere; the keyboard has the tables beside it."""
    return f'<a href="{escape(href)}" tabindex="-1"><title>{escape(title)}</title>{shape}</a>'


def _linked(label: str, size: tuple[float, float], inside: str, css: str, more: str) -> Markup:
    """Return a picture with links in it, and beside it the words for those who do not see it."""
    picture = charts.svg(label, size, inside, css=css, more=f'{more} aria-hidden="true"')
    role = f'role="img" aria-label="{escape(label)}" '
    return Markup(  # noqa: S704  (what is not ours in it is escaped)
        f'<span class="unseen">{escape(label)}</span>{picture.replace(role, "", 1)}'
    )


def _said(result: RunMark | PastLine) -> str:
    return f"{result.run}: {result.outcome}, {duration(result.seconds)}"


def _executed(run: RunLine) -> int:
    return run.passed + run.flaky + run.failed


def _rate(run: RunLine) -> float:
    return (run.passed + run.flaky) / _executed(run)


_BADGE = {
    "pinned": "#7a4d00",
    "failing": "#b3261e",
    "flaky": "#7a4d00",
    "passing": "#1a6e37",
    "unknown": "#59636e",
}
"""White text stands on each with a contrast of more than 4.5."""


def badge(label: str, message: str, state: str) -> str:
    """Return a badge: a label and a message on the colour of its state, self-contained.

    Args:
        label: Such as `notebooks`.
        message: Such as `2 of 100 failing`.
        state: `passing`, `flaky`, `pinned`, `failing` or `unknown`.
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
