"""The order in which to start a plan, by what earlier runs took; never a reason to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.history.access import open_history
from nbpipe.history.errors import HistoryError, NoHistory
from nbpipe.history.selecting import start_order

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.model import Task
    from nbpipe.settings import HistorySettings


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
