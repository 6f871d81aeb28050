"""How a database would answer what pages ask: by an index, or by reading everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pasts import opened

from nbpipe.history.engine import address
from nbpipe.history.page_queries import Look

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.history import PastRun


def questions(url: str, root: Path, run: PastRun) -> list[str]:
    """Return the plan of everything that pages ask, and the command line of one notebook."""
    engine = sa.create_engine(address(url, root))
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(*of: Any) -> None:  # noqa: ANN401  (the connection, cursor, statement, parameters, ...)
        asked.append((of[2], of[3]))

    with engine.connect() as connection:
        look = Look(connection)
        look.runs(1, 50)
        look.runs(1, 50, before=run)
        look.run(1, run.id)
        look.results(run.id, 500)
        look.results(run.id, 500, outcome="failed", order="-seconds")
        look.results(run.id, 500, 0, "a", outcome="missing", order="memory")
        look.runs(1, 50, failing=True)
        look.after(1, run)
        look.notebooks(1, 50, 0, "a", outcome="failed", order="-ran")
        look.passes(1, ["a.ipynb", "b.ipynb"])
        look.result(1, run.id, "a.ipynb")
        look.failures(run.id, 50)
        look.notebook(1, "a.ipynb", 200)
        look.pasts(1, ["a.ipynb", "b.ipynb"], 50)
        look.changes(1, 50)
        look.changes(1, 50, run=run.id)
        look._live([run.id])
    with opened(url, root) as history:
        sa.event.listen(history._engine, "before_cursor_execute", note)
        history.notebook("a.ipynb", 20)
    return _plans(engine, [each for each in asked if each[0].startswith("SELECT")])


def _plans(engine: sa.Engine, asked: list[tuple[str, Any]]) -> list[str]:
    server = engine.dialect.name == "postgresql"
    word = "EXPLAIN" if server else "EXPLAIN QUERY PLAN"
    plans = []
    with engine.connect() as connection:
        if server:  # of a small table it would read everything, rightly
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, values in asked:
            rows = connection.exec_driver_sql(f"{word} {statement}", values).all()
            plans.append("\n".join(str(row[-1]) for row in rows))
    engine.dispose()
    return plans


def full_scan(plan: str) -> bool:
    """Tell whether the plan reads all results or runs, from their beginning."""
    lines = [line.strip(" ->") for line in plan.splitlines()]
    return any(
        line.startswith(f"{word} {table}")
        for line in lines
        for word in ("SCAN", "Seq Scan on")
        for table in ("results", "runs")
    )
