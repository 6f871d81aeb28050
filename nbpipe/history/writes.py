"""What is written to the database, each in one transaction. Imports SQLAlchemy."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from nbpipe.history import queries, schema
from nbpipe.history.engine import explained
from nbpipe.history.records import storable
from nbpipe.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from nbpipe.history.records import PastRun
    from nbpipe.model import Attempt, Failure, Result, Trace

_MOST_TEXT = 20_000
"""Characters of a message or traceback that are kept: its end, where the error is."""
_MOST_NAMES = 500


@contextmanager
def transaction(engine: sa.Engine, where: str) -> Iterator[sa.Connection]:
    """Give a connection in a transaction that writes; what the database says is explained."""
    writer = engine.execution_options(nbpipe_writes=True)
    with explained(where), writer.begin() as connection:
        yield connection


def collection(connection: sa.Connection, keys: tuple[str, ...]) -> int:
    """Return the number of the collection with one of these keys; it has all of them then."""
    number = queries.collection(connection, keys)
    if number is None:
        new = schema.collections.insert().returning(schema.collections.c.id)
        number = int(connection.execute(new).scalar_one())
    rows = [{"key": key, "collection": number} for key in keys]
    insert = _insert(connection.dialect.name, schema.collection_keys)
    connection.execute(insert.on_conflict_do_nothing(), rows)
    return _first_of(connection, keys)


def _first_of(connection: sa.Connection, keys: tuple[str, ...]) -> int:
    """Return the number again: another run may have been the first to write the same keys."""
    number = queries.collection(connection, keys)
    assert number is not None  # noqa: S101  (its keys were just written)
    return number


def begin(
    connection: sa.Connection, collection: int, run: PastRun, planned: Iterable[tuple[str, str]]
) -> None:
    """Write a run and its plan."""
    values = {key: _clean(value) for key, value in asdict(run).items()}
    connection.execute(schema.runs.insert().values(collection=collection, **values))
    rows = [
        {
            "run": run.id,
            "collection": collection,
            "started": run.started,
            "path": storable(path),
            "position": position,
            "complete": False,
            "kernel": storable(kernel),
            "seconds": 0.0,
            "attempts": 0,
        }
        for position, (path, kernel) in enumerate(planned)
    ]
    if rows:
        connection.execute(schema.results.insert(), rows)


def add(connection: sa.Connection, run: str, results: Iterable[Result]) -> None:
    """Write results, and what is known last about their notebooks."""
    ordered = sorted(results, key=lambda each: each.path)  # two runs lock in one order
    if not ordered:
        return
    owner = connection.execute(
        sa.select(schema.runs.c.collection, schema.runs.c.started).where(schema.runs.c.id == run)
    ).one()
    earlier = _earlier(connection, owner.collection, run, ordered)
    rows = [_row(run, result) for result in ordered]
    for row in rows:
        row["change"] = change(earlier.get(row["of_path"]), row["outcome"])
    connection.execute(_RESULT, rows)
    known = [
        {
            "collection": owner.collection,
            "path": storable(result.path),
            "outcome": result.outcome.value,
            "run": run,
            "started": owner.started,
            "seconds": result.seconds,
            "memory": result.memory,
        }
        for result in ordered
        if result.outcome is not Outcome.SKIPPED
    ]
    if known:
        connection.execute(_remember(connection.dialect.name), known)
    traced = [
        {
            "collection": owner.collection,
            "path": storable(result.path),
            "run": run,
            "started": owner.started,
            "trace": _storable_trace(result.trace),
        }
        for result in ordered
        if result.trace is not None and result.outcome is Outcome.PASSED
    ]
    if traced:
        connection.execute(_keep(connection.dialect.name), traced)


@cache
def _keep(dialect: str) -> Any:  # noqa: ANN401  (each database's own)
    """Return what writes a trace in the place of the one before."""
    table = schema.traces
    insert = _insert(dialect, table)
    return insert.on_conflict_do_update(
        index_elements=[table.c.collection, table.c.path],
        set_={name: insert.excluded[name] for name in ("run", "started", "trace")},
    )


def _storable_trace(trace: Trace) -> dict[str, Any]:
    """Return a trace as JSON that every database takes."""
    found: dict[str, Any] = {}
    for name, value in asdict(trace).items():
        if isinstance(value, str):
            found[name] = storable(value)
        elif isinstance(value, tuple):
            found[name] = [storable(each) for each in value]
        else:
            found[name] = {storable(key): each for key, each in value.items()}
    return found


def _earlier(
    connection: sa.Connection, collection: int, run: str, results: list[Result]
) -> dict[str, str]:
    """Return what is known last, from other runs, about the notebooks of these results."""
    table = schema.notebooks
    known: dict[str, str] = {}
    for some in batched([storable(result.path) for result in results]):
        rows = connection.execute(
            sa.select(table.c.path, table.c.outcome).where(
                table.c.collection == collection, table.c.path.in_(some), table.c.run != run
            )
        )
        known |= {row.path: row.outcome for row in rows}
    return known


def change(earlier: str | None, outcome: str) -> str | None:
    """Return whether a result is news: `failing`, `recovered` or None; a skip never is.

    The first failure of a notebook that is not known yet is news, its first pass is not.
    """
    if outcome == Outcome.SKIPPED or (outcome == Outcome.FAILED) == (earlier == Outcome.FAILED):
        return None
    return "failing" if outcome == Outcome.FAILED else "recovered"


def batched(names: list[str]) -> Iterator[list[str]]:
    """Yield the names, as many at a time as every database takes in one list."""
    for start in range(0, len(names), _MOST_NAMES):
        yield names[start : start + _MOST_NAMES]


_RESULT = (
    schema.results.update()
    .where(
        schema.results.c.run == sa.bindparam("of_run"),
        schema.results.c.path == sa.bindparam("of_path"),
    )
    .values(
        {
            name: sa.bindparam(name)
            for name in (
                *("outcome", "complete", "reason", "kernel", "seconds", "attempts"),
                *("memory", "category", "signature", "failures", "tries", "change"),
            )
        }
    )
)


def _row(run: str, result: Result) -> dict[str, Any]:
    first = result.failure
    unfinished = result.outcome is Outcome.SKIPPED and result.task.skip is None
    return {
        "of_run": run,
        "of_path": storable(result.path),
        "outcome": result.outcome.value,
        "complete": not unfinished,
        "reason": _clean(result.reason),
        "kernel": storable(result.kernel),
        "seconds": result.seconds,
        "attempts": result.attempts,
        "memory": result.memory,
        "category": first and first.category.value,
        "signature": first and _cut(first.signature),
        "failures": [_failure(each) for each in result.failures] or None,
        "tries": [_try(each) for each in result.retried] or None,
    }


def _try(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome.value,
        "started": attempt.started and attempt.started.isoformat(),
        "seconds": attempt.seconds,
        "executed": _clean(attempt.executed),
        "log": _clean(attempt.log),
        "memory": attempt.memory,
        "failures": [_failure(each) for each in attempt.failures],
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "category": failure.category.value,
        "name": _cut(failure.name),
        "message": _cut(failure.message),
        "traceback": _cut(failure.traceback),
        "signature": _cut(failure.signature),
        "cell": failure.cell,
        "cell_id": _clean(failure.cell_id),
        "source": _cut(failure.source),
    }


@cache
def _remember(dialect: str) -> Any:  # noqa: ANN401  (each database's own)
    """Return what writes what is known last; a failure makes no notebook quicker or smaller.

    To make it takes longer than to execute it.
    """
    table = schema.notebooks
    insert = _insert(dialect, table)
    new = insert.excluded
    failed = new.outcome == Outcome.FAILED.value
    slower = sa.and_(failed, table.c.seconds > new.seconds)
    larger = sa.or_(new.memory.is_(None), sa.and_(failed, table.c.memory > new.memory))
    return insert.on_conflict_do_update(
        index_elements=[table.c.collection, table.c.path],
        set_={
            "outcome": new.outcome,
            "run": new.run,
            "started": new.started,
            "seconds": sa.case((slower, table.c.seconds), else_=new.seconds),
            "memory": sa.case((larger, table.c.memory), else_=new.memory),
        },
    )


def end(connection: sa.Connection, run: str, *, seconds: float, interrupted: bool) -> None:
    """Write how a run ended."""
    table = schema.runs
    mine = schema.results.c.run == run
    ended = {
        name: sa.select(_counted(name)).where(mine).scalar_subquery() for name in schema.COUNTED
    }
    connection.execute(
        table.update()
        .where(table.c.id == run)
        .values(seconds=seconds, interrupted=interrupted, **ended)
    )


def _counted(name: str) -> sa.Function[int]:
    table = schema.results
    if name == "planned":
        return sa.func.count()
    return sa.func.count(sa.case((sa.and_(table.c.complete, table.c.outcome == name), 1)))


def forget(
    connection: sa.Connection, collection: int, *, keep_runs: int, before: datetime | None
) -> None:
    """Remove old runs and the oldest of too many, with their results."""
    table = schema.runs
    mine = table.c.collection == collection
    if before is not None:
        connection.execute(table.delete().where(mine, table.c.started < before))
        for known in (schema.notebooks, schema.traces):
            connection.execute(
                known.delete().where(known.c.collection == collection, known.c.started < before)
            )
    if keep_runs:
        newest = sa.select(table.c.id).where(mine)
        newest = newest.order_by(table.c.started.desc(), table.c.id.desc()).limit(keep_runs)
        connection.execute(table.delete().where(mine, table.c.id.not_in(newest)))


def _insert(dialect: str, table: sa.Table) -> Any:  # noqa: ANN401  (two kinds)
    """Return an INSERT that knows ON CONFLICT, which is each database's own."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  (only the one that is used)

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  (slow)

    return postgresql.insert(table)


def _clean(value: Any) -> Any:  # noqa: ANN401
    return storable(value) if isinstance(value, str) else value


def _cut(text: str) -> str:
    return storable(text)[-_MOST_TEXT:]
