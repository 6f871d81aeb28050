"""A result against what earlier runs say: in the words that every report uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.model import Outcome
from nbpipe.system.text import plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbpipe.model import Result

_RESULTS = 5
"""Earlier results from which on a usual time means something: of fewer, one slow day decides."""
_TIMES, _MORE = 2.0, 5.0
"""A notebook is slow that takes so many times its usual time, and so many seconds more."""


def before(result: Result) -> str:
    """Return what became of a notebook before; "" where nothing is known."""
    past = result.past
    if past is None:
        return ""
    where = f"run {plain_name(past.run)}"
    if past.commit:
        where += f", commit {plain_name(past.commit[:12])}"
    if past.outcome is Outcome.FAILED:
        times = f", {count(past.row, 'time')} in a row" if past.row > 1 else ""
        told = f"failed before, too{times} ({where})"
    else:
        was = "was flaky" if past.outcome is Outcome.FLAKY else past.outcome.value
        told = f"{was} before ({where})"
    if past.flakiness:
        told += f"; it changed in {100 * past.flakiness:.0f} % of {count(past.runs, 'run')}"
    return told


def usual(result: Result) -> str:
    """Return the time that a notebook takes where it passes; "" where that is not known."""
    past = result.past
    return duration(past.seconds) if past is not None and past.seconds is not None else ""


def slower(results: Iterable[Result]) -> list[Result]:
    """Return what passed and took much longer than usual, by how much longer."""
    found = [
        (each.seconds - each.past.seconds, each)
        for each in results
        if each.outcome is Outcome.PASSED
        and each.past is not None
        and each.past.seconds is not None
        and each.past.runs >= _RESULTS
        and each.seconds > max(_TIMES * each.past.seconds, each.past.seconds + _MORE)
    ]
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])]
