"""How a notebook does over time: its outcomes in a row, their changes, its durations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from nbpipe.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.history.records import PastLine, PastMark, PastResult

_MARKS = {"passed": ".", "failed": "F", "flaky": "~", "skipped": "s"}
STRIP_LEGEND = ". passed   F failed   ~ flaky   s skipped   (the newest right)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What a notebook's results say together."""

    runs: int
    """Results that there are, skips included."""
    strip: str
    """One character for each, the newest last: `..F~s`."""
    flakiness: float
    """Changes between passing and failing for each possible change, 0 to 1; a flaky result is
    one in itself."""
    median_seconds: float | None
    """Of those that passed, else of all that were executed; None where none was."""
    last_seconds: float | None
    last_memory: int | None
    """Peak in bytes, of the last one of which it is known."""


def statistics(results: Sequence[PastResult | PastLine | PastMark]) -> Statistics:
    """Return the statistics of a notebook's results, the newest first."""
    executed = [each for each in results if each.outcome not in {None, Outcome.SKIPPED}]
    passed = [each for each in executed if each.outcome != Outcome.FAILED]
    seconds = [each.seconds for each in passed or executed]
    outcomes = [each.outcome for each in executed]
    unsteady = sum(each == Outcome.FLAKY for each in outcomes)
    steady = [each for each in outcomes if each != Outcome.FLAKY]
    flips = sum(one != other for one, other in pairwise(steady)) + unsteady
    possible = max(len(steady) - 1, 0) + unsteady
    return Statistics(
        runs=len(results),
        strip="".join(_MARKS.get(each.outcome or "", "?") for each in reversed(results)),
        flakiness=flips / possible if possible else 0.0,
        median_seconds=median(seconds) if seconds else None,
        last_seconds=executed[0].seconds if executed else None,
        last_memory=next((each.memory for each in executed if each.memory is not None), None),
    )
