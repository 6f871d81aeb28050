"""What is asked of the database, one function for each question. Imports SQLAlchemy."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from nbpipe.history import schema
from nbpipe.history.engine import explained
from nbpipe.history.records import Last, PastFailure, PastResult, PastRun, PastTrace
from nbpipe.model import Attempt, Category, Failure, Outcome, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_RUN = [schema.runs.c[name] for name in PastRun.__dataclass_fields__]


@contextmanager
def connected(engine: sa.Engine, where: str) -> Iterator[sa.Connection]:
    """Give a connection; what the database says is explained."""
    with explained(where), engine.connect() as connection:
        yield connection


def collection(connection: sa.Connection, keys: tuple[str, ...]) -> int | None:
    """Return the number of the collection with one of these keys, None for an unknown one."""
    table = schema.collection_keys
    rows = connection.execute(sa.select(table).where(table.c.key.in_(keys)))
    known = {row.key: int(row.collection) for row in rows}
    return next((known[key] for key in keys if key in known), None)


def last(connection: sa.Connection, collection: int | None) -> dict[str, Last]:
    """Return what is known last about each notebook."""
    table = schema.notebooks
    rows = connection.execute(
        sa.select(
            *(table.c[name] for name in ("path", "outcome", "run", "seconds", "memory"))
        ).where(table.c.collection == collection)
    )
    return {
        row.path: Last(outcome=row.outcome, run=row.run, seconds=row.seconds, memory=row.memory)
        for row in rows
    }


def traces(connection: sa.Connection, collection: int | None) -> dict[str, PastTrace]:
    """Return what each notebook depended on when it passed last."""
    table = schema.traces
    rows = connection.execute(
        sa.select(table.c.path, table.c.run, table.c.trace).where(table.c.collection == collection)
    )
    return {row.path: PastTrace(run=row.run, trace=_trace(row.trace)) for row in rows}


def packages(
    connection: sa.Connection, collection: int | None, paths: Sequence[str]
) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Return of notebooks the run that each passed in last, and what it imported there."""
    table = schema.traces
    rows = connection.execute(
        sa.select(table.c.path, table.c.run, table.c.trace).where(
            table.c.collection == collection, table.c.path.in_(paths)
        )
    )
    found = {row.path: (row.run, _trace(row.trace)) for row in rows}
    return {path: (run, trace.environment) for path, (run, trace) in found.items() if trace}


def _trace(fields: dict[str, Any]) -> Trace | None:
    """Return a trace, None for one of another version of nbpipe."""
    values: Any = {
        key: tuple(each) if isinstance(each, list) else each for key, each in fields.items()
    }
    try:
        return Trace(**values)
    except TypeError:
        return None


def runs(
    connection: sa.Connection, collection: int | None, limit: int, beginning: str = ""
) -> list[PastRun]:
    """Return the newest runs whose id begins like that, the newest first."""
    table = schema.runs
    query = sa.select(*_RUN).where(table.c.collection == collection)
    if beginning:
        query = query.where(table.c.id.startswith(beginning, autoescape=True))
    newest = query.order_by(table.c.started.desc(), table.c.id.desc()).limit(limit)
    return [PastRun(**row) for row in connection.execute(newest).mappings()]


def results(connection: sa.Connection, run: PastRun) -> list[PastResult]:
    """Return the results of a run in the order of its plan."""
    table = schema.results
    rows = connection.execute(
        sa.select(table).where(table.c.run == run.id).order_by(table.c.position)
    )
    return [result({**row._asdict(), "started": run.started}) for row in rows]


def outcomes(
    connection: sa.Connection, collection: int | None, limit: int, path: str | None
) -> list[PastResult]:
    """Return complete results, the newest first: of one notebook, or of the newest runs."""
    table, run = schema.results, schema.runs
    if path is not None:
        query = past(sa.select(table), collection, path, limit)
    else:
        columns = [each for each in table.c if each.name not in {"failures", "tries"}]
        newest = (
            sa.select(run.c.id)
            .where(run.c.collection == collection)
            .order_by(run.c.started.desc(), run.c.id.desc())
            .limit(limit)
        )
        query = sa.select(*columns).where(table.c.complete, table.c.run.in_(newest))
        query = query.order_by(table.c.started.desc(), table.c.run.desc(), table.c.position)
    return [result(row._asdict()) for row in connection.execute(query)]


def past(
    query: sa.Select[Any], collection: int | None, path: str | sa.ColumnElement[str], limit: int
) -> sa.Select[Any]:
    """Return the query for a notebook's newest complete results: one look at an index."""
    table = schema.results
    query = query.where(table.c.collection == collection, table.c.path == path, table.c.complete)
    return query.order_by(table.c.started.desc(), table.c.run.desc()).limit(limit)


def result(row: Mapping[str, Any]) -> PastResult:
    """Return a row of `results`, with or without its failures, as a value."""
    return PastResult(
        run=row["run"],
        started=row["started"],
        path=row["path"],
        outcome=row["outcome"],
        complete=row["complete"],
        reason=row["reason"],
        kernel=row["kernel"],
        seconds=row["seconds"],
        attempts=row["attempts"],
        memory=row["memory"],
        failures=tuple(PastFailure(**each) for each in row.get("failures") or ()),
        tries=tuple(map(_attempt, row.get("tries") or ())),
    )


def _attempt(fields: Mapping[str, Any]) -> Attempt:
    """Return an attempt as it was recorded."""
    started = fields["started"]
    return Attempt(
        number=fields["number"],
        outcome=Outcome(fields["outcome"]),
        started=started and datetime.fromisoformat(started),
        seconds=fields["seconds"],
        failures=tuple(map(_failure, fields["failures"])),
        executed=fields["executed"],
        log=fields["log"],
        memory=fields["memory"],
    )


def _failure(fields: Mapping[str, Any]) -> Failure:
    """Return a failure of an attempt; what a newer version may have added is left out."""
    known = {name: fields[name] for name in Failure.__dataclass_fields__ if name in fields}
    return Failure(**{**known, "category": Category(fields["category"])})
