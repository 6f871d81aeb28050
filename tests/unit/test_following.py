"""The end of a run, and the accounting that knows it later."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.batch import run_views
from nbpipe.batch.run_views import JobView, View
from nbpipe.reference.schedulers.protocol import Accounting, JobState
from nbpipe.reference.state import GRACE, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    Settled = Callable[..., tuple[View, list[View], list[float]]]

RESULT: dict[str, Any] = {"exit_code": 0}
RUN: Any = SimpleNamespace(request={}, folder="run", read=lambda _name: RESULT)
RUNNING = Accounting(id="1", state=JobState.RUNNING, core_seconds=7200.0)
ENDED = Accounting(id="1", state=JobState.COMPLETED, core_seconds=14_400.0)
PREEMPTED = Accounting(id="1", state=JobState.PREEMPTED, core_seconds=3600.0)


def view(*records: Accounting, state: JobState = JobState.COMPLETED, problem: str = "") -> View:
    job = JobView(id="1", standing=Standing(state=state), records=records)
    return View(run=RUN, job=job, problem=problem)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Settled:
    """Return what `settle` makes of views that follow each other: the last, told, pauses."""

    def settled(*views: View) -> tuple[View, list[View], list[float]]:
        coming = list(views)
        monkeypatch.setattr(
            run_views, "look", lambda _run, **_: coming.pop(0) if len(coming) > 1 else coming[0]
        )
        told: list[View] = []
        pauses: list[float] = []
        return run_views.settle(RUN, told=told.append, pause=pauses.append), told, pauses

    return settled


def test_core_hours_are_unknown_until_the_accounting_knows_the_end() -> None:
    assert view().job.core_hours is None
    assert view(RUNNING).job.core_hours is None, "of the time until now only"
    assert view(ENDED).job.core_hours == 4
    assert view(PREEMPTED).job.core_hours is None, "it completed in a later attempt"
    assert view(PREEMPTED, ENDED).job.core_hours == 5
    assert view(PREEMPTED, state=JobState.PREEMPTED).job.core_hours == 1


def test_a_run_that_has_ended_waits_for_the_accounting(settled: Settled) -> None:
    last, told, pauses = settled(view(), view(RUNNING), view(ENDED))
    assert last.unaccounted == ()
    assert [each.unaccounted for each in told] == [("1",)]
    assert len(pauses) == 2


def test_the_accounting_is_waited_for_only_so_long(settled: Settled) -> None:
    last, _, pauses = settled(view(RUNNING))
    assert last.unaccounted == ("1",)
    assert GRACE <= sum(pauses) < 2 * GRACE


@pytest.mark.parametrize(
    "known",
    [
        view(ENDED),
        view(RUNNING, state=JobState.RUNNING),
        view(RUNNING, state=JobState.LOST),
        view(problem="sacct failed"),
    ],
    ids=["known", "goes on", "lost", "no answer"],
)
def test_what_will_not_come_is_not_waited_for(settled: Settled, known: View) -> None:
    assert settled(known) == (known, [], [])


def test_children_are_waited_for_too(settled: Settled) -> None:
    early = replace(view(ENDED), children=(replace(view().job, id="2"),))
    late = replace(view(ENDED), children=(replace(view(ENDED).job, id="2"),))
    last, told, pauses = settled(early, late)
    assert (last, told, len(pauses)) == (late, [early], 1)


def test_a_result_that_a_file_server_shows_late_is_waited_for(
    settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([{}, {}, {}])
    late = SimpleNamespace(request={}, read=lambda _name: next(answers, RESULT))
    view_of_it = replace(view(ENDED), run=late)
    last, told, pauses = settled(view_of_it, view_of_it)
    assert not last.resultless
    assert (told, len(pauses)) == ([view_of_it], 2)


def test_the_longer_nothing_changes_the_longer_are_the_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    def at(_run: object, **_: object) -> View:
        running, ended = JobState.RUNNING, JobState.COMPLETED
        state = JobState.PENDING if clock[0] < 3 else running if clock[0] < 3600 else ended
        return view(state=state)

    monkeypatch.setattr(run_views, "look", at)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(run_views, "_expected", lambda _runs: {})
    run_views.wait(RUN, told=lambda _: None, pause=pause)
    assert pauses[:3] == [1, 1, 1]
    assert max(pauses) == 60
    assert len(pauses) < 90
    clock[0] = 0.0
    in_a_minute = 0
    while clock[0] < 60:
        pause(run_views._between(clock[0]))
        in_a_minute += 1
    assert in_a_minute <= 18
