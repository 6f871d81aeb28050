"""The lines of a failing cell that matter, and which of them failed.

Reads IPython's tracebacks as plain text; for any other, no line is marked. Nothing is printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nbpipe.system.text import cut, plain

LINES = 15
WIDTH = 300

_CHAINED = re.compile(
    r"^(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):$",
    re.MULTILINE,
)
_CELL_LINE = re.compile(
    r"^ *Cell In ?\[\d*\], line (\d+)"  # IPython 8.7 and later
    r"|^ *Input In \[\d*\], in <cell line: (\d+)>"  # IPython 8.0 to 8.6
    r"|^<ipython-input-[^>]*> in <module>[^\n]*\n(?:[^\n]*\n){0,6}?-+> (\d+) ",  # IPython 7
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a cell."""

    number: int
    """1-based."""
    text: str
    failing: bool


def failing_line(source: str, traceback: str) -> int | None:
    """Return the 1-based line of the cell where the error came up, None where nobody says.

    In a chain of exceptions the last one ended the cell; in a stack the first frame is the cell.
    """
    match = _CELL_LINE.search(_CHAINED.split(traceback)[-1])
    if match is None:
        return None
    number = int(next(group for group in match.groups() if group))
    return number if 1 <= number <= source.count("\n") + 1 else None


_FRAME = re.compile(
    r"^File (?P<file>[^\n]+?):(?P<line>\d+), in (?P<name>[^\n(]+)"  # IPython
    r'|^ *File "(?P<path>[^"\n]+)", line (?P<number>\d+), in (?P<function>[^\n]+)',  # Python
    re.MULTILINE,
)


def library_frame(traceback: str) -> str:
    """Return where outside of the notebook the error came up: `lib.py:12, in read`; or nothing."""
    last = _CHAINED.split(plain(traceback))[-1]
    frames = [match for match in _FRAME.finditer(last) if not _is_cell(match)]
    if not frames or _ends_in_cell(last, frames[-1].start()):
        return ""
    found = frames[-1]
    file, line = found["file"] or found["path"], found["line"] or found["number"]
    return cut(f"{file}:{line}, in {(found['name'] or found['function']).strip()}", WIDTH)


def _is_cell(frame: re.Match[str]) -> bool:
    file = frame["file"] or frame["path"]
    return file.startswith("<") or "ipykernel_" in file


def _ends_in_cell(traceback: str, frame: int) -> bool:
    """Return whether the notebook's own code comes after a frame: a library called it back."""
    return any(match.start() > frame for match in _CELL_LINE.finditer(traceback))


def excerpt(source: str, traceback: str, limit: int = LINES) -> list[Line]:
    """Return at most `limit` lines: those around the failing one, else the first ones."""
    text = plain(source).rstrip("\n")
    marked = failing_line(text, traceback)
    lines = [
        Line(number, cut(line, WIDTH), number == marked)
        for number, line in enumerate(text.split("\n"), 1)
    ]
    if not text:
        return []
    start = max(0, min((marked or 1) - 1 - limit * 2 // 3, len(lines) - limit))
    return lines[start : start + limit]
