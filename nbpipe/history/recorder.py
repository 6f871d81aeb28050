"""Writes the results of a run as they come, in a thread of its own.

A slow, locked or broken database delays no notebook and fails no run: the first thing that goes
wrong is kept in `problem`, and nothing more is written. A process that is killed loses what was
in flight.
"""

from __future__ import annotations

import queue
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from nbpipe.history.access import History, open_history
from nbpipe.history.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from nbpipe.config.settings import HistorySettings
    from nbpipe.history.records import PastRun
    from nbpipe.model import Result, Task

_PATIENCE = 60
"""Seconds that the end of a run waits for what is still to be written."""


class Recorder:
    """Writes one run; `begin`, `add` for each result, then `end`.

    Args:
        settings: `[history]`.
        root: The collection's.
    """

    def __init__(self, settings: HistorySettings, root: Path) -> None:
        self.problem: HistoryError | None = None
        self._settings = settings
        self._root = root
        self._queue: queue.SimpleQueue[Result | tuple[float, bool]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, run: PastRun, tasks: tuple[Task, ...]) -> None:
        """Start to write; the plan first."""
        thread = threading.Thread(target=self._work, args=(run, tasks), name="history", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            self.problem = HistoryError(
                f"{self._root}: the history is not written: {error}",
                hint="See the limit of processes and threads, `ulimit -u`.",
            )
        else:
            self._thread = thread

    def add(self, result: Result) -> None:
        """Have a result written."""
        self._queue.put(result)

    def end(self, *, seconds: float, interrupted: bool) -> None:
        """Have the end written, and wait until everything is."""
        if self._thread is None:
            return
        self._queue.put((seconds, interrupted))
        self._thread.join(_PATIENCE)
        if self._thread.is_alive() and self.problem is None:
            self.problem = HistoryError(
                f"{self._root}: the history does not answer; results of this run may be missing",
                hint="See that its database can be reached.",
            )

    def _work(self, run: PastRun, tasks: tuple[Task, ...]) -> None:
        try:
            with open_history(self._settings, self._root, create=True) as history:
                history.begin(run, ((task.path, task.kernel) for task in tasks))
                self._write(history, run)
        except HistoryError as error:
            self.problem = error
        except Exception as error:  # noqa: BLE001  (the history never takes a run down)
            self.problem = HistoryError.mistake(self._root, error)

    def _write(self, history: History, run: PastRun) -> None:
        """Write until the end: all that has come meanwhile in one transaction."""
        while True:
            entry = self._queue.get()
            results = []
            while not isinstance(entry, tuple):
                results.append(entry)
                if self._queue.empty():
                    break
                entry = self._queue.get()
            if results:
                history.add(run.id, results)
            if isinstance(entry, tuple):
                break
        seconds, interrupted = entry
        history.end(run.id, seconds=seconds, interrupted=interrupted)
        before = oldest(run, history.runs(2), days=self._settings.keep_days)
        history.forget(keep_runs=self._settings.keep_runs, before=before)


def oldest(run: PastRun, newest: Sequence[PastRun], *, days: float) -> datetime | None:
    """Return before which start a run is forgotten, None where none is for its age.

    Counted from the run before, so that none is lost to a clock that is years ahead once.

    Args:
        run: The one that ends now.
        newest: The two newest runs, it too, the newest first.
        days: How long runs are kept; 0: for ever.
    """
    if not days:
        return None
    return min([run.started, *(each.started for each in newest)]) - timedelta(days=days)
