"""What pages ask of the database: every answer is found by an index and bounded by a limit.

Imports SQLAlchemy: only to be imported where a database is used.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    from collections.abc import Sequence

_LINE = [schema.results.c[name] for name in PastLine.__dataclass_fields__]
_RUN = [schema.runs.c[name] for name in PastRun.__dataclass_fields__]
_COUNTS = [schema.runs.c[name] for name in schema.COUNTED]
_KNOWN = [schema.notebooks.c[name] for name in Known.__dataclass_fields__]

_NOTEBOOK_ORDER = {"path": "path", "seconds": "seconds", "memory": "memory", "ran": "started"}
"""Order that a page asks for -> column of `notebooks`."""
_RESULT_ORDER = {"path": "path", "seconds": "seconds", "memory": "memory"}
"""Order that a page asks for -> column of `results`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMark(PastMark):
    """As much of a result as a strip of outcomes needs, which leads to the runs."""

    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """The newest result that passed, with its run: there the executed copy is."""

    run: PastRun
    result: PastResult
    """Without failures: there are none."""


_MARK = [schema.results.c[name] for name in RunMark.__dataclass_fields__]


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

    def runs(
        self,
        collection: int,
        limit: int,
        *,
        before: PastRun | None = None,
        failing: bool = False,
    ) -> list[RunLine]:
        """Return the newest runs, the newest first.

        Args:
            collection: Whose runs.
            limit: At most so many.
            before: Only runs that are older than this one.
            failing: Only runs that have ended, and in which a notebook failed.
        """
        table = schema.runs
        query = sa.select(*_RUN, *_COUNTS).where(table.c.collection == collection)
        if failing:
            query = query.where(table.c.failed > 0)
        if before is not None:
            same = sa.and_(table.c.started == before.started, table.c.id < before.id)
            query = query.where(sa.or_(table.c.started < before.started, same))
            query = query.where(table.c.started <= before.started)  # what the index is asked
        newest = query.order_by(table.c.started.desc(), table.c.id.desc()).limit(limit)
        return self._counted(self._connection.execute(newest).mappings().all())

    def after(self, collection: int, run: PastRun) -> RunLine | None:
        """Return the run that began next after this one; None where it is the newest."""
        table = schema.runs
        same = sa.and_(table.c.started == run.started, table.c.id > run.id)
        query = (
            sa.select(*_RUN, *_COUNTS)
            .where(table.c.collection == collection, table.c.started >= run.started)
            .where(sa.or_(table.c.started > run.started, same))
            .order_by(table.c.started, table.c.id)
            .limit(1)
        )
        found = self._counted(self._connection.execute(query).mappings().all())
        return found[0] if found else None

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

    def results(  # noqa: PLR0913  (what a page lets people choose)
        self,
        run: str,
        limit: int,
        offset: int = 0,
        part: str = "",
        *,
        outcome: str = "",
        order: str = "",
    ) -> list[PastLine]:
        """Return the results of a run.

        Args:
            run: Its id.
            limit: At most so many.
            offset: How many are passed over.
            part: Only paths that hold this.
            outcome: Only this outcome; `missing`: only those without a complete result.
            order: `path`, `seconds` or `memory`, after `-` the other way round; empty: as planned.
        """
        table = schema.results
        query = sa.select(*_LINE).where(table.c.run == run)
        if outcome == "missing":
            query = query.where(sa.not_(table.c.complete))
        elif outcome:
            query = query.where(table.c.outcome == outcome, table.c.complete)
        if part:
            query = query.where(table.c.path.icontains(part, autoescape=True))
        by = _ordered(table, _RESULT_ORDER, order)
        return self._lines(query.order_by(*by, table.c.position).limit(limit).offset(offset))

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

    def notebooks(  # noqa: PLR0913  (what a page lets people choose)
        self,
        collection: int,
        limit: int,
        offset: int = 0,
        part: str = "",
        *,
        outcome: str = "",
        order: str = "",
    ) -> list[Known]:
        """Return notebooks.

        Args:
            collection: Whose.
            limit: At most so many.
            offset: How many are passed over.
            part: Only paths that hold this.
            outcome: Only those whose last outcome is this.
            order: `path`, `seconds`, `memory` or `ran`, after `-` the other way round; empty: what
                fails first, then by path.
        """
        table = schema.notebooks
        rank = sa.case((table.c.outcome == "failed", 0), (table.c.outcome == "flaky", 1), else_=2)
        query = sa.select(*_KNOWN).where(table.c.collection == collection)
        if outcome:
            query = query.where(table.c.outcome == outcome)
        if part:
            query = query.where(table.c.path.icontains(part, autoescape=True))
        by = _ordered(table, _NOTEBOOK_ORDER, order) or [rank]
        query = query.order_by(*by, table.c.path).limit(limit).offset(offset)
        return [Known(**row) for row in self._connection.execute(query).mappings()]

    def passes(self, collection: int, paths: Sequence[str]) -> dict[str, Passed]:
        """Return the newest passing result of several notebooks, of those that ever passed.

        A retry that passed is a pass: its copy is that of the last attempt.
        """
        if not paths:
            return {}
        table = schema.results
        columns = [each for each in table.c if each.name != "failures"]
        passing = sa.select(*columns).where(table.c.outcome.in_(("passed", "flaky")))
        query = _together([queries.past(passing, collection, path, 1) for path in paths])
        rows = [queries.result({**row}) for row in self._connection.execute(query).mappings()]
        wanted = {each.run for each in rows}
        found = self._connection.execute(
            sa.select(*_RUN).where(schema.runs.c.id.in_(wanted))
        ).mappings()
        runs = {row["id"]: PastRun(**row) for row in found}
        return {each.path: Passed(run=runs[each.run], result=each) for each in rows}

    def standing(self, collection: int) -> dict[str, int]:
        """Return how many notebooks had which outcome the last time that they were executed."""
        table = schema.notebooks
        query = sa.select(table.c.outcome, sa.func.count().label("n"))
        query = query.where(table.c.collection == collection).group_by(table.c.outcome)
        return {row.outcome: int(row.n) for row in self._connection.execute(query)}

    def pasts(self, collection: int, paths: Sequence[str], limit: int) -> dict[str, list[RunMark]]:
        """Return the newest complete results of several notebooks, the newest first."""
        if not paths:
            return {}
        if self._connection.dialect.name == "postgresql":
            query = _beside(collection, paths, limit)
        else:
            marks = sa.select(*_MARK)
            query = _together([queries.past(marks, collection, path, limit) for path in paths])
        found: dict[str, list[RunMark]] = {path: [] for path in paths}
        for path, outcome, seconds, memory, run in self._connection.execute(query):
            mark = RunMark(path=path, outcome=outcome, seconds=seconds, memory=memory, run=run)
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


def _ordered(table: sa.Table, known: dict[str, str], order: str) -> list[sa.ColumnElement[Any]]:
    """Return what a page asks to be sorted by; nothing where that is no order there is."""
    column = known.get(order.removeprefix("-"))
    if column is None:
        return []
    by = table.c[column]
    # What is not known comes last either way; most columns are never null.
    place = [by.is_(None)] if by.nullable else []
    return [*place, by.desc() if order.startswith("-") else by.asc()]


def _together(each: Sequence[sa.Select[Any]]) -> Any:  # noqa: ANN401
    """Return one query made of one for each notebook: SQLite has no other way."""
    parts = [sa.select(query.subquery()) for query in each]
    return parts[0] if len(parts) == 1 else sa.union_all(*parts)


def _beside(collection: int, paths: Sequence[str], limit: int) -> Any:  # noqa: ANN401
    """Return one query that is planned once for all notebooks."""
    table = schema.notebooks
    lines = queries.past(sa.select(*_MARK), collection, table.c.path, limit).lateral()
    query = sa.select(lines).select_from(table).join(lines, sa.true())
    return query.where(table.c.collection == collection, table.c.path.in_(paths))
