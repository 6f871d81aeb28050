"""CASA tables: a measurement set with all its subtables. Imports python-casacore.

The column of an array whose shape is not fixed holds lists, beside it a column of their shapes.
Storage managers are notes. Tables are opened without a lock: nothing is written into them.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from casacore.tables import table

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.protocol import Values
from nbpipe.reference.products.types import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

SHAPES = " (shape)"
TYPES = {
    "boolean": "bool",
    "uchar": "uint8",
    "short": "int16",
    "ushort": "uint16",
    "int": "int32",
    "uint": "uint32",
    "int64": "int64",
    "float": "float32",
    "double": "float64",
    "complex": "complex64",
    "dcomplex": "complex128",
    "string": "string",
}
SUBTABLE = "Table: "


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[CasaProduct]:
    """Open a table and its subtables."""
    with ExitStack() as stack:
        yield CasaProduct(file, kind, stack)


class CasaProduct:
    """Open tables."""

    def __init__(self, folder: Path, kind: str, stack: ExitStack) -> None:
        self.kind = kind
        self._tables: dict[str, Any] = {}
        self._uncompared: list[str] = []
        self._notes: list[str] = []
        self.parts = tuple(self._open(folder, "", stack))

    @property
    def notes(self) -> tuple[str, ...]:
        """How the columns of each table are stored."""
        return tuple(self._notes)

    @property
    def uncompared(self) -> tuple[str, ...]:
        """Columns of types that are not read."""
        return tuple(self._uncompared)

    def rows(self, part: Part, column: Column) -> int:
        """Return the rows of the table."""
        del column
        return part.rows or 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        opened = self._tables[part.name]
        columns = {each.name: each for each in part.columns}
        for start in range(0, part.rows or 0, rows):
            count = min(rows, (part.rows or 0) - start)
            yield {name: _values(opened, columns[name], start, count) for name in names}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: a table is read in its order."""
        del part, names, rows

    def _open(self, folder: Path, name: str, stack: ExitStack) -> Iterator[Part]:
        # Without reading locks: `table.lock` would be written.
        locks = {"option": "usernoread", "interval": 5.0, "maxwait": 1}
        opened = table(str(folder), readonly=True, ack=False, lockoptions=locks)
        self._tables[name] = stack.enter_context(closing(opened))
        columns = [each for key in opened.colnames() for each in self._columns(opened, name, key)]
        below: dict[str, Path] = {}
        attributes: dict[str, Value] = {}
        for key, value in opened.getkeywords().items():
            if isinstance(value, str) and value.startswith(SUBTABLE):
                below[key] = folder / value.rpartition("/")[2]
                attributes[key] = "a table"
            else:
                attributes[key] = _plain(value)
        attributes |= {f"info {key}": str(value) for key, value in opened.info().items()}
        # How columns are stored is no content, but a reader of the comparison wants to know of it.
        managers = opened.getdminfo().values()
        kept = sorted(f"{each['TYPE']} of {', '.join(each['COLUMNS'])}" for each in managers)
        self._notes.append(f"{name or 'main table'}: {'; '.join(kept)}")
        yield Part(
            name=name,
            form="table",
            rows=opened.nrows(),
            columns=tuple(columns),
            attributes=attributes,
        )
        for key, where in below.items():
            inner = f"{name}/{key}".lstrip("/")
            if where.is_dir():
                yield from self._open(where, inner, stack)
            else:
                self._uncompared.append(f"{inner}: a table that lies elsewhere")

    def _columns(self, opened: Any, part: str, name: str) -> Iterator[Column]:  # noqa: ANN401
        said = opened.getcoldesc(name)
        dtype = TYPES.get(said["valueType"])
        if dtype is None:
            self._uncompared.append(f"{part}/{name} ({said['valueType']})".lstrip("/"))
            return
        keywords = dict(opened.getcolkeywords(name))
        units = keywords.pop("QuantumUnits", None)
        attributes = {key: _plain(value) for key, value in keywords.items()}
        if comment := said.get("comment"):
            attributes["comment"] = str(comment)
        fixed = opened.isscalarcol(name) or "shape" in said
        shape = () if opened.isscalarcol(name) else tuple(map(int, said.get("shape", ())))
        yield Column(
            name=name,
            dtype=dtype if fixed else f"list of {dtype}",
            unit=None if units is None else ", ".join(map(str, np.atleast_1d(units))),
            shape=shape,
            attributes=attributes,
        )
        if not fixed:
            yield Column(name=f"{name}{SHAPES}", dtype="string")


def _values(opened: Any, column: Column, start: int, count: int) -> Values:  # noqa: ANN401
    name = column.name.removesuffix(SHAPES)
    if not column.dtype.startswith("list of ") and column.name == name:
        return Values(_fixed(opened.getcol(name, start, count), column))
    cells = [_cell(opened, name, row) for row in range(start, start + count)]
    data = np.empty(count, dtype=object)
    if column.name != name:
        data[:] = ["" if each is None else " x ".join(map(str, each.shape)) for each in cells]
        return Values(data)
    missing = np.array([each is None for each in cells], dtype=bool)
    for place, each in enumerate(cells):
        data[place] = np.zeros(0) if each is None else each.reshape(-1)
    return Values(data, missing if missing.any() else None)


def _fixed(found: Any, column: Column) -> NDArray[Any]:  # noqa: ANN401
    """Return rows of the same shape; casacore gives strings as lists, or as a shape with a list."""
    if column.dtype != "string":
        return np.ascontiguousarray(found)
    if isinstance(found, dict):
        return np.array(found["array"], dtype=object).reshape(found["shape"])
    return np.array(found, dtype=object)


def _cell(opened: Any, name: str, row: int) -> NDArray[Any] | None:  # noqa: ANN401
    """Return the array in one cell; None where there is none."""
    if not opened.iscelldefined(name, row):
        return None
    found = opened.getcell(name, row)
    if isinstance(found, dict):
        return np.array(found["array"], dtype=object).reshape(found["shape"])
    array = np.asarray(found)
    return array.astype(object) if array.dtype.kind in "US" else array


def _plain(value: Any) -> Value:  # noqa: ANN401  (whatever a keyword holds)
    if isinstance(value, dict):
        return plain_value(str({key: _plain(each) for key, each in value.items()}))
    if isinstance(value, str):
        # A reference to a table beside this one: every run has a folder of its own.
        return re.sub(r"^Table: .*/", SUBTABLE, value)
    return plain_value(value)
