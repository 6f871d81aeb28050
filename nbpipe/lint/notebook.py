"""A notebook as its file has it: cells as text, and the lines of the file where each text stands.

nbformat is not asked: its import alone takes longer than looking at a hundred notebooks, and it
mends on reading what rules have to see. Lines are found only for what has a finding.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.collecting.heads import parse_notebook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.model import Failure

_BLANK = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder(strict=False).raw_decode


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell; a value of a wrong type counts as an empty one."""

    index: int
    """0-based, over all cells."""
    kind: str
    """code, markdown, raw; empty where the file has none."""
    source: str
    id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Mapping[str, Any], ...] = ()
    execution_count: int | None = None
    attachments: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The cell as the file has it."""

    @property
    def tags(self) -> frozenset[str]:
        """Its tags."""
        tags = self.metadata.get("tags")
        return frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()


@dataclass(frozen=True, eq=False)
class Notebook:
    """A notebook's file, read."""

    path: str
    """As people read it: relative to the collection's root, with `/`."""
    file: str
    """Absolute."""
    content: bytes
    data: Mapping[str, Any]
    """The file's JSON; empty where it has none."""
    cells: tuple[Cell, ...]
    failure: Failure | None = None
    """Why it is no notebook; then there are no cells."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The notebook's metadata."""
        return mapping(self.data.get("metadata"))

    @property
    def version(self) -> tuple[int, int]:
        """Its nbformat: major and minor number; (0, 0) where the file has none."""
        numbers = (self.data.get("nbformat"), self.data.get("nbformat_minor", 0))
        major, minor = (each if type(each) is int else 0 for each in numbers)
        return major, minor

    @cached_property
    def code(self) -> tuple[Cell, ...]:
        """The cells of code, with source."""
        return tuple(cell for cell in self.cells if cell.kind == "code" and cell.source.strip())

    @cached_property
    def prose(self) -> tuple[Cell, ...]:
        """The cells of Markdown."""
        return tuple(cell for cell in self.cells if cell.kind == "markdown")

    @cached_property
    def language(self) -> str:
        """The language of its code, lower case; python where it does not say."""
        spec, info = (mapping(self.metadata.get(key)) for key in ("kernelspec", "language_info"))
        for value in (info.get("name"), spec.get("language")):
            if isinstance(value, str) and value:
                return value.lower()
        name = str(spec.get("name", "")).lower()
        return {"ir": "r", "bash": "bash"}.get(name) or (
            "julia" if name.startswith("julia") else "python"
        )

    @cached_property
    def _places(self) -> dict[int, tuple[int, list[int]]]:
        try:
            return dict(_source_lines(self.content.decode("utf-8-sig", errors="replace")))
        except (ValueError, IndexError, RecursionError):
            return {}

    def line(self, cell: int | None, line: int = 1) -> int:
        """Return the line of the file, from 1, where the `line` (from 1) of a cell's source is."""
        if cell is None or cell not in self._places:
            return 1
        start, lines = self._places[cell]
        return lines[min(line, len(lines)) - 1] if lines else start


def mapping(value: object) -> Mapping[str, Any]:
    """Return the value if it is an object of JSON, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """Return a multi-line text of a notebook: a text, or a list of texts."""
    if isinstance(value, list):
        return "".join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else ""


def read(path: str, file: str, content: bytes) -> Notebook:
    """Return the notebook in a file's content; whatever is wrong with it becomes `failure`."""
    failure = parse_notebook(content).failure
    if failure is not None:
        return Notebook(path, file, content, {}, (), failure)
    try:
        data = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = json.loads(content.decode("utf-8-sig", errors="replace"))
    cells = data.get("cells") if isinstance(data.get("cells"), list) else _old_cells(data)
    read_cells = tuple(_cell(number, mapping(each)) for number, each in enumerate(cells))
    return Notebook(path, file, content, data, read_cells)


def _old_cells(data: Mapping[str, Any]) -> list[Any]:
    """Return the cells of nbformat 2 and 3, which had sheets of them."""
    sheets = data.get("worksheets")
    found = [
        mapping(sheet).get("cells", []) for sheet in (sheets if isinstance(sheets, list) else [])
    ]
    return [cell for cells in found if isinstance(cells, list) for cell in cells]


def _cell(number: int, cell: Mapping[str, Any]) -> Cell:
    outputs = cell.get("outputs")
    count = cell.get("execution_count", cell.get("prompt_number"))
    return Cell(
        index=number,
        kind=str(cell.get("cell_type", "")),
        source=text(cell.get("source", cell.get("input"))),
        id=cell["id"] if isinstance(cell.get("id"), str) else "",
        metadata=mapping(cell.get("metadata")),
        outputs=tuple(each for each in outputs if isinstance(each, dict))
        if isinstance(outputs, list)
        else (),
        execution_count=count if type(count) is int else None,
        attachments=mapping(cell.get("attachments")),
        raw=cell,
    )


def _source_lines(content: str) -> Iterator[tuple[int, tuple[int, list[int]]]]:
    """Yield for each cell: its number, the line where it begins, the line of each source line.

    The positions come from the JSON scanner itself, which is taken down to the cell's `source`.
    """
    count = _Lines(content)
    for key, at in _members(content, _skip(content, 0)):
        if key != "cells" or content[at] != "[":
            continue
        for number, begin in enumerate(_elements(content, at)):
            lines: list[int] = []
            if content[begin] == "{":
                for name, value in _members(content, begin):
                    if name == "source":
                        lines = _texts(content, value, count)
            yield number, (count.at(begin), lines)


def _texts(content: str, at: int, count: _Lines) -> list[int]:
    """Return the line of the file for each line of a source, which begins at `at`."""
    if content[at] != "[":
        whole, _ = _decode(content, at)
        return [count.at(at)] * max(len(str(whole).splitlines()), 1)
    lines = []
    for begin in _elements(content, at):
        part, _ = _decode(content, begin)
        lines += [count.at(begin)] * max(len(str(part).splitlines()), 1)
    return lines


class _Lines:
    """Counts lines up to a position that only ever goes forward."""

    def __init__(self, content: str) -> None:
        self._content, self._at, self._line = content, 0, 1

    def at(self, position: int) -> int:
        if position < self._at:
            return self._content.count("\n", 0, position) + 1
        self._line += self._content.count("\n", self._at, position)
        self._at = position
        return self._line


def _skip(content: str, at: int) -> int:
    blank = _BLANK.match(content, at)
    return blank.end() if blank else at


def _members(content: str, at: int) -> Iterator[tuple[str, int]]:
    """Yield the keys of an object of JSON, each with where its value begins."""
    at = _skip(content, at + 1)
    while content[at] != "}":
        key, at = _decode(content, at)
        at = _skip(content, _skip(content, at) + 1)
        yield str(key), at
        at = _next(content, at)


def _elements(content: str, at: int) -> Iterator[int]:
    """Yield where each element of an array of JSON begins."""
    at = _skip(content, at + 1)
    while content[at] != "]":
        yield at
        at = _next(content, at)


def _next(content: str, at: int) -> int:
    """Return where what follows a value begins: past its comma, or its closing bracket."""
    _, at = _decode(content, at)
    at = _skip(content, at)
    return _skip(content, at + 1) if content[at] == "," else at
