"""Runs kept in a database: what happened to each notebook, when, and how long it took.

    with open_history(settings.history, root) as history:     what was
        history.last(), history.run("latest"), history.notebook(path, limit=20)
    recorder = Recorder(settings.history, root)               writes results as they come
    recorder.begin(run, tasks); recorder.add(result); recorder.end(...)
    by_duration(settings.history, root, tasks)        the order in which to start
    with_past(run, settings.history)                  what earlier runs say of its notebooks
    with Archive(settings.history, root).look() as look:      every collection, for pages

SQLite by default, PostgreSQL by URL, both through SQLAlchemy Core. A collection is recognised
wherever it is cloned (see `identity`). Nothing here executes, collects or prints, and nothing
about a database ever fails a test run: a `HistoryError` is a warning there.

Importing this package does not import SQLAlchemy.
"""

from __future__ import annotations

from nbpipe.history.access import LATEST, History, open_history
from nbpipe.history.archive import Archive
from nbpipe.history.before import by_duration, looked_up, start_order, with_past
from nbpipe.history.errors import HistoryError, NoHistory
from nbpipe.history.expected import expected
from nbpipe.history.recorder import Recorder
from nbpipe.history.records import (
    Known,
    Last,
    PastCollection,
    PastFailure,
    PastLine,
    PastMark,
    PastResult,
    PastRun,
    PastTrace,
    RunLine,
    failing_outcomes,
    storable,
)
from nbpipe.history.statistics import Statistics, statistics

__all__ = [
    "LATEST",
    "Archive",
    "History",
    "HistoryError",
    "Known",
    "Last",
    "NoHistory",
    "PastCollection",
    "PastFailure",
    "PastLine",
    "PastMark",
    "PastResult",
    "PastRun",
    "PastTrace",
    "Recorder",
    "RunLine",
    "Statistics",
    "by_duration",
    "expected",
    "failing_outcomes",
    "looked_up",
    "open_history",
    "start_order",
    "statistics",
    "storable",
    "with_past",
]
