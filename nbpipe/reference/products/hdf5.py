"""HDF5 and NetCDF-4: a tree of groups with arrays, their attributes, dimensions and links.

A dataset of records is a table of its own, whatever its shape. Links are compared by where they
lead, and not followed: what they lead to inside the file is compared under its own name. Imports
h5py; see `protocol` for how this module is reached.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.arrays import unpacked
from nbpipe.reference.products.protocol import Values
from nbpipe.reference.products.types import plain_value, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

STRUCTURE = frozenset(
    {
        *("REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"),
        *("_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict"),
    }
)
"""Attributes with which the libraries hold dimensions together; what they say is compared."""
COMMON = frozenset({"int64", "float64", "bool", "object"})
"""Types of attributes that go without saying."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Hdf5Product]:
    """Open an HDF5 file, without a lock: it may lie on a read-only file system."""
    with h5py.File(file, "r", locking=False) as tree:
        yield Hdf5Product(tree, "netcdf" if "_NCProperties" in tree.attrs else kind)


class Hdf5Product:
    """An open HDF5 file."""

    notes: tuple[str, ...] = ()

    def __init__(self, tree: Any, kind: str) -> None:  # noqa: ANN401  (h5py has no types)
        self.kind = kind
        self._tree = tree
        self._uncompared: list[str] = []
        self.parts = tuple(self._parts())

    @property
    def uncompared(self) -> tuple[str, ...]:
        """Datasets whose type is none of those that are compared."""
        return tuple(self._uncompared)

    def rows(self, part: Part, column: Column) -> int:
        """Return the extent of the first axis; 1 of a single value."""
        if part.form == "table":
            return part.rows or 0
        dataset = self._tree[_path(part, column.name)]
        if dataset.shape is None or not _is_readable(dataset.dtype):
            return 0
        return int(dataset.shape[0]) if dataset.shape else 1

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        if part.form == "table":
            yield from self._records(self._tree[part.name], names, rows)
            return
        datasets = {name: self._tree[_path(part, name)] for name in names}
        first = next(iter(datasets.values()))
        for start in range(0, first.shape[0] if first.shape else 1, rows):
            part_of = slice(start, start + rows)
            yield {name: self._read(dataset, part_of) for name, dataset in datasets.items()}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: HDF5 reads single rows slowly."""
        del part, names, rows

    def _records(
        self,
        dataset: Any,  # noqa: ANN401
        names: Sequence[str],
        rows: int,
    ) -> Iterator[dict[str, Values]]:
        """Yield records in blocks; those of a shape of their own along its first axis."""
        inner = int(np.prod(dataset.shape[1:])) if dataset.shape else 1
        step = max(1, rows // max(inner, 1))
        for start in range(0, dataset.shape[0] if dataset.shape else 1, step):
            records = dataset[start : start + step] if dataset.shape else dataset[()]
            flat = np.asarray(records).reshape(-1)
            found = {}
            for name in names:
                values, dtype = _leaf(flat, dataset.dtype, name)
                found[name] = Values(self._comparable(values, dtype.base))
            yield found

    def _parts(self) -> Iterator[Part]:
        found = _Found()
        found.visit("/", self._tree["/"])
        self._uncompared += found.unreadable
        for name, group in found.groups.items():
            columns = tuple(self._column(key, item) for key, item in found.datasets[name].items())
            attributes = {**self._attributes(group), **found.links[name]}
            for key, item in found.types[name].items():
                attributes |= {f"{key} (type) {n}": v for n, v in self._attributes(item).items()}
            if name == "/" and (block := _user_block(self._tree)):
                attributes["user block"] = block
            yield Part(name=name, form="group", columns=columns, attributes=attributes)
        yield from (self._table(*each) for each in found.tables)

    def _table(self, name: str, dataset: Any) -> Part:  # noqa: ANN401
        columns = []
        for each, dtype in _leaves(dataset.dtype):
            column = Column(
                name=each,
                dtype=_type(dtype.base),
                shape=tuple(dtype.shape),
                attributes=_enum(dtype.base),
            )
            columns.append(column)
            if not _is_readable(dtype.base):
                self._uncompared.append(f"{name}/{each} ({dtype.base})")
        attributes = {**self._attributes(dataset), **_layout(dataset)}
        if dataset.shape is not None and len(dataset.shape) != 1:
            attributes["shape"] = " x ".join(map(str, dataset.shape)) or "single"
        return Part(
            name=name,
            form="table",
            rows=0 if dataset.shape is None else int(np.prod(dataset.shape)),
            columns=tuple(columns),
            attributes=attributes,
        )

    def _column(self, name: str, dataset: Any) -> Column:  # noqa: ANN401
        if not _is_readable(dataset.dtype):
            self._uncompared.append(f"{dataset.name} ({dataset.dtype})")
        attributes = {**self._attributes(dataset), **_layout(dataset), **_enum(dataset.dtype)}
        unit = attributes.pop("units", None)
        if unit is None and (unit := attributes.pop("unit", None)) is not None:
            attributes["unit in"] = "unit"
        if dataset.shape is None:
            attributes["shape"] = "empty"
        attributes |= _scales(dataset)
        return Column(
            name=name,
            dtype=_type(dataset.dtype),
            unit=None if unit is None else str(unit),
            shape=tuple(int(extent) for extent in dataset.shape or ()),
            dimensions=_dimensions(dataset),
            attributes=attributes,
        )

    def _attributes(self, item: Any) -> dict[str, Value]:  # noqa: ANN401
        found: dict[str, Value] = {}
        for name in item.attrs:
            if name in STRUCTURE:
                continue
            try:
                value = item.attrs[name]
                kept = item.attrs.get_id(name)
                said = _attribute_type(kept.dtype, kept.shape, value)
            except (OSError, TypeError, ValueError) as error:
                self._uncompared.append(f"attribute {name} of {item.name}: {error}")
                continue
            if name == "CLASS" and said == CLASS_TYPE and value == b"DIMENSION_SCALE":
                continue
            if name == "NAME" and "CLASS" in item.attrs and _is_own_name(value, item.name):
                continue
            found[name] = self._attribute(value)
            if said:
                found[f"type of {name}"] = said
        return found

    def _attribute(self, value: Any) -> Value:  # noqa: ANN401
        if isinstance(value, h5py.Empty):
            return None
        if isinstance(value, (h5py.Reference, h5py.RegionReference)):
            return self._target(value)
        if isinstance(value, np.ndarray) and value.dtype.kind == "O":
            texts = [self._element(each) for each in value.reshape(-1)]
            return plain_value(str(np.array(texts, dtype=object).reshape(value.shape).tolist()))
        return plain_value(value)

    def _read(self, dataset: Any, rows: slice) -> Values:  # noqa: ANN401
        selection: Any = rows if dataset.shape else ()
        if h5py.check_string_dtype(dataset.dtype) is not None:
            texts = dataset.asstr(errors="surrogateescape")[selection]
            return Values(np.atleast_1d(np.asarray(texts, dtype=object)))
        raw = dataset[selection]
        if not dataset.shape and dataset.dtype.kind == "O":  # one list, or one reference
            held = np.empty(1, dtype=object)
            held[0] = raw
            raw = held
        data = self._comparable(np.atleast_1d(np.asarray(raw)), dataset.dtype)
        if self.kind == "netcdf":
            return unpacked(data, dataset.attrs)
        fill = dataset.attrs.get("_FillValue")
        return unpacked(data, {} if fill is None else {"_FillValue": fill})

    def _comparable(self, data: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return values in the machine's byte order; lists, references and raw bytes as objects."""
        if dtype.kind not in "OV":
            return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
        flat = np.empty(data.size, dtype=object)
        flat[:] = [self._element(each) for each in data.reshape(-1)]
        return flat.reshape(data.shape)

    def _element(self, value: Any) -> Any:  # noqa: ANN401
        """Return one value that has no type of numpy's: as a list, a text or bytes."""
        if isinstance(value, (h5py.Reference, h5py.RegionReference)):
            return self._target(value)
        if isinstance(value, np.void):
            return value.tobytes()
        if isinstance(value, np.ndarray) and value.dtype.kind in "OV":
            return str([self._element(each) for each in value])
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        return value

    def _target(self, reference: Any) -> str:  # noqa: ANN401
        """Return what a reference leads to; of a region, which part of it."""
        if not reference:
            return "(nowhere)"
        name = str(self._tree[reference].name)
        if isinstance(reference, h5py.RegionReference):
            region = h5py.h5r.get_region(reference, self._tree.id)
            return f"{name} {_selection(region)}"
        return name


