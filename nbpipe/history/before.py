"""What earlier runs say of the notebooks of a run that has just ended; never a reason to fail."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from nbpipe.history.access import open_history
from nbpipe.history.errors import HistoryError, NoHistory
from nbpipe.history.records import storable
from nbpipe.history.statistics import statistics
from nbpipe.model import Earlier, Outcome, Past

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.config.settings import HistorySettings
    from nbpipe.history.access import History
    from nbpipe.history.records import Last, PastResult
    from nbpipe.model import Run, Task

_RUNS = 20
"""So many earlier runs are looked at."""
_ASKED = 50
"""So many notebooks are asked for one by one, at most: all of a short run, of a long one the failed
ones that were in none of the earlier runs."""
_SHOWN = 10
"""So many earlier results are shown of each notebook."""
_COMPARED = 200
"""Of so many failed notebooks, at most, the packages are compared with those of their last pass."""
_COMMITS = 200
"""So many runs' commits are known."""


def with_past(run: Run, settings: HistorySettings) -> tuple[Run, HistoryError | None]:
    """Return the run with what is known of its notebooks, and what is wrong with the history."""
    if not settings.enabled:
        return run, None
    try:
        with open_history(settings, run.root) as history:
            return looked_up(run, history), None
    except NoHistory:
        return run, None
    except HistoryError as error:
        return run, error
    except Exception as error:  # noqa: BLE001  (the history never takes a run down)
        return run, HistoryError.mistake(run.root, error)


def looked_up(run: Run, history: History) -> Run:
    """Return the run, each executed notebook with its past.

    Raises:
        HistoryError: The history cannot be read.
    """
    executed = [each for each in run.results if each.outcome is not Outcome.SKIPPED]
    known: dict[str, list[PastResult]] = {}
    if len(executed) > _ASKED:
        known = history.outcomes(_RUNS + 1)
    commits = {each.id: each.commit for each in history.runs(_COMMITS)}
    asked = 0
    found: dict[str, Past | None] = {}
    for result in executed:
        results = _before(run, known.get(storable(result.path), []))
        wanted = not known or result.outcome is Outcome.FAILED
        if not results and wanted and asked < _ASKED:
            asked += 1
            results = _before(run, history.notebook(result.path, _RUNS + 1))
        found[result.path] = _past(results, commits)
    failed = [
        each.path for each in executed if each.outcome is not Outcome.PASSED and found[each.path]
    ]
    packages = history.packages(failed[:_COMPARED]) if failed else {}
    for path in failed:
        past, known_packages = found[path], packages.get(storable(path))
        if past is not None and known_packages is not None:
            passed, versions = known_packages
            found[path] = replace(past, passed=passed, packages=versions)
    return replace(
        run, results=tuple(replace(each, past=found.get(each.path)) for each in run.results)
    )


def _before(run: Run, results: list[PastResult]) -> list[PastResult]:
    """Return what was executed in runs before this one, the newest first."""
    limit = (run.started, run.id)
    return [
        each
        for each in results
        if (each.started, each.run) < limit and each.outcome not in {None, Outcome.SKIPPED}
    ]


def _past(results: list[PastResult], commits: dict[str, str | None]) -> Past | None:
    if not results:
        return None
    counted = statistics(results)
    last = results[0]
    passed = [each for each in results if each.outcome != Outcome.FAILED]
    return Past(
        outcome=Outcome(last.outcome or Outcome.SKIPPED),
        run=last.run,
        commit=commits.get(last.run),
        runs=len(results),
        row=len([*takewhile(lambda each: each.outcome == last.outcome, results)]),
        flakiness=counted.flakiness,
        seconds=counted.median_seconds if passed else None,
        earlier=tuple(
            Earlier(
                run=each.run,
                outcome=Outcome(each.outcome or Outcome.SKIPPED),
                seconds=round(each.seconds, 3),
            )
            for each in results[:_SHOWN]
        ),
    )


def by_duration(
    settings: HistorySettings, root: Path, tasks: tuple[Task, ...]
) -> tuple[tuple[Task, ...], HistoryError | None]:
    """Return the tasks in the order in which to start them, and what is wrong with the history.

    They know how long they took before, and how much memory.
    """
    if not settings.enabled:
        return tasks, None
    try:
        with open_history(settings, root) as history:
            return start_order(tasks, history.last()), None
    except NoHistory:
        return tasks, None
    except HistoryError as error:
        return tasks, error
    except Exception as error:  # noqa: BLE001  (the history never takes a run down)
        return tasks, HistoryError.mistake(root, error)


def start_order(tasks: tuple[Task, ...], last: Mapping[str, Last]) -> tuple[Task, ...]:
    """Return the tasks in the order in which to start them.

    Those of `--ff` first; then those of which nothing is known, as one of them may be long; then
    the longest. What is equal keeps the order of the plan. Each that does not say itself how much
    memory it needs needs what it took the last time.
    """

    def key(task: Task) -> tuple[bool, bool, float]:
        known = last.get(storable(task.path))
        return (not task.turn, known is not None, -known.seconds if known else 0.0)

    return tuple(_expecting(task, last) for task in sorted(tasks, key=key))


def _expecting(task: Task, last: Mapping[str, Last]) -> Task:
    known = last.get(storable(task.path))
    if known is None:
        return task
    memory = known.memory if task.memory is None else task.memory
    return replace(task, memory=memory, expected=known.seconds)
