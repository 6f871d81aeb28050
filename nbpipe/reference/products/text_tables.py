"""CSV and its like, columns apart by blanks, and ECSV: one table, read line by line.

CSV says nothing about types: a column is what all its values are, which takes one pass through the
file. All numbers are of one type, whether they happen to be whole in this run or not, and keep all
their digits: what a double would lose is held by Python. What only looks like a number (`007`,
`1_000`, `+49`) is text. ECSV says its types in its header (astropy's APE 6). Needs only numpy.

Written on Python's `csv`. `pyarrow.csv` reads `007` as 7, rounds what has more digits than a
double, leaves blank lines out, fixes its types after the first block, and reads no columns apart
by blanks; asked for texts, which would avoid some of this, it is no faster. astropy reads an ECSV
file as a whole, no faster either, and makes times and coordinates of its columns; what is compared
here are the columns as written.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import yaml

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.protocol import ProductError, Values
from nbpipe.reference.products.types import cut, plain_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

MISSING = frozenset({"", "null", "NULL", "NA", "N/A", "--"})
"""What stands for no value where the others are no texts; among texts only the empty one does."""
DELIMITERS = (",", "\t", ";", "|")
BLANKS = ""
"""The delimiter of columns apart by any number of blanks (numpy.savetxt)."""
TEXT_ROWS = 4096
"""Lines that are held at once: as texts they take ten times what their numbers do."""
CHUNK = 1 << 20
FIELD_LIMIT = 10_000_000
"""Characters of one field."""
TRUTH = {"True": True, "true": True, "TRUE": True, "False": False, "false": False, "FALSE": False}
ZONED = "datetime with time zone"
FORMS = {"T": "dateTtime", " ": "date time"}

# Each is matched against all of some rows at once, with a line end after every value.
_INTEGER = r" *-?(?:0|[1-9][0-9]*) *"
_FLOAT = (
    r" *(?:(?:-|\+(?=[0-9]*\.))?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?(?:nan|inf(?:inity)?)) *"
)
_TIME = (
    r"[0-9]{4}-[01][0-9]-[0-3][0-9](?:[T ][0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?)?"
)
_ZONE = r"(?:Z|[-+][0-2][0-9]:?[0-5][0-9])"
INTEGERS = re.compile(rf"(?:{_INTEGER}\n)*+")
FLOATS = re.compile(rf"(?:{_FLOAT}\n)*+", re.IGNORECASE)
TIMES = re.compile(rf"(?:{_TIME}\n)*+")
ZONED_TIMES = re.compile(rf"(?:{_TIME}{_ZONE}\n)*+")
ZONE = re.compile(r"(?:Z|([-+])([0-9]{2}):?([0-9]{2}))$")
LOSSY = re.compile(
    # From where a number begins alone: from every digit, it took half of a comparison's time.
    r"(?<![0-9.])0*+\.?+0*+[1-9](?:\.?[0-9]){17,}|[eE][-+]?(?:[3-9][0-9]{2}|[0-9]{4,})"
)
"""Numbers that a double may lose digits of, or the size: 17 digits tell any two doubles apart."""
DIGITS, LEAST_LARGE = 17, 16
LARGE = re.compile(r"(?<![0-9.])[0-9]{16,}(?![0-9.eE])")
"""Whole numbers that may lie beyond 2**53."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is written."""

    delimiter: str
    skip: int
    """Lines before the first row."""
    names: tuple[str, ...]
    comments: str = ""
    columns: tuple[Column, ...] = ()
    """What the header says, in ECSV."""
    meta: dict[str, Any] | None = None


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[TextTable]:
    """Open a text table, and find its types."""
    yield TextTable(file, kind)


