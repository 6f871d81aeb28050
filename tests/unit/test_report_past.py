"""What a report says of a result against earlier runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pasts import result

from nbpipe.model import Outcome, Past
from nbpipe.reports.past import before, slower, usual

PAST = Past(
    outcome=Outcome.PASSED, run="r1", commit="0123456789abcdef", runs=5, row=2, flakiness=0.0,
    seconds=10.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "passed before (run r1, commit 0123456789ab)"),
        ({"commit": None}, "passed before (run r1)"),
        ({"outcome": Outcome.FLAKY}, "was flaky before (run r1, commit 0123456789ab)"),
        ({"outcome": Outcome.FAILED, "row": 1}, "failed before, too (run r1, commit 0123456789ab)"),
        (
            {"outcome": Outcome.FAILED, "row": 3},
            "failed before, too, 3 times in a row (run r1, commit 0123456789ab)",
        ),
        (
            {"flakiness": 1 / 3},
            "passed before (run r1, commit 0123456789ab); it changed in 33 % of 5 runs",
        ),
    ],
)
def test_a_failure_is_told_with_what_was_before(changes: dict[str, object], told: str) -> None:
    failed = result("a.ipynb", "failed", past=replace(PAST, **changes))  # type: ignore[arg-type]
    assert before(failed) == told


def test_nothing_is_said_where_nothing_is_known() -> None:
    fresh = result("a.ipynb", "failed")
    assert (before(fresh), usual(fresh), slower([fresh])) == ("", "", [])


def test_what_took_much_longer_than_usual_is_found_the_worst_first() -> None:
    seconds = {"a": 19.0, "b": 21.0, "c": 60.0, "d": 14.0}
    results = [result(f"{name}.ipynb", "passed", took, past=PAST) for name, took in seconds.items()]
    results.append(result("e.ipynb", "failed", 99.0, past=PAST))
    results.append(result("f.ipynb", "passed", 3.0, past=replace(PAST, seconds=0.5)))
    assert [each.path for each in slower(results)] == ["c.ipynb", "b.ipynb"]
    assert usual(results[0]) == "10.0 s"
