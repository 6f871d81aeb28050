"""JSON and plain text.

The leaves of a JSON document are columns with one row each (`fit.chi2`, `fit.tags[0]`), so that
quality figures have tolerances as any other column has; a list of numbers is one vector. A text
is a table of lines. Needs only numpy.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.reading import ProductError, Values
from nbpipe.reference.products.types import type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOST_BYTES = 50_000_000
"""A larger JSON document is compared as text."""
MOST_LEAVES = 10_000
LINE_LIMIT = 1_000_000
"""Characters of a line that are looked at at once."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Document | Text]:
    """Open a JSON document or a text."""
    if kind == "json" and file.stat().st_size <= MOST_BYTES:
        yield Document(file, kind)
    else:
        yield Text(file, kind)


class Document:
    """A JSON document."""

    def __init__(self, file: Path, kind: str) -> None:
        self.kind = kind
        try:
            tree = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ProductError(f"it is not JSON: {error}") from error
        found = list(islice(_leaves(tree, ""), MOST_LEAVES + 1))
        self.notes: tuple[str, ...] = ()
        if len(found) > MOST_LEAVES:
            self.notes = (f"only the first {MOST_LEAVES:,} values are described",)
        self._leaves = dict(found[:MOST_LEAVES])
        columns = [
            Column(name=name, dtype=_type(each), shape=each.data.shape)
            for name, each in self._leaves.items()
        ]
        self.parts = (Part(name="", form="document", columns=tuple(columns)),)

    def rows(self, part: Part, column: Column) -> int:
        """Return how long a vector is; 1 of a single value."""
        del part
        return column.shape[0]

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the leaves, whole."""
        del part, rows
        yield {name: self._leaves[name] for name in names}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: a document has no rows to join."""
        del part, names, rows


class Text:
    """A text, as a table of lines."""

    notes: tuple[str, ...] = ()

    def __init__(self, file: Path, kind: str) -> None:
        self.kind = kind
        self._file = file
        rows = sum(len(each) for each in self._lines(10_000))
        line = Column(name="line", dtype="string")
        self.parts = (Part(name="", form="table", rows=rows, columns=(line,)),)

    def rows(self, part: Part, column: Column) -> int:
        """Return the number of lines."""
        del column
        return part.rows or 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the lines in blocks."""
        del part
        for lines in self._lines(rows):
            data = np.empty(len(lines), dtype=object)
            data[:] = lines
            yield {names[0]: Values(data)}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: a text is read from its beginning."""
        del part, names, rows

    def _lines(self, rows: int) -> Iterator[list[str]]:
        with self._file.open(encoding="utf-8", errors="backslashreplace") as text:
            while lines := [
                line.rstrip("\n")
                for line in islice(iter(lambda: text.readline(LINE_LIMIT), ""), rows)
            ]:
                yield lines


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Values]]:  # noqa: ANN401  (JSON)
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list) and not _is_vector(tree):
        for number, value in enumerate(tree):
            yield from _leaves(value, f"{name}[{number}]")
    else:
        yield name or "value", _values(tree if isinstance(tree, list) else [tree])


def _is_vector(tree: list[Any]) -> bool:
    return bool(tree) and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) for each in tree
    )


def _values(items: list[Any]) -> Values:
    if items == [None]:
        return Values(np.array([""], dtype=object), np.array([True]))
    if isinstance(items[0], str):
        return Values(np.array(items, dtype=object))
    if isinstance(items[0], bool):
        return Values(np.array(items))
    # One kind of number: a figure that happens to be whole is no other schema.
    return Values(np.array(items, dtype=np.float64))


def _type(values: Values) -> str:
    name = type_name(values.data.dtype)
    return "string" if name == "object" else name
