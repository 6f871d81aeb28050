"""SQLite: its tables by their rows, whatever pages they lie in. Needs only numpy."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct
from nbpipe.reference.products.protocol import ProductError, Values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.reference.manifest import Value
    from nbpipe.reference.products.protocol import Product

MOST_BYTES = 500_000_000
"""A larger database is compared by its bytes alone: its rows are held in memory."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Read a database without writing anything beside it."""
    uncompared = []
    journal = file.with_name(f"{file.name}-wal")
    if journal.is_file() and journal.stat().st_size:
        uncompared.append(f"{journal.name}: changes that are not in the file yet")
    if file.stat().st_size > MOST_BYTES:
        uncompared.append(f"its rows: it is larger than {MOST_BYTES:,} bytes")
        yield HeldProduct(kind, [], uncompared=tuple(uncompared))
        return
    # immutable: no lock, no journal; a product does not change while it is read.
    where = f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(where, uri=True)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            content = [_rest(database), *_tables(database)]
    except sqlite3.Error as error:
        raise ProductError(f"it cannot be read: {error}") from error
    yield HeldProduct(kind, content, uncompared=tuple(uncompared))


def _rest(database: sqlite3.Connection) -> tuple[Part, dict[str, Values]]:
    """Return what is no table: views, indexes and triggers by their definitions, and versions."""
    found: dict[str, Value] = {
        f"{kind} {name}": sql
        for kind, name, sql in database.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type != 'table' AND sql IS NOT NULL "
            "ORDER BY type, name"
        )
    }
    for name in ("user_version", "application_id", "encoding"):
        found[name] = database.execute(f"PRAGMA {name}").fetchone()[0]
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        for name, last in database.execute("SELECT name, seq FROM sqlite_sequence"):
            found[f"last number of {name}"] = last
    return Part(name="", form="group", attributes=found), {}


def _tables(database: sqlite3.Connection) -> Iterator[tuple[Part, dict[str, Values]]]:
    rows = database.execute(
        "SELECT name, sql FROM sqlite_master "
        "WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    for name, sql in rows:
        quoted = '"' + name.replace('"', '""') + '"'
        found = database.execute(f"SELECT * FROM {quoted}")  # noqa: S608  (a name of its own)
        names = [each[0] for each in found.description]
        records = found.fetchall()
        values = {
            each: _values([record[place] for record in records]) for place, each in enumerate(names)
        }
        columns = tuple(Column(name=each, dtype=_type(values[each])) for each in names)
        part = Part(
            name=name, form="table", rows=len(records), columns=columns, attributes={"sql": sql}
        )
        yield part, values


def _values(items: list[Any]) -> Values:
    """Return a column: SQLite's values have types of their own, whatever the column's is."""
    missing = np.array([each is None for each in items], dtype=bool)
    present = [each for each in items if each is not None]
    if present and all(isinstance(each, float) for each in present):
        data = np.array([0.0 if each is None else each for each in items], dtype=np.float64)
    elif present and all(isinstance(each, int) for each in present):
        data = np.array([each or 0 for each in items], dtype=np.int64)
    else:
        data = np.empty(len(items), dtype=object)
        data[:] = ["" if each is None else each for each in items]
    return Values(data, missing if missing.any() else None)


def _type(values: Values) -> str:
    present = values.data if values.missing is None else values.data[~values.missing]
    if not len(present):
        return "empty"
    if values.data.dtype.kind in "if":
        return "float64"  # that all of them happen to be whole is no other schema
    kinds = {type(each) for each in present}
    return "string" if kinds == {str} else "float64" if kinds <= {int, float} else "object"
