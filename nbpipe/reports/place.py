"""Where in a notebook's file a cell's line stands, for links and annotations.

A file that has changed or cannot be read has no place.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def line_in_file(file: Path, cell: int, line: int, source: str) -> int | None:
    """Return the 1-based line of a notebook's file where a line of a cell stands.

    Args:
        file: The source, `.ipynb` or a text notebook.
        cell: 0-based index into its cells.
        line: 1-based, in the cell.
        source: The cell's text; finds it in a text notebook.
    """
    try:
        return line_in_text(file.read_text(encoding="utf-8"), file.name, cell, line, source)
    except (OSError, ValueError):
        return None


def line_in_text(text: str, name: str, cell: int, line: int, source: str) -> int | None:
    """Return the same of a file's text; its name tells what it is."""
    try:
        if not name.endswith(".ipynb"):
            return _in_text(text, source, line)
        return _in_json(text, cell, line)
    except (ValueError, LookupError, RecursionError):
        return None


def source_in_text(text: str, name: str, cell: int) -> str | None:
    """Return the source of a cell in an `.ipynb` file's text; None where nobody can say."""
    if not name.endswith(".ipynb"):
        return None
    try:
        source = json.loads(text)["cells"][cell]["source"]
        return "".join([source] if isinstance(source, str) else source)
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _in_text(text: str, source: str, line: int) -> int | None:
    start = text.find(source)
    return None if start < 0 or not source else text.count("\n", 0, start) + line


def _in_json(text: str, cell: int, line: int) -> int:
    """Find the cell, then its `source`, then the line in that.

    Raises:
        LookupError, ValueError: It is no notebook with that cell.
    """
    cells = dict(_members(text, text.index("{")))["cells"]
    start = _element(text, cells, cell)
    members = dict(_members(text, start))
    place = members.get("source", members.get("input", start))
    if text[place] == "[":
        place = _element(text, place, line - 1)
    return text.count("\n", 0, place) + 1


def _element(text: str, start: int, index: int) -> int:
    for number, place in enumerate(_elements(text, start)):
        if number == index:
            return place
    raise IndexError(index)


def _elements(text: str, start: int) -> Iterator[int]:
    """Yield where each element of the array begins that begins at `start`."""
    if text[start] != "[":
        raise ValueError(start)
    place = _skip(text, start + 1)
    while text[place] != "]":
        yield place
        place = _after(text, place)


def _members(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Yield the names and where the values begin of the object that begins at `start`."""
    if text[start] != "{":
        raise ValueError(start)
    place = _skip(text, start + 1)
    while text[place] != "}":
        name, end = _DECODER.raw_decode(text, place)
        value = _skip(text, _skip(text, end) + 1)  # over the colon
        yield name, value
        place = _after(text, value)


def _after(text: str, place: int) -> int:
    """Return where the next element or member begins, or the closing bracket stands."""
    _, end = _DECODER.raw_decode(text, place)
    place = _skip(text, end)
    return _skip(text, place + 1) if text[place] == "," else place


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
