"""A product whose values are all in memory: of formats that are read as a whole, or are small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.protocol import Values
from nbpipe.reference.products.types import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value


class HeldProduct:
    """Parts with their values."""

    def __init__(
        self,
        kind: str,
        content: Iterable[tuple[Part, Mapping[str, Values]]],
        *,
        notes: tuple[str, ...] = (),
        uncompared: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self.notes = notes
        self.uncompared = uncompared
        pairs = list(content)
        self.parts = tuple(part for part, _ in pairs)
        self._values = {part.name: values for part, values in pairs}

    def rows(self, part: Part, column: Column) -> int:
        """Return how many rows a column has."""
        values = self._values[part.name].get(column.name)
        return 0 if values is None else len(values.data)

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        values = self._values[part.name]
        size = len(values[names[0]].data)
        for start in range(0, size, rows):
            yield {name: _some(values[name], slice(start, start + rows)) for name in names}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> dict[str, Values]:
        """Return these rows."""
        values = self._values[part.name]
        return {name: _some(values[name], rows) for name in names}


def table(
    name: str, values: Mapping[str, Values], attributes: Mapping[str, Value] | None = None
) -> tuple[Part, Mapping[str, Values]]:
    """Return a table of columns with the same number of rows."""
    columns = [
        Column(name=each, dtype=dtype_of(held.data), shape=held.data.shape[1:])
        for each, held in values.items()
    ]
    rows = next((len(held.data) for held in values.values()), 0)
    part = Part(
        name=name,
        form="table",
        rows=rows,
        columns=tuple(columns),
        attributes=dict(attributes or {}),
    )
    return part, values


def dtype_of(data: NDArray[Any]) -> str:
    """Return the name of a type; of Python's own strings it is `string`."""
    texts = data.dtype.kind == "O" and all(isinstance(each, str) for each in data.reshape(-1))
    return "string" if texts else type_name(data.dtype)


def _some(values: Values, rows: Any) -> Values:  # noqa: ANN401  (a slice or an index)
    missing = None if values.missing is None else values.missing[rows]
    return Values(values.data[rows], missing)
