"""What earlier runs say of the notebooks of a run, short or long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pasts import opened, past_run, record, result, trace

from nbpipe.history import looked_up
from nbpipe.model import Earlier, Outcome, Past, Result, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.history import History


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with opened(f"sqlite:///{tmp_path}/h.sqlite", tmp_path) as made:
        yield made


def now(*results: Result) -> Run:
    past = past_run("now", days=100)
    return Run(
        **{name: getattr(past, name) for name in ("id", "started", "commit", "host", "version")},
        seconds=1.0,
        root=Path(past.root),
        output_dir=Path(past.output_dir),
        python="3",
        jobs=1,
        results=results,
        excluded=(),
    )


@pytest.mark.parametrize("others", [0, 60])
def test_the_past_is_that_of_the_runs_before(history: History, others: int) -> None:
    more = [result(f"{number}.ipynb", "passed") for number in range(others)]
    for day, (outcome, seconds) in enumerate((("passed", 2.0), ("passed", 4.0), ("failed", 9.0))):
        record(history, past_run(f"r{day}", days=day), result("a.ipynb", outcome, seconds), *more)
    record(history, past_run("now", days=100), result("a.ipynb", "failed"))
    record(history, past_run("later", days=101), result("a.ipynb", "passed"))
    skipped = result("s.ipynb", "skipped", reason="x")
    found = looked_up(now(result("a.ipynb", "failed"), *more, skipped), history).results
    known = Past(
        outcome=Outcome.FAILED,
        run="r2",
        commit="c0ffee",
        runs=3,
        row=1,
        flakiness=0.5,
        seconds=3.0,
        earlier=(
            Earlier(run="r2", outcome=Outcome.FAILED, seconds=9.0),
            Earlier(run="r1", outcome=Outcome.PASSED, seconds=4.0),
            Earlier(run="r0", outcome=Outcome.PASSED, seconds=2.0),
        ),
    )
    assert found[0].past == known
    assert [each.past is not None for each in found] == [True] * (1 + others) + [False]


def test_a_failed_notebook_is_looked_for_in_runs_that_are_long_past(history: History) -> None:
    record(history, past_run("old"), result("a.ipynb", "passed"))
    more = [result(f"{number}.ipynb", "passed") for number in range(60)]
    for day in range(1, 30):
        record(history, past_run(f"r{day}", days=day), more[0])
    found = looked_up(now(result("a.ipynb", "failed"), *more), history).results
    assert [found[0].past and found[0].past.run, found[2].past] == ["old", None]
    passed = replace(found[0], outcome=Outcome.PASSED)
    assert looked_up(now(passed, *more), history).results[0].past is None


def test_a_failure_is_told_with_the_packages_of_the_last_pass(history: History) -> None:
    known = {"numpy": "2.4.0", "python": "3.11.7"}
    passed = result("a.ipynb", "passed", trace=trace(environment=known))
    also = result("c.ipynb", "passed", trace=trace(environment=known))
    record(history, past_run("r0"), passed, result("b.ipynb", "failed"), also)
    record(history, past_run("r1", days=1), result("a.ipynb", "failed"))
    again = (result("a.ipynb", "failed"), result("b.ipynb", "failed"), also)
    failed, never, passing = (each.past for each in looked_up(now(*again), history).results)
    assert failed is not None
    assert (failed.passed, failed.packages) == ("r0", known)
    assert never is not None
    assert (never.passed, never.packages) == ("", {})
    assert passing is not None
    assert passing.packages == {}
