"""The tables, and how a database of an earlier version becomes one of this version.

Versions of the schema:

0. runs and results.
1. `notebooks`: what is known last about each, so that a plan of ten thousand needs one look.
2. `memory` of a result, and what is known last about it.
3. The collection, time and `change` of a result, with their indexes; the counts of a run.
4. `traces`: what each notebook depended on when it passed last.
5. `tries`: each attempt at a notebook that was executed more than once.

A new version adds a step (see `steps`). Imports SQLAlchemy: only to be imported where a database
is used.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nbpipe.history.errors import HistoryError
from nbpipe.history.steps import STEPS

VERSION = len(STEPS)

_LOCK = 0x6E627069
"""PostgreSQL's advisory lock for a migration: `nbpi`."""


class Moment(sa.TypeDecorator[datetime]):
    """A time with its zone; SQLite keeps none, and everything is UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ANN401, ARG002, D102
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ANN401, ARG002, D102
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


COUNTED = ("planned", "passed", "failed", "flaky", "skipped")
"""What is counted once a run has ended; null until then."""

metadata = sa.MetaData()

version = sa.Table("nbpipe_schema", metadata, sa.Column("version", sa.Integer, nullable=False))

collections = sa.Table("collections", metadata, sa.Column("id", sa.Integer, primary_key=True))

collection_keys = sa.Table(
    "collection_keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("collection", sa.ForeignKey("collections.id"), nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("collection", sa.ForeignKey("collections.id"), nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("seconds", sa.Float(53)),
    sa.Column("interrupted", sa.Boolean, nullable=False),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("output_dir", sa.Text, nullable=False),
    sa.Column("commit", sa.Text),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("python", sa.Text, nullable=False),
    sa.Column("jobs", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Integer) for name in COUNTED),
    sa.Index("runs_by_time", "collection", "started"),
)

results = sa.Table(
    "results",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("kernel", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("memory", sa.BigInteger),
    sa.Column("category", sa.Text),
    sa.Column("signature", sa.Text),
    sa.Column("failures", sa.JSON(none_as_null=True)),
    sa.Column("tries", sa.JSON(none_as_null=True)),
    # of its run, so that a notebook's past and the changes are each one look at an index:
    sa.Column("collection", sa.Integer, nullable=False, server_default="0"),
    sa.Column("started", Moment),
    sa.Column("change", sa.Text),
    sa.Index("results_by_notebook", "collection", "path", "started"),
)
# as text: with `postgresql_where` SQLAlchemy would load that dialect for SQLite as well
_BY_CHANGE = (
    "CREATE INDEX results_by_change ON results (collection, started) WHERE change IS NOT NULL"
)
sa.event.listen(results, "after_create", sa.DDL(_BY_CHANGE))  # type: ignore[no-untyped-call]

notebooks = sa.Table(
    "notebooks",
    metadata,
    sa.Column("collection", sa.ForeignKey("collections.id"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("memory", sa.BigInteger),
)

traces = sa.Table(
    "traces",
    metadata,
    sa.Column("collection", sa.ForeignKey("collections.id"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("trace", sa.JSON, nullable=False),
)


def migrate(engine: sa.Engine, *, where: str) -> None:
    """Bring the database to this version, make its tables if it has none; others may do the same.

    Raises:
        HistoryError: A newer nbpipe wrote it.
    """
    with engine.connect() as connection:
        if _found(connection, where) == VERSION:
            return
    writer = engine.execution_options(nbpipe_writes=True)
    with writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        _bring(connection, where)


def _bring(connection: sa.Connection, where: str) -> None:
    found = _found(connection, where)
    if found is None:
        metadata.create_all(connection)
        connection.execute(version.insert().values(version=VERSION))
        return
    for step in STEPS[found:]:
        step(connection)
    connection.execute(version.update().values(version=VERSION))


def _found(connection: sa.Connection, where: str) -> int | None:
    """Return the version of the database, None for one without our tables."""
    if not sa.inspect(connection).has_table(version.name):
        return None
    found = connection.execute(sa.select(version.c.version)).scalar_one()
    if found > VERSION:
        raise HistoryError(
            f"{where}: was written by a newer nbpipe (schema {found}, this one knows {VERSION})",
            hint="Upgrade nbpipe, or name another database with `[history] url`.",
        )
    return int(found)
