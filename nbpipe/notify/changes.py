"""What has changed with a run: a pure reading of the history, the same whenever it is asked.

A notebook is newly failing when its last result before this run was none or no failure; it is
still failing in the run that is its Nth failure in a row; it has recovered when it failed the time
before. Skipped and interrupted results are no results.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from nbpipe import history
from nbpipe.notify.events import Event
from nbpipe.system.text import first_line
from nbpipe.system.units import count

if TYPE_CHECKING:
    from nbpipe.history import History, PastResult, PastRun

_LEAST = 20
"""Runs that are looked at, at least."""
_ASKED = 200
"""Notebooks that are asked for one by one, at most."""


def of_run(past: History, run: PastRun, *, still_after: int, flaky: str) -> list[Event]:
    """Return what has changed with a run, the newly failing first.

    Args:
        past: The history.
        run: The run.
        still_after: A notebook is told again with so many failures in a row; 0: never.
        flaky: `[test] flaky`.

    Raises:
        HistoryError: The history cannot be read.
    """
    failing = history.failing_outcomes(flaky=flaky)
    depth = max(still_after + 2, _LEAST)
    rows = {path: _until(run, results) for path, results in past.outcomes(depth).items()}
    asked = 0
    events = []
    for path, found in rows.items():
        results = found
        if not results or results[0].run != run.id:
            continue
        if results[0].outcome in failing:
            if len(results) <= max(still_after, 1) and asked < _ASKED:
                asked += 1  # it may have results that are older than the runs looked at
                results = _until(run, past.notebook(path, depth))
            failure = past.notebook(path, 1) if not results[0].failures else []
            results = _with_failures(results, failure)
        event = _event(path, results, failing, still_after)
        if event is not None:
            events.append(event)
    order = ("failing", "still-failing", "recovered")
    return sorted(events, key=lambda each: (order.index(each.kind), each.subject))


def _until(run: PastRun, results: list[PastResult]) -> list[PastResult]:
    """Return the executed ones up to a run, the newest first."""
    limit = (run.started, run.id)
    return [
        each
        for each in results
        if (each.started, each.run) <= limit and each.outcome in {"passed", "failed", "flaky"}
    ]


def _with_failures(results: list[PastResult], newest: list[PastResult]) -> list[PastResult]:
    """Return the results with the first one's failures, which lists of many leave out."""
    same = newest and newest[0].run == results[0].run
    return [newest[0], *results[1:]] if same else results


def _event(
    path: str, results: list[PastResult], failing: frozenset[str] | set[str], still_after: int
) -> Event | None:
    newest = results[0]
    if newest.outcome not in failing:
        before = len(list(takewhile(lambda each: each.outcome in failing, results[1:])))
        if not before:
            return None
        detail = f"after {count(before, 'run')}"
        key = f"recovered:{path}:{newest.run}"
        return Event(kind="recovered", subject=path, detail=detail, run=newest.run, key=key)
    row = list(takewhile(lambda each: each.outcome in failing, results))
    failure = newest.failures[0] if newest.failures else None
    cause = first_line(failure.signature or failure.message) if failure else ""
    if len(row) == 1:
        key = f"failing:{path}:{newest.run}"
        return Event(kind="failing", subject=path, detail=cause, run=newest.run, key=key)
    if len(row) != still_after:
        return None
    key = f"still-failing:{path}:{row[-1].run}"
    detail = f"{count(still_after, 'run')} in a row: {cause}"
    return Event(kind="still-failing", subject=path, detail=detail, run=newest.run, key=key)
