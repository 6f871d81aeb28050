"""A look into a notebook file without running or rendering it: its title, its first picture.

Only what is asked for is decoded, and what was learnt of a file that did not change is remembered.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.system.text import first_line

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 50_000_000
"""Bytes of a file that is looked into."""
LARGEST_PICTURE = 3_000_000
_REMEMBERED = 20_000
_KINDS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_HEADING = re.compile(r"^ {0,3}#{1,3}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"<[^<>]{0,300}>")


class _Output(msgspec.Struct):
    data: Any = None


class _Cell(msgspec.Struct):
    cell_type: str = ""
    source: Any = ""
    outputs: list[_Output] = []


class _Notebook(msgspec.Struct):
    cells: list[_Cell] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a page shows of a notebook file."""

    title: str
    """Its first heading; empty where it has none, or cannot be read."""
    picture: bool
    """Whether an output is a picture."""


_NOTHING = Seen(title="", picture=False)


class Peek:
    """Looks into files, each once; safe over threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Path, int, int], Seen] = OrderedDict()

    def seen(self, file: Path) -> Seen:
        """Return what there is to show; nothing of what is no notebook."""
        try:
            found = file.stat()
        except OSError:
            return _NOTHING
        key = (file, found.st_mtime_ns, found.st_size)
        with self._lock:
            if key in self._known:
                return self._known[key]
        notebook = _read(file)
        seen = Seen(title=_title(notebook), picture=_picture(notebook) is not None)
        with self._lock:
            self._known[key] = seen
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return seen


def picture(file: Path) -> tuple[str, bytes] | None:
    """Return the kind and the bytes of the first picture among a notebook's outputs."""
    return _picture(_read(file))


def _read(file: Path) -> _Notebook:
    try:
        if file.stat().st_size > LARGEST:
            return _Notebook()
        return msgspec.json.decode(file.read_bytes(), type=_Notebook)
    except (OSError, msgspec.DecodeError, RecursionError):
        return _Notebook()


def _text(value: Any) -> str:  # noqa: ANN401  (whatever JSON holds)
    lines = value if isinstance(value, list) else [value]
    return "".join(each for each in lines if isinstance(each, str))


def _title(notebook: _Notebook) -> str:
    for cell in notebook.cells:
        found = _HEADING.search(_text(cell.source)) if cell.cell_type == "markdown" else None
        if found:
            words = _TAG.sub("", _LINK.sub(r"\1", found[1]))
            return first_line(re.sub(r"[*_`]{1,3}(\S[^*_`]*)[*_`]{1,3}", r"\1", words).strip(), 120)
    return ""


def _picture(notebook: _Notebook) -> tuple[str, bytes] | None:
    for cell in notebook.cells:
        for output in cell.outputs:
            data = output.data if isinstance(output.data, dict) else {}
            for kind, start in _KINDS.items():
                text = _text(data.get(kind, ""))
                if not 0 < len(text) < LARGEST_PICTURE * 4 / 3:
                    continue
                try:
                    found = base64.b64decode(text)
                except (ValueError, binascii.Error):
                    continue
                if found.startswith(start):
                    return kind, found
    return None
