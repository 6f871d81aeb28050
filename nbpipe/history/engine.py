"""A URL -> an engine of SQLAlchemy that is ready for use: SQLite in WAL mode, or PostgreSQL.

Imports SQLAlchemy: only to be imported where a database is used.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from nbpipe.distribution import pip_install
from nbpipe.history.errors import HistoryError, NoHistory
from nbpipe.history.expected import default_file
from nbpipe.history.schema import migrate
from nbpipe.system import private, secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_SECONDS = 10
"""How long a writer waits for another one."""
_CONNECT_SECONDS = 10


def address(url: str | None, root: Path) -> sa.URL:
    """Return the database's URL: the configured one, or the file in the user's state directory.

    Args:
        url: As configured: a URL, `env:NAME` or `file:PATH` that hold one, None for the default.
        root: What a relative path begins at.

    Raises:
        HistoryError: It is none that can be used.
    """
    if url is None:
        return sa.URL.create("sqlite", database=str(default_file()))
    try:
        parsed = sa.make_url(_secret(url, root))
    except sa.exc.ArgumentError as error:  # its text would repeat a password
        raise HistoryError("[history] url: not a valid database URL", hint=_SHAPES) from error
    backend = parsed.drivername.partition("+")[0]
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or parsed.database in {None, "", ":memory:"}:
        raise HistoryError(
            f"[history] url: {parsed.render_as_string()} is not a database that nbpipe can use",
            hint=_SHAPES,
        )
    return sa.URL.create("sqlite", database=str(root / str(parsed.database)))


_SHAPES = "Write sqlite:///PATH or postgresql://USER@HOST/NAME."


def _secret(url: str, root: Path) -> str:
    """Return a URL that stands in the environment or in a file of its own."""
    if not secrets.is_source(url):
        return url
    try:
        return secrets.text(secrets.anchored(url, root), os.environ)
    except secrets.SecretMissingError as error:
        told = f"the variable {name} is not set" if (name := secrets.variable(url)) else error
        raise HistoryError(f"[history] url: {told}", hint="Put the URL there.") from error
    except secrets.SecretUnusableError as error:
        raise HistoryError(f"[history] url: {error}", hint="Put the URL there.") from error


def connect(url: sa.URL, *, create: bool) -> sa.Engine:
    """Return an engine whose database has our tables, in this version.

    Raises:
        HistoryError: It cannot be opened, or a newer nbpipe wrote it.
    """
    where = display(url)
    with explained(where):
        if url.get_backend_name() == "sqlite":
            engine = _sqlite(Path(str(url.database)), url, create=create)
        else:
            engine = _postgresql(url)
        try:
            migrate(engine, where=where)
        except BaseException:
            engine.dispose()
            raise
        return engine


def display(url: sa.URL) -> str:
    """Return what the database is called in a message: never with its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def _sqlite(file: Path, url: sa.URL, *, create: bool) -> sa.Engine:
    new = not file.exists()
    if new and not create:
        raise NoHistory(f"{file}: no history yet", hint="`nbpipe test` begins one.")
    if new:
        private.make_folder(file.parent)
        with contextlib.suppress(FileExistsError):  # another process was faster
            # SQLite gives the files beside it (-wal, -shm) the mode of this one.
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, private.mode(file)))
    elif private.is_ours(file):
        private.make_folder(file.parent)
        for ending in ("", "-wal", "-shm"):
            private.close(file.with_name(file.name + ending))
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:  # noqa: ANN401  (sqlite3's)
        connection.isolation_level = None  # transactions begin where we say, not where it guesses
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("nbpipe_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    if create:
        _prefer_wal(engine)
    return engine


def _prefer_wal(engine: sa.Engine) -> None:
    """Switch to WAL mode, which the file remembers: then nobody who reads waits for a writer.

    It needs the file for itself for a moment. Where it has not, a later run does it; and what
    is really wrong with the file shows when it is used.
    """
    with contextlib.suppress(sqlite3.Error, sa.exc.SQLAlchemyError):
        raw = engine.raw_connection()
        try:
            if raw.cursor().execute("PRAGMA journal_mode").fetchone() != ("wal",):
                raw.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            raw.close()


def _postgresql(url: sa.URL) -> sa.Engine:
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(_CONNECT_SECONDS)})
    options = f"-c lock_timeout={BUSY_SECONDS * 1000}"
    connect_args = {} if "options" in url.query else {"options": options}
    try:
        return sa.create_engine(url, connect_args=connect_args)
    except ImportError as error:
        raise HistoryError(
            f"{display(url)}: the driver of PostgreSQL is not installed: {error}",
            hint=pip_install("postgresql"),
        ) from error


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise what a database says as a `HistoryError` that names it and what to do next."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        text = " ".join(str(error.orig).split())
        raise HistoryError(f"{where}: {text}", hint=_next_step(text)) from error
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise HistoryError(f"{where}: {error}", hint=_next_step(str(error))) from error


def _next_step(text: str) -> str:
    """Return what a person does about it, by what SQLite says."""
    if "locked" in text:
        return "Another program holds it; results of this run may be missing there."
    if "readonly" in text or "unable to open" in text or "ermission" in text:
        return "Make it writable, or name another one with `[history] url`."
    if "not a database" in text or "malformed" in text:
        return "Move the file away; the next run begins a new one."
    return (
        "See that it can be reached, or name another one with `[history] url`; "
        "`enabled = false` there switches the history off."
    )
