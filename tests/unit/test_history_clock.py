"""A clock that is wrong once takes no run away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from storage import START, past_run

from nbpipe.config.settings import HistorySettings
from nbpipe.history import open_history
from nbpipe.history.recorder import Recorder, oldest

if TYPE_CHECKING:
    from pathlib import Path

RUNS = [past_run(f"r{number}", days=number) for number in reversed(range(12))]
"""The newest first."""
AHEAD = past_run("ahead", days=700)


def test_what_is_too_old_is_forgotten_counted_from_the_run_before() -> None:
    assert oldest(RUNS[0], RUNS[:2], days=5) == START + timedelta(days=10 - 5)
    assert oldest(RUNS[0], RUNS[:1], days=5) == START + timedelta(days=11 - 5)


def test_nothing_is_forgotten_for_its_age_where_no_time_is_set() -> None:
    assert oldest(RUNS[0], RUNS[:2], days=0) is None


def test_a_run_that_is_years_ahead_does_not_count() -> None:
    assert oldest(AHEAD, [AHEAD, RUNS[0]], days=5) == START + timedelta(days=11 - 5)
    assert oldest(RUNS[0], [AHEAD, RUNS[0]], days=5) == START + timedelta(days=11 - 5)


@pytest.mark.parametrize("ahead", [700, -700])
def test_a_run_with_a_wrong_clock_leaves_the_others(tmp_path: Path, ahead: int) -> None:
    settings = HistorySettings(url=f"sqlite:///{tmp_path}/db.sqlite")
    runs = [*reversed(RUNS), past_run("wrong", days=ahead), past_run("right", days=13)]
    for run in runs:
        recorder = Recorder(settings, tmp_path)
        recorder.begin(run, ())
        recorder.end(seconds=1.0, interrupted=False)
        assert recorder.problem is None

    with open_history(settings, tmp_path, create=False) as history:
        kept = {run.id for run in history.runs(99)}
    assert kept >= {run.id for run in runs} - {"wrong"}
