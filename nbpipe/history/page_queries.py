"""What pages ask of the database: every answer is found by an index and bounded by a limit.

Imports SQLAlchemy: only to be imported where a database is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from nbpipe.history import queries, schema
from nbpipe.history.records import (
    Known,
    PastCollection,
    PastLine,
    PastMark,
    PastResult,
    PastRun,
    RunLine,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINE = [schema.results.c[name] for name in PastLine.__dataclass_fields__]
_MARK = [schema.results.c[name] for name in PastMark.__dataclass_fields__]
_RUN = [schema.runs.c[name] for name in PastRun.__dataclass_fields__]
_COUNTS = [schema.runs.c[name] for name in schema.COUNTED]
_KNOWN = [schema.notebooks.c[name] for name in Known.__dataclass_fields__]


class Look:
    """Questions to one database at one moment."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def collections(self) -> list[PastCollection]:
        """Return every collection, the first recorded first."""
        table = schema.collection_keys
        keys: dict[int, list[str]] = {}
        for row in self._connection.execute(sa.select(table).order_by(table.c.collection)):
            keys.setdefault(int(row.collection), []).append(row.key)
        return [PastCollection(id=id_, keys=tuple(sorted(each))) for id_, each in keys.items()]

    def runs(self, collection: int, limit: int, *, before: PastRun | None = None) -> list[RunLine]:
        """Return the newest runs, the newest first; only those older than `before`."""
        table = schema.runs
        query = sa.select(*_RUN, *_COUNTS).where(table.c.collection == collection)
        if before is not None:
            same = sa.and_(table.c.started == before.started, table.c.id < before.id)
            query = query.where(sa.or_(table.c.started < before.started, same))
            query = query.where(table.c.started <= before.started)  # what the index is asked
        newest = query.order_by(table.c.started.desc(), table.c.id.desc()).limit(limit)
        return self._counted(self._connection.execute(newest).mappings().all())

    def run(self, collection: int, name: str) -> RunLine | None:
        """Return the run of exactly that id, None where there is none."""
        table = schema.runs
        query = sa.select(*_RUN, *_COUNTS).where(
            table.c.id == name, table.c.collection == collection
        )
        found = self._counted(self._connection.execute(query).mappings().all())
        return found[0] if found else None

    def _counted(self, rows: Sequence[sa.RowMapping]) -> list[RunLine]:
        """Return runs with their numbers; those without an end are counted now."""
        live = self._live([row["id"] for row in rows if row["planned"] is None])
        return [
            RunLine(
                run=PastRun(**{name: row[name] for name in PastRun.__dataclass_fields__}),
                **(
                    live.get(row["id"], dict.fromkeys(schema.COUNTED, 0))
                    if row["planned"] is None
                    else {name: row[name] for name in schema.COUNTED}
                ),
            )
            for row in rows
        ]

    def _live(self, runs: Sequence[str]) -> dict[str, dict[str, int]]:
        if not runs:
            return {}
        table = schema.results
        rows = self._connection.execute(
            sa.select(table.c.run, table.c.complete, table.c.outcome, sa.func.count().label("n"))
            .where(table.c.run.in_(runs))
            .group_by(table.c.run, table.c.complete, table.c.outcome)
        )
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            counts = found.setdefault(row.run, dict.fromkeys(schema.COUNTED, 0))
            counts["planned"] += row.n
            if row.complete and row.outcome:
                counts[row.outcome] += row.n
        return found

    def results(
        self, run: str, limit: int, offset: int = 0, outcomes: Iterable[str] = ()
    ) -> list[PastLine]:
        """Return the results of a run in the order of its plan; only those of the outcomes."""
        table = schema.results
        query = sa.select(*_LINE).where(table.c.run == run)
        if outcomes:
            query = query.where(table.c.outcome.in_(tuple(outcomes)))
        query = query.order_by(table.c.position).limit(limit).offset(offset)
        return self._lines(query)

    def result(self, collection: int, run: str, path: str) -> PastResult | None:
        """Return everything about one notebook in one run, None where it was not in its plan."""
        table = schema.results
        query = sa.select(table).where(
            table.c.run == run, table.c.path == path, table.c.collection == collection
        )
        row = self._connection.execute(query).mappings().one_or_none()
        return None if row is None else queries.result({**row})

    def failures(self, run: str, limit: int) -> list[PastResult]:
        """Return everything about the notebooks that failed in a run, in the order of its plan."""
        table = schema.results
        query = sa.select(table).where(table.c.run == run, table.c.outcome == "failed")
        query = query.order_by(table.c.position).limit(limit)
        return [queries.result({**row}) for row in self._connection.execute(query).mappings()]

    def notebook(self, collection: int, path: str, limit: int) -> list[PastLine]:
        """Return a notebook's newest complete results, the newest first."""
        return self._lines(queries.past(sa.select(*_LINE), collection, path, limit))

    def known(self, collection: int, path: str) -> Known | None:
        """Return what is known last about a notebook, None for one that was never executed."""
        table = schema.notebooks
        query = sa.select(*_KNOWN).where(table.c.collection == collection, table.c.path == path)
        row = self._connection.execute(query).mappings().one_or_none()
        return None if row is None else Known(**row)

    def notebooks(
        self, collection: int, limit: int, offset: int = 0, part: str = ""
    ) -> list[Known]:
        """Return notebooks with `part` in their path: failing ones first, then by path."""
        table = schema.notebooks
        rank = sa.case((table.c.outcome == "failed", 0), (table.c.outcome == "flaky", 1), else_=2)
        query = sa.select(*_KNOWN).where(table.c.collection == collection)
        if part:
            query = query.where(table.c.path.icontains(part, autoescape=True))
        query = query.order_by(rank, table.c.path).limit(limit).offset(offset)
        return [Known(**row) for row in self._connection.execute(query).mappings()]

    def standing(self, collection: int) -> dict[str, int]:
        """Return how many notebooks had which outcome the last time that they were executed."""
        table = schema.notebooks
        query = sa.select(table.c.outcome, sa.func.count().label("n"))
        query = query.where(table.c.collection == collection).group_by(table.c.outcome)
        return {row.outcome: int(row.n) for row in self._connection.execute(query)}

    def pasts(self, collection: int, paths: Sequence[str], limit: int) -> dict[str, list[PastMark]]:
        """Return the newest complete results of several notebooks, the newest first."""
        if not paths:
            return {}
        server = self._connection.dialect.name == "postgresql"
        query = _beside(collection, paths, limit) if server else _together(collection, paths, limit)
        found: dict[str, list[PastMark]] = {path: [] for path in paths}
        for path, outcome, seconds, memory in self._connection.execute(query):
            mark = PastMark(path=path, outcome=outcome, seconds=seconds, memory=memory)
            found[path].append(mark)
        return found

    def changes(self, collection: int, limit: int, run: str | None = None) -> list[PastLine]:
        """Return the newest new failures and recoveries, the newest first; of one run, if given."""
        table = schema.results
        query = sa.select(*_LINE).where(table.c.change.is_not(None))
        if run is None:
            query = query.where(table.c.collection == collection)
            query = query.order_by(table.c.started.desc(), table.c.run.desc(), table.c.path)
        else:
            query = query.where(table.c.run == run).order_by(table.c.position)
        return self._lines(query.limit(limit))

    def run_count(self, collection: int) -> int:
        """Return how many runs are remembered."""
        table = schema.runs
        query = sa.select(sa.func.count()).where(table.c.collection == collection)
        return int(self._connection.execute(query).scalar_one())

    def _lines(self, query: Any) -> list[PastLine]:  # noqa: ANN401  (a select or a union)
        names = tuple(PastLine.__dataclass_fields__)
        return [
            PastLine(**dict(zip(names, row, strict=True)))
            for row in self._connection.execute(query)
        ]


def _together(collection: int, paths: Sequence[str], limit: int) -> Any:  # noqa: ANN401
    """Return one query made of one for each notebook: SQLite has no other way."""
    each = [
        sa.select(queries.past(sa.select(*_MARK), collection, path, limit).subquery())
        for path in paths
    ]
    return each[0] if len(each) == 1 else sa.union_all(*each)


def _beside(collection: int, paths: Sequence[str], limit: int) -> Any:  # noqa: ANN401
    """Return one query that is planned once for all notebooks."""
    table = schema.notebooks
    lines = queries.past(sa.select(*_MARK), collection, table.c.path, limit).lateral()
    query = sa.select(lines).select_from(table).join(lines, sa.true())
    return query.where(table.c.collection == collection, table.c.path.in_(paths))