class TextTable:
    """A table in a text file."""

    notes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()

    def __init__(self, file: Path, kind: str) -> None:
        self.kind = kind
        self._file = file
        self._layout = _ecsv_layout(file) if kind == "ecsv" else _csv_layout(file)
        columns, rows = self._layout.columns, 0
        self._exact: frozenset[str] = frozenset()
        """Columns of numbers that doubles would lose digits of."""
        attributes = {key: plain_value(value) for key, value in (self._layout.meta or {}).items()}
        if columns:
            rows = sum(len(each) for each in self._records(TEXT_ROWS))
        else:
            columns, rows = self._found()
            attributes["delimiter"] = self._layout.delimiter or "blanks"
            if self._layout.comments:
                attributes["COMMENT"] = cut(self._layout.comments)
            if self._layout.delimiter == BLANKS and (told := _row_comments(file, self._layout)):
                attributes["row comments"] = cut(told)
        attributes |= _written(file)
        self._columns = {each.name: each for each in columns}
        part = Part(name="", form="table", rows=rows, columns=columns, attributes=attributes)
        self.parts = (part,)

    def rows(self, part: Part, column: Column) -> int:
        """Return the rows of the table."""
        del column
        return part.rows or 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        del part
        places = {name: self._layout.names.index(name) for name in names}
        for records in self._records(min(rows, TEXT_ROWS)):
            yield {
                name: _values(
                    [record[place] for record in records],
                    self._columns[name],
                    exact=name in self._exact,
                )
                for name, place in places.items()
            }

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: lines are read in their order."""
        del part, names, rows

    def _records(self, rows: int) -> Iterator[list[list[str]]]:
        width, layout = len(self._layout.names), self._layout
        with _lines(self._file) as text:
            for _ in range(layout.skip):
                text.readline()
            if layout.delimiter == BLANKS or width == 1:
                yield from self._counted(text, rows)
                return
            csv.field_size_limit(FIELD_LIMIT)
            reader = csv.reader(text, delimiter=layout.delimiter)
            while found := list(islice(reader, rows)):
                whole = [record for record in found if len(record) == width]
                if len(whole) < len(found) and any(map(_is_odd(width), found)):
                    break
                yield whole
            else:
                return
        with _lines(self._file) as text:  # once more, to name the line
            for _ in range(layout.skip):
                text.readline()
            for _ in self._counted(text, rows):
                pass

    def _counted(self, text: TextIO, rows: int) -> Iterator[list[list[str]]]:
        """Yield the rows while their lines are counted, which takes twice the time.

        Raises:
            ProductError: One has more or fewer fields than there are columns.
        """
        width, layout = len(self._layout.names), self._layout
        reader = _split(text) if layout.delimiter == BLANKS else _parsed_rows(text, layout)
        while found := list(islice(reader, rows)):
            for line, record in found:
                if len(record) != width:
                    raise ProductError(
                        f"line {layout.skip + line} has {len(record)} fields instead of {width}"
                    )
            yield [record for _, record in found]

    def _found(self) -> tuple[tuple[Column, ...], int]:
        """Return the columns with their types, and the number of rows."""
        seen, rows = [_Seen() for _ in self._layout.names], 0
        for records in self._records(TEXT_ROWS):
            rows += len(records)
            for place, texts in enumerate(zip(*records, strict=True)):
                seen[place].add(texts)
        pairs = list(zip(self._layout.names, seen, strict=True))
        self._exact = frozenset(name for name, each in pairs if each.dtype == NUMBER and each.exact)
        columns = (
            Column(name=name, dtype=each.dtype, attributes=each.attributes())
            for name, each in pairs
        )
        return tuple(columns), rows


NUMBER = "float64"
EMPTY = "empty"
LIST = "list of "


class _Seen:
    """What the values of a column are, as far as they were seen."""

    def __init__(self) -> None:
        self.exact = False
        """Some number would lose digits as a double."""
        self._floats = False
        self._large = False
        """Some whole number is none that every double near it can be told from."""
        self._dtypes = ["bool", NUMBER, "datetime", ZONED]
        """Those that it can still be."""
        self._empty = True
        self._gone: set[str] = set()
        self._forms: set[str] = set()
        """How dates are written: alone, or with a time behind a `T` or a blank."""

    def attributes(self) -> dict[str, Value]:
        """Return how values are written, where that may be done in several ways."""
        found: dict[str, Value] = {}
        if self._gone - {""} and self.dtype not in {"string", EMPTY}:
            found["missing as"] = ", ".join(sorted(repr(each) for each in self._gone))
        if self.dtype in {"datetime", ZONED}:
            found["dates as"] = ", ".join(sorted(self._forms))
        return found

    @property
    def dtype(self) -> str:
        """Return the type of what was seen."""
        if self._empty:
            return EMPTY
        return self._dtypes[0] if self._dtypes else "string"

    def add(self, texts: Sequence[str]) -> None:
        """Take some values into account."""
        present = [text for text in texts if text not in MISSING]
        if len(present) < len(texts):
            self._gone.update(MISSING.intersection(texts))
        if present:
            self._empty = False
            joined = "\n".join([*present, ""])
            self._dtypes = [each for each in self._dtypes if self._holds(each, present, joined)]
        elif any(texts) and self._empty:
            self._empty = all(text in MISSING for text in texts)

    def _holds(self, dtype: str, present: list[str], joined: str) -> bool:
        match dtype:
            case "bool":
                return all(text in TRUTH for text in present)
            case "float64":
                return self._numbers(present, joined)
            case _:
                times = ZONED_TIMES if dtype == ZONED else TIMES
                if not (times.fullmatch(joined) and _are_times(present)):
                    return False
                self._forms.update(FORMS.get(text[10:11], "date") for text in present)
                return True

    def _numbers(self, present: list[str], joined: str) -> bool:
        whole = INTEGERS.fullmatch(joined) is not None
        if not whole and not FLOATS.fullmatch(joined):
            return False
        self._floats = self._floats or not whole
        lossy = _found_in(LOSSY, _may_be_lossy(present, joined))
        self._large = self._large or lossy or _found_in(LARGE, _may_be_large(present))
        # Whole numbers alone have 64 bits; beyond, and among fractions, Python holds them.
        self.exact = (
            self.exact or (self._large and self._floats) or (lossy and whole and not _fit(joined))
        )
        return True


def _may_be_lossy(present: list[str], joined: str) -> list[str]:
    """Return the numbers that are long enough, or all where one has an exponent.

    Most have no more digits than a double: to look at their lengths is all that it takes.
    """
    if "e" in joined or "E" in joined:
        return present
    return [text for text in present if len(text) > DIGITS + ("." in text)]


def _may_be_large(present: list[str]) -> list[str]:
    return [text for text in present if "." not in text and len(text) >= LEAST_LARGE]


def _found_in(pattern: re.Pattern[str], texts: list[str]) -> bool:
    return bool(texts) and pattern.search("\n".join([*texts, ""])) is not None


def _fit(joined: str) -> bool:
    try:
        np.array(joined.split(), dtype=np.str_).astype(np.int64)
    except (ValueError, OverflowError):
        return False
    return True


def _are_times(present: list[str]) -> bool:
    try:
        _times(present)
    except ValueError:
        return False
    return True


@contextmanager
def _lines(file: Path) -> Iterator[TextIO]:
    """Open a text; bytes that are not valid UTF-8 stay apart."""
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        yield text


def _is_odd(width: int) -> Callable[[list[str]], bool]:
    """Return what tells a row with other fields than that many; a line of nothing is none."""
    return lambda record: (
        len(record) != width and any(len(record) > 1 or each.strip() for each in record)
    )


def _parsed_rows(text: TextIO, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the number of the line on which each ends; lines of nothing are none."""
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(text, delimiter=layout.delimiter)
    for record in reader:
        if not record and len(layout.names) == 1:
            yield reader.line_num, [""]  # of a single column a line of nothing is a value
        elif record and (len(record) > 1 or len(layout.names) == 1 or record[0].strip()):
            yield reader.line_num, record


