"""A history as years of nightly runs leave it, written in bulk: the same for every database."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nbpipe.history import schema
from nbpipe.history.writes import change

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

START = datetime(2020, 1, 1, tzinfo=UTC)
_RUNS_AT_ONCE = 200
_TRACEBACK = "Traceback (most recent call last)\n" + "  File cell, line 1\n" * 20


def fill(engine: sa.Engine, key: str, *, runs: int, notebooks: int) -> None:
    """Write so many runs of so many notebooks, and what is known last about each."""
    paths = [f"topic{number % 9}/Notebook {number:03}.ipynb" for number in range(notebooks)]
    with engine.execution_options(nbpipe_writes=True).begin() as connection:
        new = schema.collections.insert().returning(schema.collections.c.id)
        collection = int(connection.execute(new).scalar_one())
        keys = schema.collection_keys
        connection.execute(keys.insert(), [{"key": key, "collection": collection}])
    known: dict[str, dict[str, Any]] = {}
    made = _made(collection, runs, paths, known)
    for rows in _together(made):
        with engine.execution_options(nbpipe_writes=True).begin() as connection:
            connection.execute(schema.runs.insert(), [run for run, _ in rows])
            results = [result for _, results in rows for result in results]
            _bulk(connection, results)
    with engine.execution_options(nbpipe_writes=True).begin() as connection:
        connection.execute(schema.notebooks.insert(), list(known.values()))
        connection.exec_driver_sql("ANALYZE")


def _bulk(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows as fast as the database takes them: COPY, where it knows that."""
    if connection.dialect.name != "postgresql":
        connection.execute(schema.results.insert(), rows)
        return
    from psycopg.types.json import Json  # noqa: PLC0415  (only where it is installed)

    names = list(rows[0])
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY results ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            values = {**row, "failures": row["failures"] and Json(row["failures"])}
            copy.write_row([values[name] for name in names])


def _together(made: Iterator[Any]) -> Iterator[list[Any]]:
    rows = []
    for each in made:
        rows.append(each)
        if len(rows) == _RUNS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def _made(
    collection: int, runs: int, paths: list[str], known: dict[str, dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    chance = random.Random(1)  # noqa: S311  (the same history every time)
    for number in range(runs):
        started = START + timedelta(hours=5 * number)
        run = f"{started:%Y%m%dT%H%M%S}-{number:05x}"
        results = [
            _result(collection, run, started, position, path, chance, known)
            for position, path in enumerate(paths)
        ]
        outcomes = [each["outcome"] for each in results]
        yield (
            {
                "id": run, "collection": collection, "started": started, "seconds": 600.0,
                "interrupted": False, "root": "/c", "output_dir": "/out", "commit": "c0ffee" * 6,
                "host": "here", "version": "0.1.0", "python": "3.11.7", "jobs": 2,
                "planned": len(paths),
                **{name: outcomes.count(name) for name in schema.COUNTED[1:]},
            },
            results,
        )  # fmt: skip


def _result(  # noqa: PLR0913, PLR0917  (one row)
    collection: int,
    run: str,
    started: datetime,
    position: int,
    path: str,
    chance: random.Random,
    known: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    earlier = known.get(path, {}).get("outcome")
    failing = 0.85 if earlier == "failed" else 0.004 * (1 + position % 7)
    outcome = "failed" if chance.random() < failing else "passed"
    if outcome == "passed" and chance.random() < 0.002:  # noqa: PLR2004
        outcome = "flaky"
    seconds = (2 + position) * chance.lognormvariate(0, 0.1)
    failure = {
        "category": "missing-file", "name": "FileNotFoundError", "message": "No such file: x.fits",
        "traceback": _TRACEBACK, "signature": "FileNotFoundError: x.fits", "cell": 3,
        "cell_id": "c3",
    }  # fmt: skip
    row = {
        "run": run, "path": path, "position": position, "outcome": outcome, "complete": True,
        "reason": None, "kernel": "python3", "seconds": seconds, "attempts": 1,
        "memory": 300_000_000, "collection": collection, "started": started,
        "category": failure["category"] if outcome == "failed" else None,
        "signature": failure["signature"] if outcome == "failed" else None,
        "failures": [failure] if outcome == "failed" else None,
        "change": change(earlier, outcome),
    }  # fmt: skip
    known[path] = {
        name: row[name] for name in ("collection", "path", "outcome", "run", "started", "seconds")
    } | {"memory": row["memory"]}
    return row
