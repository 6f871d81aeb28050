"""The order in which to start a plan, by what earlier runs took; never a reason to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.history.access import open_history
from nbpipe.history.errors import HistoryError, NoHistory
from nbpipe.history.records import storable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.config.settings import HistorySettings
    from nbpipe.history.records import Last
    from nbpipe.model import Task


def by_duration(
    settings: HistorySettings, root: Path, tasks: tuple[Task, ...]
) -> tuple[tuple[Task, ...], HistoryError | None]:
    """Return the tasks in the order in which to start them, and what is wrong with the history.

    They know how much memory they took before.
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
    if task.memory is not None or known is None or known.memory is None:
        return task
    return replace(task, memory=known.memory)
