"""FITS: headers for the schema; tables from the raw records, images section by section.

Source of what a column's format means: the FITS standard 4.0, sections 7.3 (binary tables) and
4.4.2 (scaling). Imports astropy; see `protocol` for how this module is reached.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.protocol import ProductError, Values
from nbpipe.reference.products.types import plain_value, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

STRUCTURE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|TFIELDS|THEAP|END|BSCALE|BZERO|BLANK"
    r"|(TTYPE|TFORM|TUNIT|TDIM|TNULL|TSCAL|TZERO|TDISP|TBCOL)\d+"
)
"""Keywords that describe the bytes: the schema says it already."""

UNPRINTABLE = re.compile(rb"[^ -~]")
COMMENTARY = frozenset({"COMMENT", "HISTORY"})
STANDARD = frozenset({"EXTNAME", "EXTVER", "EXTLEVEL", "INHERIT", "BUNIT", "GROUPS"})
"""Keywords whose comments are the writing library's."""

SIGN = {"i": {2: 1 << 15, 4: 1 << 31, 8: 1 << 63}, "u": {1: -128}}
"""TZERO of the integers that FITS has no format for."""

KNOWN = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU, fits.TableHDU, fits.BinTableHDU)
GROUPS = fits.GroupsHDU
"""Random groups (section 6 of the standard), as UVFITS has them: a primary HDU of rows."""

BITPIX = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
LISTS = {
    "L": "bool",
    "B": "uint8",
    "I": "int16",
    "J": "int32",
    "K": "int64",
    "A": "string",
    "E": "float32",
    "D": "float64",
    "C": "complex64",
    "M": "complex128",
    "X": "bits",
}
"""Letters of the formats of lists (table 18 of the standard)."""
UNSIGNED = {16: "uint16", 32: "uint32", 64: "uint64", 8: "int8"}


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[FitsProduct]:
    """Open a FITS file, gzipped ones included."""
    # Without astropy's maps: they refuse scaled images, and a section is read from the file.
    with fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=False) as hdus:
        yield FitsProduct(hdus, kind, file)


class FitsProduct:
    """An open FITS file."""

    def __init__(self, hdus: Any, kind: str, file: Path) -> None:  # noqa: ANN401  (no types)
        self.kind = kind
        self.notes: tuple[str, ...] = ()
        self.uncompared = tuple(
            f"HDU {number} ({type(hdu).__name__})"
            for number, hdu in enumerate(hdus)
            if not isinstance(hdu, KNOWN)
        )
        if not _is_gzip(file):
            self.uncompared += tuple(_odd_padding(hdus, file))
        self._hdus: dict[str, Any] = {}
        for number, hdu in enumerate(hdus):
            self._hdus[self._name(hdu, number)] = hdu
        self._tables: dict[str, NDArray[Any]] = {}
        self._map = None if _is_gzip(file) else file
        if self._map:
            _check_length(hdus, file)
        self.parts = tuple(_part(name, hdu) for name, hdu in self._hdus.items())

    def _name(self, hdu: Any, number: int) -> str:  # noqa: ANN401
        """Return EXTNAME, with EXTVER or the number where that is not enough."""
        name = hdu.name or ("PRIMARY" if number == 0 else f"HDU {number}")
        if name in self._hdus and hdu.ver != 1:
            name = f"{name},{hdu.ver}"
        return name if name not in self._hdus else f"{name} (HDU {number})"

    def rows(self, part: Part, column: Column) -> int:
        """Return the rows of a table, or the extent of an image's first axis."""
        if part.form == "table":
            return part.rows or 0
        return column.shape[0] if column.shape else 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        hdu = self._hdus[part.name]
        if part.form != "table":
            for start in range(0, part.columns[0].shape[0], rows):
                yield {names[0]: Values(_native(np.asarray(hdu.section[start : start + rows])))}
            return
        raw = self._raw(part.name)
        for start in range(0, len(raw), rows):
            yield self._columns(hdu, raw[start : start + rows], names, slice(start, start + rows))

    def take(
        self, part: Part, names: Sequence[str], rows: NDArray[Any]
    ) -> dict[str, Values] | None:
        """Return rows of a table in any order."""
        if part.form != "table":
            return None
        return self._columns(self._hdus[part.name], self._raw(part.name)[rows], names, rows)

    def _raw(self, name: str) -> NDArray[Any]:
        """Return the records of a table as they lie in the file."""
        if name not in self._tables:
            hdu = self._hdus[name]
            if self._map is None or isinstance(hdu, (fits.TableHDU, GROUPS)):
                self._tables[name] = np.asarray(hdu.data.view(np.ndarray))
            else:
                self._tables[name] = _mapped(hdu, self._map)
        return self._tables[name]

    def _columns(
        self,
        hdu: Any,  # noqa: ANN401
        records: NDArray[Any],
        names: Sequence[str],
        rows: slice | NDArray[Any],
    ) -> dict[str, Values]:
        found = {}
        for name in names:
            if isinstance(hdu, GROUPS):
                found[name] = Values(_native(np.asarray(_group(hdu, name)[rows])))
                continue
            column = hdu.columns[name]
            if isinstance(hdu, fits.TableHDU) or _is_list(column):
                found[name] = _converted(hdu.data[name][rows])
            else:
                found[name] = _decoded(column, records[name])
        return found


