"""HDF5 and NetCDF-4: a tree of groups with arrays, their attributes and dimensions.

A dataset of records is a table of its own. Links that leave the file are not followed. Imports
h5py; see `reading` for how this module is reached.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.reading import Values
from nbpipe.reference.products.types import plain_value, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

STRUCTURE = frozenset(
    {
        *("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"),
        *("_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict"),
    }
)
"""Attributes with which the libraries hold dimensions together."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Hdf5Product]:
    """Open an HDF5 file, without a lock: it may lie on a read-only file system."""
    with h5py.File(file, "r", locking=False) as tree:
        yield Hdf5Product(tree, "netcdf" if "_NCProperties" in tree.attrs else kind)


class Hdf5Product:
    """An open HDF5 file."""

    def __init__(self, tree: Any, kind: str) -> None:  # noqa: ANN401  (h5py has no types)
        self.kind = kind
        self._tree = tree
        self._notes: list[str] = []
        self.parts = tuple(self._parts())

    @property
    def notes(self) -> tuple[str, ...]:
        """Datasets whose type is none of those that are compared."""
        return tuple(self._notes)

    def rows(self, part: Part, column: Column) -> int:
        """Return the extent of the first axis; 1 of a single value."""
        if part.form == "table":
            return part.rows or 0
        dataset = self._tree[_path(part, column.name)]
        if dataset.shape is None or not _is_readable(dataset):
            return 0
        return int(dataset.shape[0]) if dataset.shape else 1

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        if part.form == "table":
            dataset = self._tree[part.name]
            for start in range(0, dataset.shape[0], rows):
                records = dataset[start : start + rows]
                yield {name: _values(records[name], None) for name in names}
            return
        datasets = {name: self._tree[_path(part, name)] for name in names}
        first = next(iter(datasets.values()))
        for start in range(0, first.shape[0] if first.shape else 1, rows):
            part_of = slice(start, start + rows)
            yield {name: _read(dataset, part_of) for name, dataset in datasets.items()}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: HDF5 reads single rows slowly."""
        del part, names, rows

    def _parts(self) -> Iterator[Part]:
        groups: dict[str, Any] = {"/": self._tree}
        datasets: list[Any] = []

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Group):
                groups[f"/{name}"] = item
            elif isinstance(item, h5py.Dataset) and not _is_only_dimension(item):
                datasets.append(item)

        self._tree.visititems(visit)
        tables = [each for each in datasets if each.dtype.names and len(each.shape or ()) == 1]
        for name, group in groups.items():
            inside = [each for each in datasets if each.parent.name == name and each not in tables]
            columns = tuple(self._column(each) for each in inside)
            attributes = _attributes(group)
            yield Part(name=name, form="group", columns=columns, attributes=attributes)
        yield from (self._table(each) for each in tables)

    def _table(self, dataset: Any) -> Part:  # noqa: ANN401
        columns = []
        for name in dataset.dtype.names:
            field = dataset.dtype[name]
            columns.append(Column(name=name, dtype=_type(field.base), shape=tuple(field.shape)))
        return Part(
            name=dataset.name,
            form="table",
            rows=int(dataset.shape[0]),
            columns=tuple(columns),
            attributes=_attributes(dataset),
        )

    def _column(self, dataset: Any) -> Column:  # noqa: ANN401
        if not _is_readable(dataset):
            self._notes.append(f"{dataset.name}: its type, {dataset.dtype}, is not compared")
        attributes = _attributes(dataset)
        unit = attributes.pop("units", None) or attributes.pop("unit", None)
        return Column(
            name=dataset.name.rpartition("/")[2],
            dtype=_type(dataset.dtype),
            unit=None if unit is None else str(unit),
            shape=tuple(int(extent) for extent in dataset.shape or ()),
            dimensions=_dimensions(dataset),
            attributes=attributes,
        )


def _is_only_dimension(dataset: Any) -> bool:  # noqa: ANN401
    """Tell what netCDF-4 writes for a dimension that has no coordinates."""
    name = dataset.attrs.get("NAME") if dataset.shape and dataset.is_scale else None
    return isinstance(name, bytes) and name.startswith(b"This is a netCDF dimension but not")


def _path(part: Part, name: str) -> str:
    return f"{part.name.rstrip('/')}/{name}"


def _is_readable(dataset: Any) -> bool:  # noqa: ANN401
    """Tell numbers, bools and strings from references, opaque bytes and nested records."""
    text = h5py.check_string_dtype(dataset.dtype)
    return text is not None or dataset.dtype.kind in "biufcSM"


def _type(dtype: np.dtype[Any]) -> str:
    return "string" if h5py.check_string_dtype(dtype) else type_name(dtype)


def _read(dataset: Any, rows: slice) -> Values:  # noqa: ANN401
    selection: Any = rows if dataset.shape else ()
    if h5py.check_string_dtype(dataset.dtype) is not None:
        texts = dataset.asstr(errors="backslashreplace")[selection]
        return Values(np.atleast_1d(np.asarray(texts, dtype=object)))
    data = np.atleast_1d(np.asarray(dataset[selection]))
    return _values(data, dataset.attrs.get("_FillValue"))


def _values(data: NDArray[Any], fill: Any) -> Values:  # noqa: ANN401
    native = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    if fill is None or native.dtype.kind not in "biuf":
        return Values(native)
    value = np.asarray(fill).reshape(-1)[0]
    missing = np.isnan(native) if value != value else native == value  # noqa: PLR0124  (a NaN)
    return Values(native, missing)


def _attributes(item: Any) -> dict[str, Value]:  # noqa: ANN401
    found = {}
    for name in item.attrs:
        if name in STRUCTURE:
            continue
        try:
            value = item.attrs[name]
        except (OSError, TypeError, ValueError) as error:
            value = f"cannot be read: {error}"
        found[name] = plain_value(None if isinstance(value, h5py.Empty) else value)
    return found


def _dimensions(dataset: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the names of the dimensions: of attached scales, or labels; none where none has."""
    if dataset.shape and dataset.is_scale:
        return (dataset.name.rpartition("/")[2],)
    names = []
    for dimension in dataset.dims if dataset.shape else ():
        scale = dimension[0].name.rpartition("/")[2] if len(dimension) else ""
        names.append(scale or dimension.label)
    return tuple(names) if any(names) else ()
