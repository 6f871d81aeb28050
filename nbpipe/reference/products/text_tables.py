"""CSV and its like, and ECSV: one table, read line by line.

CSV says nothing about types: a column is of the narrowest type that holds all its values, which
takes one pass through the file. ECSV says it in its header (astropy's APE 6). Needs only numpy.
"""

from __future__ import annotations

import csv
import json
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.reading import ProductError, Values
from nbpipe.reference.products.types import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MISSING = frozenset({"", "null", "NULL", "NA", "N/A", "--"})
DELIMITERS = (",", "\t", ";", "|")
TEXT_ROWS = 4096
"""Lines that are held at once: as texts they take ten times what their numbers do."""
FIELD_LIMIT = 10_000_000
"""Characters of one field."""
TRUTH = {"True": True, "true": True, "TRUE": True, "False": False, "false": False, "FALSE": False}
TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?Z?")
LADDER = ("bool", "int64", "float64", "datetime", "string")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is written."""

    delimiter: str
    skip: int
    """Lines before the first row."""
    names: tuple[str, ...]
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

    def __init__(self, file: Path, kind: str) -> None:
        self.kind = kind
        self._file = file
        self._layout = _ecsv_layout(file) if kind == "ecsv" else _csv_layout(file)
        columns, rows = self._layout.columns, 0
        if columns:
            rows = sum(len(each) for each in self._records(TEXT_ROWS))
        else:
            columns, rows = self._found()
        self._columns = {each.name: each for each in columns}
        meta = {key: plain_value(value) for key, value in (self._layout.meta or {}).items()}
        self.parts = (Part(name="", form="table", rows=rows, columns=columns, attributes=meta),)

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
                name: _values([record[place] for record in records], self._columns[name])
                for name, place in places.items()
            }

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: lines are read in their order."""
        del part, names, rows

    def _records(self, rows: int) -> Iterator[list[list[str]]]:
        width = len(self._layout.names)
        with self._file.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as text:
            for _ in range(self._layout.skip):
                text.readline()
            lines = (line for line in text if line.strip())
            reader = csv.reader(lines, delimiter=self._layout.delimiter)
            while records := list(islice(reader, rows)):
                for number, record in enumerate(records):
                    if len(record) != width:
                        line = self._layout.skip + reader.line_num - len(records) + number + 1
                        raise ProductError(
                            f"line {line} has {len(record)} fields instead of {width}"
                        )
                yield records

    def _found(self) -> tuple[tuple[Column, ...], int]:
        """Return the columns with the narrowest types, and the number of rows."""
        steps, rows = [0] * len(self._layout.names), 0
        for records in self._records(TEXT_ROWS):
            rows += len(records)
            for place, texts in enumerate(zip(*records, strict=True)):
                steps[place] = _step(texts, steps[place])
        pairs = zip(self._layout.names, steps, strict=True)
        return tuple(Column(name=name, dtype=LADDER[step]) for name, step in pairs), rows


def _csv_layout(file: Path) -> Layout:
    """Return the delimiter and the names: of the first row, unless all of it are numbers."""
    csv.field_size_limit(FIELD_LIMIT)
    skip, line = 0, ""
    with file.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as text:
        for line in text:
            if line.strip() and not line.startswith("#"):
                break
            skip += 1
    delimiter = max(DELIMITERS, key=line.count)
    first = next(csv.reader([line], delimiter=delimiter), [])
    if not first:
        raise ProductError("there is no row in it")
    if all(_is_number(each) for each in first):
        return Layout(delimiter, skip, tuple(f"column {n}" for n in range(1, len(first) + 1)))
    return Layout(delimiter, skip + 1, _unique([each.strip() for each in first]))


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
    plain.pop("__serialized_columns__", None)
    return Layout(delimiter, len(header) + 1, tuple(found), columns, plain)


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
        dtype = "object"
    return Column(
        name=said["name"], dtype=dtype, unit=None if unit is None else str(unit), shape=shape
    )


def _step(texts: Sequence[str], step: int) -> int:
    """Return the first step of the ladder, from `step` upwards, that holds all the texts."""
    present = [text for text in texts if text not in MISSING]
    while present and not _holds(LADDER[step], present):
        step += 1
    return step


def _holds(dtype: str, texts: list[str]) -> bool:
    match dtype:
        case "bool":
            return all(text in TRUTH for text in texts)
        case "int64" | "float64":
            try:
                np.array(texts).astype(dtype)
            except (ValueError, OverflowError):
                return False
            return True
        case "datetime":
            return all(TIME.fullmatch(text) for text in texts)
        case _:
            return True


def _values(texts: list[str], column: Column) -> Values:
    missing = np.fromiter((text in MISSING for text in texts), bool, len(texts))
    if column.dtype in {"string", "object"}:
        data = np.empty(len(texts), dtype=object)
        data[:] = texts
        return Values(data, missing if missing.any() else None)
    if column.shape:
        return _vectors(texts, column, missing)
    if not missing.any():
        return Values(_parsed(texts, column.dtype))
    filled = ["0" if gone else text for text, gone in zip(texts, missing, strict=True)]
    if column.dtype in {"datetime", "bool"}:
        instead = "1970-01-01" if column.dtype == "datetime" else "False"
        filled = [instead if gone else text for text, gone in zip(texts, missing, strict=True)]
    return Values(_parsed(filled, column.dtype), missing)


def _parsed(texts: list[str], dtype: str) -> NDArray[Any]:
    if dtype == "bool":
        return np.array([TRUTH[text] for text in texts], bool)
    if dtype == "datetime":
        return np.array([text.removesuffix("Z") for text in texts], dtype="datetime64[us]")
    return np.array(texts).astype(dtype)


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


def _is_number(text: str) -> bool:
    try:
        return not math.isinf(float(text)) or "inf" in text.lower()
    except ValueError:
        return False