def _mapped(hdu: Any, file: Path) -> NDArray[Any]:  # noqa: ANN401
    """Return the records of a table without reading them yet."""
    rows, dtype = hdu.header["NAXIS2"], hdu.columns.dtype.newbyteorder(">")
    if not rows:
        return np.zeros(0, dtype)
    mapped = np.memmap(file, dtype, mode="r", offset=hdu.fileinfo()["datLoc"], shape=(rows,))
    return np.asarray(mapped)


def _is_gzip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _check_length(hdus: Any, file: Path) -> None:  # noqa: ANN401
    """Refuse a file that ends within its last data or headers: a map of it would lie."""
    place, size = hdus[-1].fileinfo(), file.stat().st_size
    end = place["datLoc"] + place["datSpan"]
    if end > size:
        raise ProductError(f"it is cut short: {end - size:,} bytes are missing")
    if end < size:
        raise ProductError(f"it is damaged: {size - end:,} bytes after the last whole HDU")


def _behind_end(header: bytes) -> bytes:
    """Return what stands in a header's blocks behind its END card."""
    for at in range(0, len(header), 80):
        if header[at : at + 80] == b"END".ljust(80):
            return header[at + 80 :]
    return b""


def _odd_padding(hdus: Any, file: Path) -> Iterator[str]:  # noqa: ANN401
    """Yield the HDUs with bytes that the standard has no place for.

    Headers are of printable characters, with blanks behind END (3.3.1); data end with zeros, or
    with blanks (3.3.2).
    """
    with file.open("rb") as stream:
        for number, hdu in enumerate(hdus):
            place = hdu.fileinfo()
            stream.seek(place["hdrLoc"])
            header = stream.read(place["datLoc"] - place["hdrLoc"])
            if UNPRINTABLE.search(header) or _behind_end(header).strip():
                yield f"HDU {number}: bytes that no header may hold"
            size = min(int(getattr(hdu, "_bintable", hdu).size), place["datSpan"])
            stream.seek(place["datLoc"] + size)
            if stream.read(place["datSpan"] - size).strip(b"\0 "):
                yield f"HDU {number}: bytes behind its data"


def _part(name: str, hdu: Any) -> Part:  # noqa: ANN401
    attributes = _keywords(hdu.header)
    if isinstance(hdu, GROUPS):
        return _groups(name, hdu, attributes)
    if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)) and not isinstance(
        hdu, fits.CompImageHDU
    ):
        columns = tuple(_column(each, hdu) for each in hdu.columns)
        rows = hdu.header["NAXIS2"]
        return Part(name=name, form="table", rows=rows, columns=columns, attributes=attributes)
    shape = tuple(int(extent) for extent in hdu.shape)
    if not shape:
        return Part(name=name, form="image", attributes=attributes)
    unit = hdu.header.get("BUNIT")
    pixels = Column(name="pixels", dtype=_pixel_type(hdu), unit=unit, shape=shape)
    return Part(name=name, form="image", columns=(pixels,), attributes=attributes)


def _groups(name: str, hdu: Any, attributes: dict[str, Any]) -> Part:  # noqa: ANN401
    """Return random groups as a table: their parameters, and the array of each group."""
    columns = []
    for each in _group_names(hdu):
        data = np.asarray(_group(hdu, each))
        columns.append(Column(name=each, dtype=data.dtype.name, shape=data.shape[1:]))
    rows = hdu.header["GCOUNT"]
    return Part(name=name, form="table", rows=rows, columns=tuple(columns), attributes=attributes)


def _group_names(hdu: Any) -> list[str]:  # noqa: ANN401
    """Return names of the parameters, some of which several share, and of the data."""
    return [f"{number} {name}" for number, name in enumerate(hdu.parnames)] + ["DATA"]