@dataclass(slots=True)
class _Found:
    """What a file holds, by the groups' paths."""

    groups: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, dict[str, Value]] = field(default_factory=dict)
    """What leads elsewhere, and where; named types as well."""
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    """What has a type that numpy has not."""
    tables: list[tuple[str, Any]] = field(default_factory=list)
    _seen: dict[Any, str] = field(default_factory=dict)
    """Object -> the first path that it has: every other one is a hard link."""

    def visit(self, name: str, group: Any) -> None:  # noqa: ANN401
        """Take a group and everything below it into account."""
        self._first(group, name)
        self.groups[name], self.datasets[name] = group, {}
        self.links[name], self.types[name] = {}, {}
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.SoftLink):
                self.links[name][f"{key} ->"] = f"soft link to {link.path}"
            elif isinstance(link, h5py.ExternalLink):
                self.links[name][f"{key} ->"] = f"link to {link.path} in {link.filename}"
            else:
                self._add(name, key, group[key])

    def _add(self, above: str, key: str, item: Any) -> None:  # noqa: ANN401
        path = f"{above.rstrip('/')}/{key}"
        first = self._first(item, path)
        if first != path:
            self.links[above][f"{key} ->"] = f"hard link to {first}"
        elif isinstance(item, h5py.Group):
            self.visit(path, item)
        elif isinstance(item, h5py.Datatype):
            self.links[above][f"{key} (type)"] = _described(item.dtype)
            self.types[above][key] = item
        elif not _has_type(item):
            self.unreadable.append(f"{path}: numpy has no such type")
        elif item.dtype.names:
            self.tables.append((path, item))
        elif _is_only_dimension(item):
            extent = "unlimited" if item.maxshape[0] is None else item.shape[0]
            self.links[above][f"dimension {key}"] = extent
        else:
            self.datasets[above][key] = item

    def _first(self, item: Any, path: str) -> str:  # noqa: ANN401
        info = h5py.h5o.get_info(item.id)
        return self._seen.setdefault((info.fileno, info.addr), path)