def _split(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table whose columns are apart by blanks."""
    for number, line in enumerate(text, 1):
        words = _words(line)
        if words:
            yield number, words


def _words(line: str) -> list[str]:
    """Return what stands between blanks; quotes hold it together."""
    plain = line.partition("#")[0]
    if '"' not in plain:
        return plain.split()
    reader = csv.reader([" ".join(line.split("\t")).strip()], delimiter=" ", skipinitialspace=True)
    return [word for word in next(reader, []) if word]


def _row_comments(file: Path, layout: Layout) -> str:
    """Return what stands behind `#` in and between the rows of columns apart by blanks."""
    with _lines(file) as text:
        rows = islice(enumerate(text), layout.skip, None)
        return "\n".join(
            f"{n}: {line[line.index('#') :].rstrip()}" for n, line in rows if "#" in line
        )


def _written(file: Path) -> dict[str, Value]:
    """Return what a text says beside its fields: a byte order mark, line ends."""
    found: dict[str, Value] = {}
    with file.open("rb") as stream:
        if stream.read(3) == codecs.BOM_UTF8:
            found["byte order mark"] = True
        returns = lines = 0
        while piece := stream.read(CHUNK):
            returns += piece.count(b"\r")
            lines += piece.count(b"\n")
    if returns:
        found["line ends"] = "CRLF" if returns == lines else "CR and LF"
    return found


def _csv_layout(file: Path) -> Layout:
    """Return the delimiter and the names: of the first row, unless all of it are numbers."""
    csv.field_size_limit(FIELD_LIMIT)
    comments, line = [], ""
    with _lines(file) as text:
        skip = 0
        for line in text:
            if line.strip() and not line.startswith("#"):
                break
            comments.append(line.rstrip("\r\n"))
            skip += 1
        else:
            line = ""
    delimiter = max(DELIMITERS, key=line.count)
    if not line.count(delimiter) and len(line.split()) > 1:
        return _blanks_layout(line, skip, comments)
    first = next(csv.reader([line], delimiter=delimiter), [])
    if not first:
        raise ProductError("it has no rows")
    told = "\n".join(comments)
    if _are_numbers(first):
        names = tuple(f"column {n}" for n in range(1, len(first) + 1))
        return Layout(delimiter, skip, names, told)
    return Layout(delimiter, skip + 1, _unique([each.strip() for each in first]), told)


def _blanks_layout(line: str, skip: int, comments: list[str]) -> Layout:
    """Return the names of columns apart by blanks: of the last comment or the first row."""
    first = line.partition("#")[0].split()
    header = comments[-1].lstrip("#").split() if comments else []
    told = "\n".join(comments)
    if not _are_numbers(first):
        return Layout(BLANKS, skip + 1, _unique(first), told)
    if len(header) == len(first) and not _are_numbers(header):
        return Layout(BLANKS, skip, _unique(header), "\n".join(comments[:-1]))
    return Layout(BLANKS, skip, tuple(f"column {n}" for n in range(1, len(first) + 1)), told)


def _are_numbers(texts: list[str]) -> bool:
    return FLOATS.fullmatch("\n".join([*texts, ""])) is not None


def _unique(names: list[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


def _ecsv_layout(file: Path) -> Layout:
    """Return what the commented YAML header of ECSV says."""
    header, names = [], ""
    with file.open(encoding="utf-8") as text:
        for line in text:
            if not line.startswith("#"):
                names = line
                break
            header.append(line[1:].removeprefix(" "))
    try:
        # Tags name Python objects for astropy; here they are only structure.
        said = yaml.load("".join(header[1:]), Loader=_Untagged)  # noqa: S506  (a SafeLoader)
        columns = tuple(_ecsv_column(each) for each in said["datatype"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ProductError(f"its ECSV header is damaged: {error}") from error
    delimiter = said.get("delimiter", " ")
    found = next(csv.reader([names], delimiter=delimiter), [])
    if [each.name for each in columns] != found:
        raise ProductError("the names of its columns are not those of its ECSV header")
    meta = said.get("meta") or {}
    plain = dict(meta) if isinstance(meta, dict) else {"meta": meta}
    mixed = plain.pop("__serialized_columns__", None)
    if mixed:
        plain["serialized columns"] = json.dumps(mixed, sort_keys=True, default=str)
    return Layout(delimiter, len(header) + 1, tuple(found), columns=columns, meta=plain)


class _Untagged(yaml.SafeLoader):
    """Reads what carries a tag of somebody's own as if it had none."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        items = loader.construct_sequence(node, deep=True)
        pairs = all(isinstance(each, dict) and len(each) == 1 for each in items)
        return {key: value for each in items for key, value in each.items()} if pairs else items
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_Untagged.add_multi_constructor("!", _untagged)
_Untagged.add_multi_constructor("tag:yaml.org,2002:python/", _untagged)
_Untagged.add_constructor("tag:yaml.org,2002:omap", lambda each, node: _untagged(each, "", node))  # type: ignore[arg-type]


def _ecsv_column(said: dict[str, Any]) -> Column:
    subtype = re.fullmatch(r"(\w+)\[(\d+(?:,\d+)*)\]", str(said.get("subtype", "")))
    unit = said.get("unit")
    dtype = subtype[1] if subtype else str(said["datatype"])
    shape = tuple(int(each) for each in subtype[2].split(",")) if subtype else ()
    if not subtype and "subtype" in said:
        varying = re.fullmatch(r"(\w+)\[null\]", str(said["subtype"]))
        dtype = f"{LIST}{varying[1]}" if varying and varying[1] != "string" else "object"
    attributes: dict[str, Value] = {
        key: plain_value(json.dumps(said[key], sort_keys=True, default=str))
        for key in ("description", "format", "meta")
        if key in said
    }
    return Column(
        name=said["name"],
        dtype=dtype,
        unit=None if unit is None else str(unit),
        shape=shape,
        attributes=attributes,
    )


def _values(texts: list[str], column: Column, *, exact: bool = False) -> Values:
    gone = {""} if column.dtype in {"string", "object"} else MISSING
    missing = np.fromiter((text in gone for text in texts), bool, len(texts))
    absent = missing if missing.any() else None
    if column.dtype in {"string", "object", EMPTY}:
        return Values(_objects(texts), absent)
    if column.shape:
        return _vectors(texts, column, missing)
    if column.dtype.startswith(LIST):
        return Values(_lists(texts, column.dtype.removeprefix(LIST)), absent)
    if absent is None:
        return Values(_parsed(texts, column.dtype, exact=exact))
    instead = {"bool": "False", "datetime": "1970-01-01", ZONED: "1970-01-01T00:00:00Z"}
    filler = instead.get(column.dtype, "0")
    filled = [filler if gone else text for text, gone in zip(texts, missing, strict=True)]
    return Values(_parsed(filled, column.dtype, exact=exact), absent)


def _parsed(texts: list[str], dtype: str, *, exact: bool) -> NDArray[Any]:
    match dtype:
        case "bool":
            return np.array([TRUTH[text] for text in texts], bool)
        case "datetime" | "datetime with time zone":
            return _times(texts)
        case "float64" if exact:
            return _objects([_number(text.strip()) for text in texts])
        case "float64" if INTEGERS.fullmatch("\n".join([*texts, ""])):
            try:
                return np.array(texts).astype(np.int64)
            except OverflowError:
                return np.array(texts).astype(np.float64)
        case _:
            return np.array(texts).astype(dtype)


def _objects(items: list[Any]) -> NDArray[Any]:
    data = np.empty(len(items), dtype=object)
    data[:] = items
    return data


def _number(text: str) -> int | float | Decimal:
    """Return a number with all its digits."""
    if text.lstrip("-").isdecimal():
        return int(text)
    value = Decimal(text)
    return value if value.is_finite() else float(text)


def _times(texts: list[str]) -> NDArray[Any]:
    """Return the instants, in UTC where there are zones.

    Raises:
        ValueError: One of them is not a valid date.
    """
    bare, shifts = [], []
    for text in texts:
        zone = ZONE.search(text, 10)
        bare.append(text if zone is None else text[: zone.start()])
        minutes = int(zone[2]) * 60 + int(zone[3]) if zone and zone[1] else 0
        shifts.append(minutes if zone is None or zone[1] != "-" else -minutes)
    fine = any(len(text) > len("2026-01-01T00:00:00.000000") for text in bare)
    times = np.array(bare, dtype=f"datetime64[{'ns' if fine else 'us'}]")
    return times - np.array(shifts, dtype="timedelta64[m]") if any(shifts) else times


def _lists(texts: list[str], dtype: str) -> NDArray[Any]:
    """Return arrays of varying length, which ECSV holds as JSON."""
    found = np.empty(len(texts), dtype=object)
    for place, text in enumerate(texts):
        items = json.loads(text) if text else []
        whole = None not in items
        found[place] = np.array(items, dtype=dtype if whole else object)
    return found


def _vectors(texts: list[str], column: Column, missing: NDArray[Any]) -> Values:
    """Return arrays that ECSV holds as JSON; null in one of them is a missing element."""
    empty = np.full(column.shape, None, dtype=object)
    rows = [
        empty if gone else np.array(json.loads(text), dtype=object).reshape(column.shape)
        for text, gone in zip(texts, missing, strict=True)
    ]
    cells = np.array(rows, dtype=object)
    gone = np.frompyfunc(lambda cell: cell is None, 1, 1)(cells).astype(bool)
    return Values(np.where(gone, 0, cells).astype(column.dtype), gone)