def _group(hdu: Any, name: str) -> Any:  # noqa: ANN401
    # By its place: a parameter that is there twice (DATE) is given as the sum by its name.
    return hdu.data.data if name == "DATA" else hdu.data.field(int(name.partition(" ")[0]))


def _pixel_type(hdu: Any) -> str:  # noqa: ANN401
    bits, zero, scale = (
        hdu.header["BITPIX"],
        hdu.header.get("BZERO", 0),
        hdu.header.get("BSCALE", 1),
    )
    if scale == 1 and zero == 0:
        return BITPIX[bits]
    if scale == 1 and bits > 0 and abs(zero) == 1 << (bits - 1):
        return UNSIGNED[bits]
    return "float64" if abs(bits) > 16 else "float32"  # noqa: PLR2004  (astropy's own rule)


def _column(column: Any, hdu: Any) -> Column:  # noqa: ANN401
    unit = column.unit or None
    if isinstance(hdu, fits.TableHDU):
        return Column(name=column.name, dtype=_ascii_type(column), unit=unit)
    if _is_list(column):
        return Column(name=column.name, dtype=_list_type(column), unit=unit)
    field = hdu.columns.dtype[column.name]
    empty = _decoded(column, np.zeros((0, *field.shape), field.base))
    attributes = {"TDISP": column.disp} if column.disp else {}
    if field.base.kind == "S":
        attributes["TFORM"] = str(column.format)
    return Column(
        name=column.name,
        dtype=type_name(empty.data.dtype),
        unit=unit,
        shape=tuple(field.shape),
        attributes=attributes,
    )


def _ascii_type(column: Any) -> str:  # noqa: ANN401
    return {"A": "string", "I": "int64"}.get(str(column.format).strip()[:1], "float64")


def _is_list(column: Any) -> bool:  # noqa: ANN401
    """Tell a column with arrays of varying length."""
    return bool(re.match(r"\d*[PQ]", str(column.format)))


def _list_type(column: Any) -> str:  # noqa: ANN401
    """Return the type of a list's elements, before they are scaled."""
    match = re.match(r"\d*[PQ]([A-Z])", str(column.format))
    return f"list of {LISTS.get(match[1], 'object') if match else 'object'}"


def _decoded(column: Any, raw: NDArray[Any]) -> Values:  # noqa: ANN401
    """Return what the records of one column mean."""
    code = re.sub(r"^\d+", "", str(column.format))[:1]
    if code == "L":
        return Values(raw == ord("T"), raw == 0)
    if raw.dtype.kind == "S":
        return Values(np.strings.rstrip(raw))
    missing = raw == column.null if isinstance(column.null, int) else None
    data = _native(raw)
    zero, scale = column.bzero or 0, column.bscale or 1
    if zero == 0 and scale == 1:
        return Values(data, missing)
    if scale == 1 and zero == SIGN.get(data.dtype.kind, {}).get(data.dtype.itemsize):
        other = "u" if data.dtype.kind == "i" else "i"
        flip = data.view(f"u{data.dtype.itemsize}") ^ (1 << (8 * data.dtype.itemsize - 1))
        return Values(flip.view(f"{other}{data.dtype.itemsize}"), missing)
    return Values(data * np.float64(scale) + np.float64(zero), missing)


def _converted(data: Any) -> Values:  # noqa: ANN401
    """Return a column that astropy has decoded: of a text table, or with arrays in it."""
    array = np.asarray(data)
    if array.dtype.kind == "O":
        rows = np.empty(len(array), dtype=object)
        for place, row in enumerate(array):
            cells = np.asarray(row)
            rows[place] = _native(cells.reshape(-1)) if cells.dtype.kind in "biufc" else str(row)
        return Values(rows)
    return Values(_native(array))


def _native(data: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def _keywords(header: Any) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = {}
    for card in header.cards:
        # A card without a keyword is a comment as well (section 4.4.2.4).
        keyword = card.keyword or "COMMENT"
        if STRUCTURE.fullmatch(keyword):
            continue
        value = card.value
        plain = plain_value(None if isinstance(value, fits.card.Undefined) else value)
        if keyword in COMMENTARY:
            found[keyword] = f"{found[keyword]}\n{plain}" if keyword in found else plain
            continue
        name, number = keyword, 1
        while name in found:
            number += 1
            name = f"{keyword} ({number})"
        found[name] = plain
        if card.comment and keyword not in STANDARD:
            found[f"comment of {name}"] = plain_value(card.comment)
    return found
