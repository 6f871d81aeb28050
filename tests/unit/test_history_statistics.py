"""What the results of a notebook say together."""

from __future__ import annotations

import pytest
from pasts import START

from nbpipe.history import PastResult, statistics


def past(*outcomes: str, seconds: tuple[float, ...] = ()) -> list[PastResult]:
    """Return results, the oldest given first, as the history returns them: the newest first."""
    times = seconds or (1.0,) * len(outcomes)
    made = [
        PastResult(
            run=f"r{number}",
            started=START,
            path="a.ipynb",
            outcome=outcome,
            complete=True,
            reason=None,
            kernel="python3",
            seconds=time,
            attempts=1,
            failures=(),
        )
        for number, (outcome, time) in enumerate(zip(outcomes, times, strict=True))
    ]
    return made[::-1]


def test_the_strip_has_the_newest_right() -> None:
    assert statistics(past("passed", "skipped", "flaky", "failed")).strip == ".s~F"


@pytest.mark.parametrize(
    ("outcomes", "flakiness"),
    [
        ((), 0.0),
        (("passed",), 0.0),
        (("failed", "failed", "failed"), 0.0),
        (("passed", "failed", "passed"), 1.0),
        (("passed", "passed", "failed"), 0.5),
        (("passed", "skipped", "passed"), 0.0),
        (("passed", "flaky", "passed"), 0.5),
    ],
)
def test_flakiness_is_changes_of_possible_changes(
    outcomes: tuple[str, ...], flakiness: float
) -> None:
    assert statistics(past(*outcomes)).flakiness == flakiness


def test_durations_are_those_of_passes_where_there_is_one() -> None:
    told = statistics(past("passed", "passed", "failed", seconds=(10.0, 20.0, 0.5)))
    assert (told.median_seconds, told.last_seconds) == (15.0, 0.5)


def test_what_never_ran_has_no_duration() -> None:
    told = statistics(past("skipped"))
    assert (told.runs, told.median_seconds, told.last_seconds) == (1, None, None)
