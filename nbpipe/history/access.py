"""One collection's history: what is asked of it, and what is written to it.

Every method raises `HistoryError` where the database cannot be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from nbpipe.history import identity
from nbpipe.history.errors import HistoryError
from nbpipe.history.records import storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import sqlalchemy as sa

    from nbpipe.config.settings import HistorySettings
    from nbpipe.history.records import Last, PastResult, PastRun, PastTrace
    from nbpipe.model import Result

LATEST = "latest"


def open_history(settings: HistorySettings, root: Path, *, create: bool = False) -> History:
    """Return the history of the collection in `root`.

    Args:
        settings: `[history]`.
        root: The collection's.
        create: Make the database where there is none.

    Raises:
        HistoryError: It is switched off, cannot be used, or does not exist and is not made.
    """
    if not settings.enabled:
        raise HistoryError(
            f"{root}: the history is switched off", hint="Remove `[history] enabled = false`."
        )
    from nbpipe.history.engine import address, connect, display  # noqa: PLC0415  (slow)

    url = address(settings.url, root)
    engine = connect(url, create=create)
    return History(engine, display(url), identity.keys(root, name=settings.collection))


class History:
    """The runs of one collection in a database; closed by `with`.

    Args:
        engine: The database's, with our tables.
        where: What the database is called in messages.
        keys: The collection's (see `identity`).
    """

    def __init__(self, engine: sa.Engine, where: str, keys: tuple[str, ...]) -> None:
        self.where = where
        self._engine = engine
        self._keys = keys

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._engine.dispose()

    def begin(self, run: PastRun, planned: Iterable[tuple[str, str]]) -> None:
        """Record that a run begins, with the path and kernel of each notebook in its plan."""
        from nbpipe.history import writes  # noqa: PLC0415  (slow)

        with writes.transaction(self._engine, self.where) as connection:
            collection = writes.collection(connection, self._keys)
            writes.begin(connection, collection, run, planned)

    def add(self, run: str, results: Iterable[Result]) -> None:
        """Record results of a run that has begun."""
        from nbpipe.history import writes  # noqa: PLC0415  (slow)

        with writes.transaction(self._engine, self.where) as connection:
            writes.add(connection, run, results)

    def end(self, run: str, *, seconds: float, interrupted: bool) -> None:
        """Record that a run has ended."""
        from nbpipe.history import writes  # noqa: PLC0415  (slow)

        with writes.transaction(self._engine, self.where) as connection:
            writes.end(connection, run, seconds=seconds, interrupted=interrupted)

    def forget(self, *, keep_runs: int, before: datetime | None) -> None:
        """Remove the runs that started before a time, and all but the newest `keep_runs` (0: all).

        What is known last about a notebook stays, unless it is older than that time too.
        """
        from nbpipe.history import writes  # noqa: PLC0415  (slow)

        with writes.transaction(self._engine, self.where) as connection:
            collection = writes.collection(connection, self._keys)
            writes.forget(connection, collection, keep_runs=keep_runs, before=before)

    def last(self) -> dict[str, Last]:
        """Return what is known last about every notebook, by its path."""
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            return queries.last(connection, queries.collection(connection, self._keys))

    def traces(self) -> dict[str, PastTrace]:
        """Return what each notebook depended on when it passed last, by its path."""
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            return queries.traces(connection, queries.collection(connection, self._keys))

    def packages(self, paths: Sequence[str]) -> dict[str, tuple[str, Mapping[str, str]]]:
        """Return of notebooks the run that each passed in last, and what it imported there."""
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            collection = queries.collection(connection, self._keys)
            return queries.packages(connection, collection, [*map(storable, paths)])

    def runs(self, limit: int) -> list[PastRun]:
        """Return the newest runs, the newest first."""
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            return queries.runs(connection, queries.collection(connection, self._keys), limit)

    def run(self, name: str) -> PastRun:
        """Return a run by the beginning of its id, or the `latest` one.

        Raises:
            HistoryError: There is none, or there are several.
        """
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            collection = queries.collection(connection, self._keys)
            found = queries.runs(connection, collection, 2, "" if name == LATEST else name)
        if not found:
            called = "yet" if name == LATEST else f"whose id begins with {name!r}"
            raise HistoryError(
                f"{self.where}: no run {called}",
                hint="`nbpipe history` lists the runs; `latest` is the newest.",
            )
        if len(found) > 1 and name not in {LATEST, found[0].id}:
            raise HistoryError(
                f"{self.where}: there are several runs whose id begins with {name!r}",
                hint=f"Write more of it: {found[0].id}, {found[1].id}, ...",
            )
        return found[0]

    def results(self, run: PastRun) -> list[PastResult]:
        """Return everything about the notebooks of a run, in the order of its plan."""
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            return queries.results(connection, run)

    def notebook(self, path: str, limit: int) -> list[PastResult]:
        """Return a notebook's newest results, the newest first; only of runs that got to it."""
        return self.outcomes(limit, path).get(storable(path), [])

    def outcomes(self, limit: int, path: str | None = None) -> dict[str, list[PastResult]]:
        """Return the complete results of the newest runs by notebook, the newest first.

        Args:
            limit: How many runs are looked at; for one notebook: how many of its results.
            path: Only this notebook; None: all of them.
        """
        from nbpipe.history import queries  # noqa: PLC0415  (slow)

        with queries.connected(self._engine, self.where) as connection:
            collection = queries.collection(connection, self._keys)
            rows = queries.outcomes(connection, collection, limit, path and storable(path))
        found: dict[str, list[PastResult]] = {}
        for row in rows:
            found.setdefault(row.path, []).append(row)
        return found
