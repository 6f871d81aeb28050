"""Parquet: one table, its schema and metadata from the footer; of one file or of several.

Imports pyarrow; see `protocol`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.protocol import ProductError, Values
from nbpipe.reference.products.types import plain_value, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

NULLS, STRUCTURE = " (nulls)", " (structure)"
"""Columns beside a list or a tree: which elements are null, and all that is no number."""
WRITERS_OWN = frozenset({"ARROW:schema", "pandas", "PARQUET:field_id"})
"""Metadata that the writing libraries leave; it changes with their versions."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[ParquetProduct]:
    """Open a Parquet file."""
    with open_data_set([file], kind) as product:
        yield product


@contextmanager
def open_data_set(files: Sequence[Path], kind: str) -> Iterator[ParquetProduct]:
    """Open files that are one table, in their order.

    Raises:
        ProductError: Their schemas are not the same.
    """
    with ExitStack() as stack:
        opened = [
            stack.enter_context(pq.ParquetFile(file, memory_map=True)) for file in sorted(files)
        ]
        for parquet, file in zip(opened, sorted(files), strict=True):
            if not parquet.schema_arrow.equals(opened[0].schema_arrow):
                raise ProductError(f"{file.name} has another schema than the files beside it")
        yield ParquetProduct(opened, kind)


class ParquetProduct:
    """An open table."""

    notes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()

    def __init__(self, files: Sequence[Any], kind: str) -> None:
        self.kind = kind
        self._files = files
        schema = files[0].schema_arrow
        self._fields = {name: place for place, name in enumerate(_unique(schema.names))}
        self._shapes = {name: _shape(schema.field(n).type) for name, n in self._fields.items()}
        columns = tuple(
            each
            for name, place in self._fields.items()
            for each in _columns(schema.field(place), name, self._shapes[name])
        )
        self.parts = (
            Part(
                name="",
                form="table",
                rows=sum(each.metadata.num_rows for each in files),
                columns=columns,
                attributes=_metadata(schema.metadata),
            ),
        )

    def rows(self, part: Part, column: Column) -> int:
        """Return the rows of the table."""
        del column
        return part.rows or 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks; they end where a row group does."""
        del part
        wanted = {name: self._field(name) for name in names}
        once = list(dict.fromkeys(name for name, _ in wanted.values()))
        all_names = self._files[0].schema_arrow.names
        # By their names where that is enough; twice the same name means all columns.
        some = [all_names[self._fields[name]] for name in once]
        columns = some if len(set(all_names)) == len(all_names) else None
        for file in self._files:
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                places = {
                    name: batch.schema.names.index(name) if columns else self._fields[name]
                    for name in once
                }
                arrays = {name: batch.column(place) for name, place in places.items()}
                yield {
                    name: _read(arrays[field], self._shapes[field], said)
                    for name, (field, said) in wanted.items()
                }

    def _field(self, name: str) -> tuple[str, str]:
        """Return the field that a column is of, and which of its columns it is."""
        for said in (NULLS, STRUCTURE):
            if name not in self._fields and name.endswith(said):
                return name.removesuffix(said), said
        return name, ""

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: Parquet is read in its own order."""
        del part, names, rows


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _columns(field: Any, name: str, shape: tuple[int, ...]) -> Iterator[Column]:  # noqa: ANN401
    """Yield the column of a field; of lists also which elements are null, of trees the rest."""
    yield replace(_column(field, shape), name=name)
    if _is_list(field.type):
        yield Column(name=f"{name}{NULLS}", dtype="string")
    elif _is_nested(field.type):
        yield Column(name=f"{name}{STRUCTURE}", dtype="string")


def _column(field: Any, shape: tuple[int, ...]) -> Column:  # noqa: ANN401
    attributes = {**_metadata(field.metadata), **dict(_inner_metadata(field.type, ""))}
    types = pa.types
    if types.is_timestamp(field.type) and field.type.tz:
        attributes["time zone"] = field.type.tz
    if types.is_temporal(field.type) or types.is_fixed_size_binary(field.type):
        attributes["type"] = str(field.type)
    if types.is_dictionary(field.type) and field.type.ordered:
        attributes["ordered"] = True
    if not field.nullable:
        attributes["nullable"] = False
    unit = attributes.pop("unit", None) or attributes.pop("units", None)
    return Column(
        name=field.name,
        dtype=_type(field.type),
        unit=None if unit is None else str(unit),
        shape=shape,
        attributes=attributes,
    )


