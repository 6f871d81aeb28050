"""Which deliveries were accepted, and a log of the last ones: one small SQLite file.

It outlives the process, is shared by several receivers, and stays bounded. Only verified
deliveries come here; of a forged one nothing is kept. Bodies are never kept.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

logger = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Accepted delivery ids, over all collections. An older one that comes again is only a hint."""
LOGGED = 1_000
"""Deliveries that the pages can show."""

_BUSY_SECONDS = 5.0
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS accepted (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         collection TEXT NOT NULL, delivery TEXT NOT NULL,
         UNIQUE (collection, delivery))""",
    """CREATE TABLE IF NOT EXISTS log (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         at REAL NOT NULL, collection TEXT NOT NULL, delivery TEXT NOT NULL,
         event TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL,
         ref TEXT NOT NULL, git_commit TEXT NOT NULL, title TEXT NOT NULL,
         forced INTEGER NOT NULL)""",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One verified delivery and what became of it, as people see it."""

    at: float
    """Seconds since the epoch."""
    collection: str
    delivery: str
    event: str
    status: str
    reason: str = ""
    who: str = ""
    ref: str = ""
    commit: str = ""
    title: str = ""
    forced: bool = False


class Deliveries:
    """The memory of the receiver, safe over threads and processes.

    A file that cannot be used never stops a beacon: a delivery that is worked on twice costs one
    look at the origin, one that is lost costs people their update.
    """

    def __init__(self, file: Path, *, remembered: int = REMEMBERED, logged: int = LOGGED) -> None:
        self._file = file
        self._remembered = remembered
        self._logged = logged
        self._lock = threading.Lock()
        self._connection = _open(file)

    def claim(self, collection: str, delivery: str) -> bool:
        """Remember that delivery as accepted; False where it already was.

        One insert decides, so of two receivers that hold the same delivery only one claims it.
        """

        def work(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO accepted (collection, delivery) VALUES (?, ?)",
                (collection, delivery),
            )
            if not cursor.rowcount:
                return False
            oldest = (cursor.lastrowid or 0) - self._remembered
            connection.execute("DELETE FROM accepted WHERE id <= ?", (oldest,))
            return True

        return self._write(work, otherwise=True)

    def forget(self, collection: str, delivery: str) -> None:
        """Take a claim back, so that a redelivery is worked on."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM accepted WHERE collection = ? AND delivery = ?", (collection, delivery)
            )

        self._write(work, otherwise=None)

    def record(self, delivery: Delivery) -> None:
        """Add to the log, and drop what is too old for it."""
        values = [_storable(value) for value in astuple(delivery)]

        def work(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO log (at, collection, delivery, event, status, reason, who, ref,"
                " git_commit, title, forced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            oldest = (cursor.lastrowid or 0) - self._logged
            connection.execute("DELETE FROM log WHERE id <= ?", (oldest,))

        self._write(work, otherwise=None)

    def last(self, count: int) -> Sequence[Delivery]:
        """Return the newest deliveries, newest first; none where the file cannot be read."""
        try:
            with self._lock:
                rows = self._connection.execute(
                    "SELECT at, collection, delivery, event, status, reason, who, ref,"
                    " git_commit, title, forced FROM log ORDER BY id DESC LIMIT ?",
                    (count,),
                ).fetchall()
        except sqlite3.Error:
            logger.exception("%s: cannot be read", self._file)
            return []
        names = [field.name for field in fields(Delivery)]
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [Delivery(**{**row, "forced": bool(row["forced"])}) for row in found]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, work: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        """Do that work as one transaction, under the file's write lock from its beginning."""
        connection = self._connection
        with self._lock:
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
            except sqlite3.Error:
                logger.exception("%s: cannot be written", self._file)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                return otherwise
            return result


def _open(file: Path) -> sqlite3.Connection:
    """Open the file; a damaged one is put aside, for a wrong memory only costs a look."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives the files beside it (-wal, -shm) the mode of this one.
    file.touch(0o600)
    try:
        return _connect(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = file.with_name(f"{file.name}.damaged")
        logger.warning("%s: is damaged (%s); put aside as %s", file, error, aside.name)
        file.rename(aside)
        for ending in ("-wal", "-shm"):
            file.with_name(file.name + ending).unlink(missing_ok=True)
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _ask_for_wal(connection)
        # A commit need not reach the disk before the answer: the poll heals what a power cut loses.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    file.chmod(0o600)
    return connection


def _ask_for_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, for readers that never wait.

    SQLite does not wait for another process that switches at the same moment; the file has been
    switched by it then, and where it has not, the slower journal is as correct.
    Source: https://www.sqlite.org/wal.html
    """
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


def _storable(value: object) -> object:
    """Replace what is no UTF-8: JSON may hold half a surrogate pair."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
