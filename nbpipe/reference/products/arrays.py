"""Arrays of numpy (.npy, .npz) and NetCDF classic. Classic NetCDF needs scipy; see `protocol`."""

from __future__ import annotations

import hashlib
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct, dtype_of
from nbpipe.reference.products.protocol import NoLibrary, ProductError, Values
from nbpipe.reference.products.types import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value
    from nbpipe.reference.products.protocol import Product


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Open a file of arrays."""
    if kind == "netcdf3":
        yield _netcdf3(file)
    elif kind == "npy":
        with file.open("rb") as stream:
            yield _arrays(kind, _one_after_another(stream))
    else:
        yield _npz(file)


def _npz(file: Path) -> Product:
    with zipfile.ZipFile(file) as archive:
        found: dict[str, NDArray[Any] | str] = {}
        for info in archive.infolist():
            with archive.open(info) as stream:
                if info.filename.endswith(".npy"):
                    found[info.filename.removesuffix(".npy")] = _loaded(stream)
                else:
                    found[info.filename] = hashlib.sha256(stream.read()).hexdigest()
    return _arrays("npz", found)


def _one_after_another(stream: BufferedReader) -> dict[str, NDArray[Any] | str]:
    """Return the arrays of a file, which may hold several, and what comes after them."""
    found: dict[str, NDArray[Any] | str] = {}
    while not found or stream.peek(1):
        name = f"array ({len(found) + 1})" if found else "array"
        start = stream.tell()
        found[name] = _loaded(stream)
        if isinstance(found[name], str):
            stream.seek(start)
            rest = hashlib.file_digest(stream, "sha256").hexdigest()
            if start:
                found.pop(name)
                found["trailing bytes"] = rest
            break
    return found


def _loaded(stream: Any) -> NDArray[Any] | str:  # noqa: ANN401  (an open file of either library)
    """Return an array; of one that only pickle can read, what is wrong with it.

    Nothing is unpickled: a data product must not run code.
    """
    try:
        loaded: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except ValueError as error:
        return f"not read: {error}"
    return loaded


def _arrays(kind: str, found: dict[str, NDArray[Any] | str]) -> Product:
    columns, values, uncompared = [], {}, []
    attributes: dict[str, Value] = {}
    for name, array in found.items():
        if isinstance(array, str):
            attributes[name] = array
            if array.startswith("not read"):
                uncompared.append(f"{name}: {array}")
            continue
        if (described := _described(array.dtype)) is not None:
            attributes[f"type of {name}"] = described
        for field, each in _fields(name, array):
            columns.append(Column(name=field, dtype=dtype_of(each), shape=each.shape))
            values[field] = Values(np.atleast_1d(_readable(each)))
    part = Part(name="", form="group", columns=tuple(columns), attributes=attributes)
    return HeldProduct(kind, [(part, values)], uncompared=tuple(uncompared))


def _described(dtype: np.dtype[Any]) -> str | None:
    """Return what a type says beyond its name: units, lengths, the layout of records."""
    if dtype.kind in "mMSUV":
        return str(dtype.newbyteorder("="))
    return None


def _fields(name: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield an array, or the fields of an array of records."""
    if array.dtype.names is None:
        yield name, array
        return
    for field in array.dtype.names:
        yield from _fields(f"{name}.{field}", array[field])


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    """Return values that can be compared, in the machine's byte order; raw bytes as bytes."""
    if array.dtype.kind == "V":
        flat = np.ascontiguousarray(array).reshape(-1)
        texts = np.empty(array.size, dtype=object)
        texts[:] = [each.tobytes() for each in flat]
        return texts.reshape(array.shape)
    if array.dtype.kind == "m":
        return array.astype(np.int64)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _netcdf3(file: Path) -> Product:
    try:
        from scipy.io import netcdf_file  # noqa: PLC0415  (slow)
    except ImportError as error:
        raise NoLibrary.of("scipy") from error
    try:
        with netcdf_file(file, "r", mmap=False, maskandscale=False) as tree:
            columns, values = [], {}
            for name, variable in tree.variables.items():
                attributes = _attributes(variable)
                data = np.array(variable.data)  # a copy: the file is closed before it is compared
                columns.append(
                    Column(
                        name=name,
                        dtype=dtype_of(data.astype(data.dtype.newbyteorder("="))),
                        unit=_unit(attributes),
                        shape=data.shape,
                        dimensions=tuple(variable.dimensions),
                        attributes=attributes,
                    )
                )
                values[name] = unpacked(np.atleast_1d(_readable(data)), variable._attributes)  # noqa: SLF001
            attributes = _attributes(tree)
            for name, size in tree.dimensions.items():
                attributes[f"dimension {name}"] = "unlimited" if size is None else size
    # scipy checks nothing of a header: a damaged one shows as whatever it runs into.
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ProductError(f"it is damaged: {error}") from error
    part = Part(name="/", form="group", columns=tuple(columns), attributes=attributes)
    return HeldProduct("netcdf", [(part, values)])


def unpacked(data: NDArray[Any], attributes: Any) -> Values:  # noqa: ANN401  (a mapping)
    """Return what packed numbers mean, and which of them are missing.

    Source of the rules: NetCDF Users Guide, appendix A: `scale_factor`, `add_offset`,
    `_FillValue`, `missing_value`.
    """
    missing = None
    for name in ("_FillValue", "missing_value"):
        if name in attributes and data.dtype.kind in "biuf":
            for value in np.atleast_1d(np.asarray(attributes[name])):
                gone = np.isnan(data) if value != value else data == value  # noqa: PLR0124  (a NaN)
                missing = gone if missing is None else missing | gone
    scale, offset = (_factor(attributes, name) for name in ("scale_factor", "add_offset"))
    if data.dtype.kind in "iuf" and (scale is not None or offset is not None):
        data = data * np.float64(1 if scale is None else scale)
        data += np.float64(offset or 0)
    return Values(data, missing)


def _factor(attributes: Any, name: str) -> float | None:  # noqa: ANN401
    try:
        return float(np.asarray(attributes[name]).reshape(-1)[0]) if name in attributes else None
    except (TypeError, ValueError, IndexError):
        return None


def _attributes(item: Any) -> dict[str, Value]:  # noqa: ANN401  (scipy has no types)
    return {name: plain_value(value) for name, value in item._attributes.items()}  # noqa: SLF001


def _unit(attributes: dict[str, Value]) -> str | None:
    unit = attributes.pop("units", None)
    return None if unit is None else str(unit)