def _is_only_dimension(dataset: Any) -> bool:  # noqa: ANN401
    """Tell what netCDF-4 writes for a dimension that has no coordinates."""
    name = dataset.attrs.get("NAME") if dataset.shape and dataset.is_scale else None
    return isinstance(name, bytes) and name.startswith(b"This is a netCDF dimension but not")


def _has_type(dataset: Any) -> bool:  # noqa: ANN401
    try:
        return dataset.dtype is not None
    except TypeError:
        return False


CLASS_TYPE = "16 bytes, null-terminated, ASCII"


def _is_own_name(value: Any, path: str) -> bool:  # noqa: ANN401
    """Tell the name that netCDF-4 gives a scale: that of its variable."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text == path.rpartition("/")[2]


def _attribute_type(dtype: np.dtype[Any], shape: Any, value: Any) -> str:  # noqa: ANN401
    """Return what an attribute's value does not show: its type, and that it is an array of one."""
    if isinstance(value, h5py.Empty):
        return f"empty {_string_type(dtype) or _described(dtype)}"
    named = _string_type(dtype) or _described(dtype)
    said = [] if named in COMMON or named in {"string", "reference"} else [named]
    if shape and int(np.prod(shape)) == 1:
        said.append(f"array of {' x '.join(map(str, shape))}")
    return ", ".join(said)


def _string_type(dtype: np.dtype[Any]) -> str:
    """Return the length of strings of a fixed one; empty for all others."""
    info = h5py.check_string_dtype(dtype)
    if info is None or info.length is None:
        return ""
    kept = h5py.h5t.py_create(dtype, logical=True)
    padding = {0: "null-terminated", 1: "null-padded", 2: "space-padded"}[kept.get_strpad()]
    return f"{info.length} bytes, {padding}, {'ASCII' if info.encoding == 'ascii' else 'UTF-8'}"


def _enum(dtype: np.dtype[Any]) -> dict[str, Value]:
    values = h5py.check_enum_dtype(dtype)
    if values is None:
        return {}
    return {"enum": ", ".join(f"{key}={value}" for key, value in values.items())}


def _layout(dataset: Any) -> dict[str, Value]:  # noqa: ANN401
    """Return what of a dataset's layout its readers meet: growth, other files, kinds of strings."""
    found: dict[str, Value] = {}
    if dataset.shape and dataset.maxshape != dataset.shape:
        extents = zip(dataset.shape, dataset.maxshape, strict=True)
        found["may grow to"] = " x ".join(
            "unlimited" if most is None else "its size" if most == now else str(most)
            for now, most in extents
        )
    if dataset.external:
        found["stored in"] = "; ".join(f"{name} at {at}" for name, at, _ in dataset.external)
    if dataset.is_virtual:
        sources = (
            f"{_selection(each.vspace)}: {each.dset_name} in {each.file_name} "
            f"{_selection(each.src_space)}"
            for each in dataset.virtual_sources()
        )
        found["virtual"] = plain_value("; ".join(sources))
    kept = dataset.id.get_type()
    if isinstance(kept, h5py.h5t.TypeStringID) and not kept.is_variable_str():
        padding = {0: "null-terminated", 1: "null-padded", 2: "space-padded"}[kept.get_strpad()]
        encoding = {0: "ASCII", 1: "UTF-8"}[kept.get_cset()]
        found["strings"] = f"{kept.get_size()} bytes, {padding}, {encoding}"
    elif isinstance(kept, h5py.h5t.TypeOpaqueID):
        found["tag"] = kept.get_tag().decode("utf-8", "replace")
    return found


