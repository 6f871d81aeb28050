"""How a database of an earlier version becomes one of the next: one function for each step.

A new version adds a function to `STEPS` and never changes an old one. Each spells out the tables
as they were then, and knows nothing of `schema`, which describes the newest. Imports SQLAlchemy.

Alembic would be one more dependency, with an environment of scripts to ship and a table of its own,
for a few steps in a row, which whoever opens the database first takes in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable


def _to_1(connection: sa.Connection) -> None:
    """Add `notebooks`, filled from the results that there are."""
    metadata = sa.MetaData()
    sa.Table("collections", metadata, sa.Column("id", sa.Integer, primary_key=True))
    runs = sa.table("runs", *map(sa.column, ("id", "collection", "started")))
    names = ("run", "path", "outcome", "complete", "seconds")
    results = sa.table("results", *map(sa.column, names))
    notebooks = sa.Table(
        "notebooks",
        metadata,
        sa.Column("collection", sa.ForeignKey("collections.id"), primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
    )
    notebooks.create(connection)
    columns = [runs.c.collection, sa.type_coerce(runs.c.started, sa.DateTime(timezone=True))]
    rows = connection.execute(
        sa.select(*columns, results.c.run, results.c.path, results.c.outcome, results.c.seconds)
        .join_from(results, runs, results.c.run == runs.c.id)
        .where(sa.type_coerce(results.c.complete, sa.Boolean))
        .where(results.c.outcome.in_(("passed", "failed", "flaky")))
        .order_by(runs.c.started)
    )
    newest: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows.mappings():
        key = (row["collection"], row["path"])
        known = {**row}
        if row["outcome"] == "failed" and key in newest:
            known["seconds"] = max(known["seconds"], newest[key]["seconds"])
        newest[key] = known
    if newest:
        connection.execute(notebooks.insert(), list(newest.values()))


def _to_2(connection: sa.Connection) -> None:
    """Add the peak memory of a result, and what is known last about it."""
    for table in ("results", "notebooks"):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN memory BIGINT")


def _to_3(connection: sa.Connection) -> None:
    """Let a notebook's results and the changes be found by index; count the results of runs."""
    moment = "TIMESTAMP WITH TIME ZONE" if connection.dialect.name == "postgresql" else "DATETIME"
    for column in ("collection INTEGER NOT NULL DEFAULT 0", f"started {moment}", "change TEXT"):
        connection.exec_driver_sql(f"ALTER TABLE results ADD COLUMN {column}")
    for name in _COUNTED:
        connection.exec_driver_sql(f"ALTER TABLE runs ADD COLUMN {name} INTEGER")
    connection.exec_driver_sql("DROP INDEX results_by_path")
    for statement in (_OWNERS, *_INDEXES, _CHANGES, *map(_count, _COUNTED)):
        connection.exec_driver_sql(statement)


_COUNTED = ("planned", "passed", "failed", "flaky", "skipped")
_OWNERS = """UPDATE results SET
  collection = (SELECT collection FROM runs WHERE runs.id = results.run),
  started = (SELECT started FROM runs WHERE runs.id = results.run)"""
_INDEXES = (
    "CREATE INDEX results_by_notebook ON results (collection, path, started)",
    "CREATE INDEX results_by_change ON results (collection, started) WHERE change IS NOT NULL",
)
_CHANGES = """UPDATE results
SET change = CASE WHEN outcome = 'failed' THEN 'failing' ELSE 'recovered' END
WHERE complete AND outcome IN ('passed', 'failed', 'flaky')
AND (outcome = 'failed') <> COALESCE((
  SELECT earlier.outcome = 'failed' FROM results AS earlier
  WHERE earlier.collection = results.collection AND earlier.path = results.path
  AND earlier.started < results.started
  AND earlier.complete AND earlier.outcome IN ('passed', 'failed', 'flaky')
  ORDER BY earlier.started DESC LIMIT 1), FALSE)"""


def _count(name: str) -> str:
    """Return what counts one outcome, or the plan, of the runs that have ended."""
    which = "" if name == "planned" else f" AND complete AND outcome = '{name}'"
    return (
        f"UPDATE runs SET {name} ="  # noqa: S608  (names of ours)
        f" (SELECT COUNT(*) FROM results WHERE run = runs.id{which}) WHERE seconds IS NOT NULL"
    )


def _to_4(connection: sa.Connection) -> None:
    """Add `traces`; nobody looked at what notebooks depended on before."""
    metadata = sa.MetaData()
    sa.Table("collections", metadata, sa.Column("id", sa.Integer, primary_key=True))
    traces = sa.Table(
        "traces",
        metadata,
        sa.Column("collection", sa.ForeignKey("collections.id"), primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trace", sa.JSON, nullable=False),
    )
    traces.create(connection)


def _to_5(connection: sa.Connection) -> None:
    """Add the attempts at a notebook; of earlier results only their number is known."""
    connection.exec_driver_sql("ALTER TABLE results ADD COLUMN tries JSON")


STEPS: tuple[Callable[[sa.Connection], None], ...] = (_to_1, _to_2, _to_3, _to_4, _to_5)
"""Step N brings a database of version N to N + 1."""