def _inner_metadata(kind: Any, above: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield what is said of the fields inside of a nested type."""
    for place in range(getattr(kind, "num_fields", 0)):
        field = kind.field(place)
        name = f"{above}{field.name}"
        for key, value in _metadata(field.metadata).items():
            yield f"{name}: {key}", value
        yield from _inner_metadata(field.type, f"{name}.")


def _is_nested(kind: Any) -> bool:  # noqa: ANN401
    """Tell a type whose rows are trees: of numbers in some structure."""
    return bool(pa.types.is_nested(kind)) and not _shape(kind) and not _is_list(kind)


def _read(array: Any, shape: tuple[int, ...], said: str) -> Values:  # noqa: ANN401
    """Return one column of a field."""
    if said == NULLS:
        return Values(_null_elements(array))
    if _is_nested(array.type):
        return _trees(array, structure=said == STRUCTURE)
    return _values(array, shape)


def _null_elements(array: Any) -> NDArray[Any]:  # noqa: ANN401
    """Return for each list which of its elements are null."""
    found = np.full(len(array), "", dtype=object)
    if array.flatten().null_count:
        for place, each in enumerate(array):
            nulls = () if not each.is_valid else np.flatnonzero(each.values.is_null())
            found[place] = ", ".join(map(str, nulls))
    return found


def _trees(array: Any, *, structure: bool) -> Values:  # noqa: ANN401
    """Return the numbers of each row in their order, or what is left of it without them."""
    found = np.empty(len(array), dtype=object)
    for place, each in enumerate(array.to_pylist()):
        held: list[Any] = []
        text = _without_numbers(each, held)
        found[place] = text if structure else _one_type(held)
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return Values(found, missing)


def _without_numbers(tree: Any, held: list[Any]) -> str:  # noqa: ANN401
    """Return a row as text with a mark for each of its numbers, which go where they are held."""
    if isinstance(tree, dict):
        inner = (f"{key!r}: {_without_numbers(each, held)}" for key, each in tree.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(tree, (list, tuple)):
        return f"[{', '.join(_without_numbers(each, held) for each in tree)}]"
    if isinstance(tree, (int, float, Decimal)) and not isinstance(tree, bool):
        held.append(tree)
        return "#"
    return repr(tree)


def _one_type(items: list[Any]) -> NDArray[Any]:
    """Return numbers as doubles where they keep their digits, else as Python has them."""
    if all(isinstance(each, float) for each in items):
        return np.array(items, dtype=np.float64)
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


def _metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    pairs = {key.decode("utf-8", "replace"): value for key, value in (metadata or {}).items()}
    return {key: plain_value(each) for key, each in pairs.items() if key not in WRITERS_OWN}


def _shape(kind: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Return the shape of lists of a fixed size, of numbers."""
    if pa.types.is_fixed_size_list(kind) and pa.types.is_primitive(kind.value_type):
        return (int(kind.list_size),)
    return ()


def _type(kind: Any) -> str:  # noqa: ANN401
    """Return the name of a type; the first that holds."""
    types = pa.types
    if _shape(kind) or types.is_dictionary(kind):
        return _type(kind.value_type)
    if types.is_decimal(kind):
        return str(kind)
    if _is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if types.is_primitive(kind) and not types.is_temporal(kind):
        return type_name(np.dtype(kind.to_pandas_dtype()))
    if _is_nested(kind):
        return f"object ({kind})"
    named = {
        "datetime": types.is_timestamp(kind) or types.is_date(kind),
        "string": types.is_string(kind) or types.is_large_string(kind),
        "int64": types.is_time(kind) or types.is_duration(kind),
    }
    return next((name for name, holds in named.items() if holds), "object")


def _is_list(kind: Any) -> bool:  # noqa: ANN401
    """Tell lists of numbers of any length."""
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind)):
        return False
    return bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))


def _values(array: Any, shape: tuple[int, ...]) -> Values:  # noqa: ANN401
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if shape:
        inner = _values(_elements(array, shape[0]), ())
        data = inner.data.reshape(len(array), *shape)
        every = None if missing is None else np.broadcast_to(missing[:, None], data.shape)
        if inner.missing is not None:
            every = inner.missing.reshape(data.shape) | (False if every is None else every)
        return Values(data, every)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = _type(array.type)
    if _is_list(array.type):
        return Values(_lists(array), missing)
    if pa.types.is_decimal(array.type):
        return Values(_objects(array, Decimal(0)), missing)
    if kind in {"string", "object"}:
        texts = array.to_pylist()
        if kind == "object":
            texts = [None if each is None else repr(each) for each in texts]
        data = np.empty(len(texts), dtype=object)
        data[:] = ["" if each is None else each for each in texts]
        return Values(data, missing)
    return Values(_numbers(array, kind), missing)


def _objects(array: Any, instead: Decimal) -> NDArray[Any]:  # noqa: ANN401
    """Return values as Python has them, with all their digits."""
    data = np.empty(len(array), dtype=object)
    data[:] = [instead if each is None else each for each in array.to_pylist()]
    return data


def _lists(array: Any) -> NDArray[Any]:  # noqa: ANN401
    """Return lists as arrays; null in one of them is a 0, and told apart by a column of its own."""
    data = np.empty(len(array), dtype=object)
    for place, each in enumerate(array):
        values = each.values if each.is_valid else None
        if values is not None and values.null_count:
            # Filled rather than converted: integers with nulls would become floats.
            values = values.fill_null(pa.scalar(0).cast(values.type))
        data[place] = np.zeros(0) if values is None else values.to_numpy(zero_copy_only=False)
    return data


def _elements(array: Any, size: int) -> Any:  # noqa: ANN401
    """Return all elements; of a row that is null, some of its length."""
    if array.null_count:
        rows = [[None] * size if each is None else each for each in array.to_pylist()]
        return pa.array([each for row in rows for each in row], array.type.value_type)
    return array.flatten()


def _numbers(array: Any, kind: str) -> NDArray[Any]:  # noqa: ANN401
    unit = "us"
    if kind == "datetime":
        unit = "ns" if getattr(array.type, "unit", "") == "ns" else "us"
        array = array.cast(pa.timestamp(unit), safe=False).cast(pa.int64())
    elif pa.types.is_temporal(array.type):
        wide = pa.types.is_duration(array.type) or array.type.bit_width > 32  # noqa: PLR2004
        array = array.cast(pa.int64() if wide else pa.int32())
    if array.null_count:
        # Filled rather than converted: integers with nulls would become floats.
        array = array.fill_null(pa.scalar(0, pa.int64()).cast(array.type))
    data: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return data.view(f"datetime64[{unit}]") if kind == "datetime" else data