def _selection(space: Any) -> str:  # noqa: ANN401
    """Return which elements are chosen, all of them."""
    if space.get_simple_extent_ndims() == 0 or space.get_select_npoints() == 0:
        return "all" if space.get_select_npoints() else "nothing"
    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_POINTS:
        return str(plain_value(space.get_select_elem_pointlist()))
    if kind == h5py.h5s.SEL_HYPERSLABS:
        return str(plain_value(space.get_select_hyper_blocklist()))
    return "all"


def _user_block(tree: Any) -> str:  # noqa: ANN401
    size = tree.userblock_size
    if not size:
        return ""
    with open(tree.filename, "rb") as stream:  # noqa: PTH123  (a name, as h5py has it)
        return f"{size} bytes, SHA-256 {hashlib.sha256(stream.read(size)).hexdigest()}"


def _leaves(dtype: np.dtype[Any], above: str = "") -> Iterator[tuple[str, np.dtype[Any]]]:
    """Yield the fields of records, those of records in them by their path."""
    for name in dtype.names or ():
        inner = dtype[name]
        if inner.names and not inner.shape:
            yield from _leaves(inner, f"{above}{name}.")
        else:
            yield f"{above}{name}", inner


def _leaf(
    records: NDArray[Any], dtype: np.dtype[Any], wanted: str
) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return the values of a field, and its type as the file has it."""
    if wanted in (dtype.names or ()):
        return records[wanted], dtype[wanted]
    for name in dtype.names or ():
        if wanted.startswith(f"{name}.") and dtype[name].names:
            return _leaf(records[name], dtype[name], wanted.removeprefix(f"{name}."))
    raise KeyError(wanted)


def _scales(dataset: Any) -> dict[str, Value]:  # noqa: ANN401
    """Return what the names of the dimensions do not say: several scales, labels, other groups."""
    found: dict[str, Value] = {}
    group = dataset.parent.name.rstrip("/")
    for number, dimension in enumerate(dataset.dims if dataset.shape else ()):
        scales = [each.name for each in dimension.values()]
        if len(scales) > 1 or any(each.rpartition("/")[0] != group for each in scales):
            found[f"scales of dimension {number}"] = ", ".join(scales)
        if dimension.label and (scales or dataset.is_scale):
            found[f"label of dimension {number}"] = dimension.label
    return found


def _path(part: Part, name: str) -> str:
    return f"{part.name.rstrip('/')}/{name}"


def _is_readable(dtype: np.dtype[Any]) -> bool:
    """Tell what is compared value by value from nested records with types of their own."""
    if dtype.kind == "V":
        # The bytes of a record are compared as they are, unless they only point elsewhere.
        return dtype.names is None or not dtype.hasobject
    return dtype.kind in "biufcSMO"


def _type(dtype: np.dtype[Any]) -> str:
    if h5py.check_string_dtype(dtype):
        return "string"
    if (base := h5py.check_vlen_dtype(dtype)) is not None:
        return f"list of {_type(base)}"
    if h5py.check_ref_dtype(dtype) is not None:
        return "reference"
    return _described(dtype) if dtype.names else type_name(dtype)


def _described(dtype: np.dtype[Any]) -> str:
    """Return a type of somebody's own: its fields, or the names of its values."""
    if dtype.names:
        return ", ".join(f"{name}: {_type(dtype[name])}" for name in dtype.names)
    values = h5py.check_enum_dtype(dtype)
    named = "" if values is None else f" ({', '.join(f'{k}={v}' for k, v in values.items())})"
    return f"{_type(dtype)}{named}"


def _dimensions(dataset: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the names of the dimensions: of attached scales, or labels; none where none has."""
    if dataset.shape and dataset.is_scale:
        return (dataset.name.rpartition("/")[2],)
    names = []
    for dimension in dataset.dims if dataset.shape else ():
        scale = dimension[0].name.rpartition("/")[2] if len(dimension) else ""
        names.append(scale or dimension.label)
    return tuple(names) if any(names) else ()
