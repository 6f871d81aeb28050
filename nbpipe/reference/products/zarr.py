"""Zarr 2 and 3: a tree of groups with arrays; of a folder, or of a zip archive. Imports zarr.

Chunks, codecs and their order are notes: they change how values are stored, not the values. No
array is read that only pickle can decode: a data product must not run code.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr import Array, Group
from zarr import open as open_zarr
from zarr.storage import LocalStore, ZipStore

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import dtype_of
from nbpipe.reference.products.protocol import Values
from nbpipe.reference.products.types import plain_value, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""xarray's names of dimensions in Zarr 2."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[ZarrProduct]:
    """Open a store: a folder, or a zip archive of one."""
    zipped = file.is_file()
    with closing(ZipStore(file, mode="r") if zipped else LocalStore(file, read_only=True)) as store:
        yield ZarrProduct(store, kind)


class ZarrProduct:
    """An open store."""

    def __init__(self, store: Any, kind: str) -> None:  # noqa: ANN401  (either store)
        self.kind = kind
        self._arrays: dict[tuple[str, str], tuple[Any, str]] = {}
        """Part and column -> the array, and the field of its records."""
        self._uncompared: list[str] = []
        self._notes: list[str] = []
        root = open_zarr(store=store, mode="r", use_consolidated=False)
        if isinstance(root, Array):
            columns = tuple(self._columns("/", "value", root))
            self.parts: tuple[Part, ...] = (Part(name="/", form="group", columns=columns),)
            return
        groups: dict[str, Any] = {"/": root}
        arrays: dict[str, dict[str, Any]] = {"/": {}}
        for path, item in sorted(root.members(max_depth=None), key=lambda pair: pair[0]):
            above, _, name = f"/{path}".rpartition("/")
            if isinstance(item, Group):
                groups[f"/{path}"] = item
                arrays.setdefault(f"/{path}", {})
            else:
                arrays.setdefault(above or "/", {})[name] = item
        self.parts = tuple(self._part(name, groups[name], arrays[name]) for name in groups)
        if not _agrees(store, root):
            self._uncompared.append("its consolidated metadata, which are not those of the arrays")

    @property
    def notes(self) -> tuple[str, ...]:
        """How each array is stored."""
        return tuple(self._notes)

    @property
    def uncompared(self) -> tuple[str, ...]:
        """Arrays that are not read."""
        return tuple(self._uncompared)

    def rows(self, part: Part, column: Column) -> int:
        """Return the extent of the first axis; 1 of a single value."""
        found = self._arrays.get((part.name, column.name))
        if found is None:
            return 0
        return int(found[0].shape[0]) if found[0].shape else 1

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        chosen = {name: self._arrays[part.name, name] for name in names}
        first = next(iter(chosen.values()))[0]
        for start in range(0, first.shape[0] if first.shape else 1, rows):
            yield {
                name: Values(_read(array, field, slice(start, start + rows)))
                for name, (array, field) in chosen.items()
            }

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: chunks are read as they lie."""
        del part, names, rows

    def _part(self, name: str, group: Any, arrays: dict[str, Any]) -> Part:  # noqa: ANN401
        columns = [each for key in arrays for each in self._columns(name, key, arrays[key])]
        attributes = _attributes(group)
        if name == "/":
            attributes["zarr format"] = group.metadata.zarr_format
        return Part(name=name, form="group", columns=tuple(columns), attributes=attributes)

    def _columns(self, part: str, name: str, array: Any) -> Iterator[Column]:  # noqa: ANN401
        whole = f"{part.rstrip('/')}/{name}"
        self._notes.append(f"{whole}: {_storage(array)}")
        attributes = _attributes(array)
        dimensions = getattr(array.metadata, "dimension_names", None)
        dimensions = dimensions or array.attrs.asdict().get(DIMENSIONS) or ()
        unit = attributes.pop("units", None)
        attributes |= {"fill value": plain_value(array.metadata.fill_value)}
        readable = "pickle" not in _storage(array)
        if not readable:
            self._uncompared.append(f"{whole}: only pickle can read it")
        for field in array.dtype.names or ("",):
            dtype = array.dtype[field] if field else array.dtype
            label = f"{name}.{field}" if field else name
            if readable:
                self._arrays[part, label] = array, field
            yield Column(
                name=label,
                dtype=_type(dtype),
                unit=None if unit is None else str(unit),
                shape=(*map(int, array.shape), *dtype.shape),
                dimensions=tuple(str(each) for each in dimensions),
                attributes={**attributes, **_exact_type(dtype)},
            )


def _read(array: Any, field: str, rows: slice) -> NDArray[Any]:  # noqa: ANN401
    data = np.asarray(array[rows] if array.shape else array[...])
    data = np.atleast_1d(data[field] if field else data)
    if data.dtype.kind == "m":
        return data.astype(np.int64)
    if data.dtype.kind in "OT":
        return data.astype(object)
    if data.dtype.kind == "V":
        found = np.empty(data.size, dtype=object)
        found[:] = [each.tobytes() for each in data.reshape(-1)]
        return found.reshape(data.shape)
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def _type(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "O":
        return dtype_of(np.empty(0, dtype=object))
    return type_name(dtype.base)


def _exact_type(dtype: np.dtype[Any]) -> dict[str, Value]:
    """Return what a type says beyond its name: units of times, lengths of strings."""
    return {"type": str(dtype.newbyteorder("="))} if dtype.base.kind in "mMSUV" else {}


def _attributes(item: Any) -> dict[str, Value]:  # noqa: ANN401
    found = item.attrs.asdict()
    return {
        key: plain_value(np.array(value) if _is_vector(value) else value)
        for key, value in sorted(found.items())
        if key != DIMENSIONS
    }


def _is_vector(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and len(value) > 1 and all(type(each) is float for each in value)


def _storage(array: Any) -> str:  # noqa: ANN401
    """Return how an array is stored: format, chunks, codecs."""
    codecs = [*(array.filters or ()), *(array.compressors or ())]
    names = [str(getattr(each, "codec_id", None) or each) for each in codecs]
    said = (
        f"Zarr {array.metadata.zarr_format}, chunks {' x '.join(map(str, array.chunks)) or 'none'}"
    )
    order = getattr(array.metadata, "order", "")
    kept = array.metadata.dtype if hasattr(array.metadata, "dtype") else ""
    return ", ".join(filter(None, (said, order, str(kept), *names)))


def _agrees(store: Any, root: Any) -> bool:  # noqa: ANN401
    """Tell whether consolidated metadata, where there are any, say what the arrays' own do."""
    try:
        other = open_zarr(store=store, mode="r", use_consolidated=True)
    except ValueError:
        return True
    return _told(root) == _told(other)


def _told(group: Any) -> dict[str, str]:  # noqa: ANN401
    found = {"": repr(group.attrs.asdict())}
    for path, item in group.members(max_depth=None):
        shape = repr((item.shape, item.dtype)) if isinstance(item, Array) else ""
        found[path] = f"{shape} {item.attrs.asdict()!r}"
    return found
