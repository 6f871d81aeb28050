r"""Stream outputs that grow: in memory while small, in one temporary file afterwards.

So that the runner's memory does not depend on what a notebook prints. A long text stands in its
cell as a placeholder, which is replaced when the executed copy is written. The file holds text
the way JSON writes it (`\n` for a newline), which is how it comes from the kernel and how it
goes into the copy: a message of 100 MB is copied, never decoded.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

_MEMORY_CHARACTERS = 2_000_000
"""How much text of one notebook is held in memory."""

_PIECE = 1 << 18
_TAIL = 4_000

_SHORT = 200
"""No piece with a placeholder is that long: the value, the bracket and indentation before it."""

_PLACEHOLDER = re.compile(r'"nbpipe-spooled:([0-9a-f]{16}):(\d+)"')
_CUT_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
_CUT_CHARACTER = re.compile(rb"([\xc0-\xff][\x80-\xbf]{0,2})\Z")
"""An escape sequence or a character that may have lost its end."""


@dataclass(frozen=True, slots=True)
class Escaped:
    """A text as JSON writes it in UTF-8, without the quotation marks."""

    data: memoryview

    def __len__(self) -> int:
        return len(self.data)

    def head(self, size: int) -> Escaped:
        """Return at most so many bytes of it, whole characters and escape sequences only."""
        if size >= len(self.data):
            return self
        kept = self.data[: max(size, 0)]
        end = bytes(kept[-_TAIL:])
        if cut := _CUT_ESCAPE.search(end) or _CUT_CHARACTER.search(end):
            kept = kept[: len(kept) - len(cut[1])]
        return Escaped(kept)

    def tail(self) -> str:
        """Return the last lines, as text."""
        end = bytes(self.data[-_TAIL:])
        if len(end) < len(self.data):  # begin where no escape sequence can be cut
            end = end[end.find(rb"\n") + 2 :] if rb"\n" in end else b""
        return str(json.loads(b'"%s"' % end))

    def __str__(self) -> str:
        return str(json.loads(b'"%s"' % bytes(self.data)))


@dataclass(slots=True)
class StreamText:
    """The text of one stream output."""

    number: int
    pieces: list[str] = field(default_factory=list)
    extents: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length in the file, in bytes; where there are some, `pieces` is empty."""
    tail: str = ""
    """The last characters."""


class Spool:
    """All stream texts of one notebook.

    Args:
        folder: Where the temporary file is made when it is needed.
        token: 16 hexadecimal digits that no notebook can know, for the placeholders.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self._folder = folder
        self._token = token
        self._texts: list[StreamText] = []
        self._in_memory = 0
        self._file: BinaryIO | None = None

    def new(self) -> StreamText:
        """Return an empty text."""
        self._texts.append(StreamText(number=len(self._texts)))
        return self._texts[-1]

    def append(self, text: StreamText, more: str | Escaped) -> None:
        """Add to a text.

        Raises:
            OSError: The temporary file cannot be written.
        """
        if isinstance(more, Escaped):
            text.tail = (text.tail + more.tail())[-_TAIL:]
            self._move(text)
            self._write(text, [more.data])
            return
        text.tail = (text.tail + more[-_TAIL:])[-_TAIL:]
        if not text.extents and self._in_memory + len(more) <= _MEMORY_CHARACTERS:
            text.pieces.append(more)
            self._in_memory += len(more)
            return
        self._move(text)
        self._write(text, _escaped(more))

    def _move(self, text: StreamText) -> None:
        """Move what is in memory to the file."""
        self._in_memory -= sum(map(len, text.pieces))
        for piece in text.pieces:
            self._write(text, _escaped(piece))
        text.pieces.clear()

    def _write(self, text: StreamText, pieces: Iterator[bytes] | list[memoryview]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  (see close)
        start = self._file.tell()
        self._file.writelines(pieces)
        end = self._file.tell()
        if text.extents and sum(text.extents[-1]) == start:
            start = text.extents.pop()[0]
        text.extents.append((start, end - start))

    def value(self, text: StreamText) -> str:
        """Return what stands in the cell: the text itself, or its placeholder."""
        if text.extents:
            return f"nbpipe-spooled:{self._token}:{text.number}"
        return "".join(text.pieces)

    def expand(self, document: Iterable[str]) -> Iterator[bytes]:
        """Yield a JSON document in UTF-8 with every placeholder replaced by its text.

        Args:
            document: In pieces, as json's `iterencode` makes them: no string value is cut.
        """
        for piece in document:
            match = _PLACEHOLDER.search(piece) if len(piece) < _SHORT else None
            if match is None or match[1] != self._token:
                yield from _encoded(piece)
                continue
            yield piece[: match.start()].encode() + b'"'
            yield from self._read(self._texts[int(match[2])])
            yield b'"' + piece[match.end() :].encode()

    def _read(self, text: StreamText) -> Iterator[bytes]:
        if self._file is None:
            return
        for start, length in text.extents:
            self._file.seek(start)
            for left in range(length, 0, -_PIECE):
                yield self._file.read(min(left, _PIECE))
        self._file.seek(0, 2)

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk refuses what is still buffered
                self._file.close()


def _escaped(text: str) -> Iterator[bytes]:
    """Yield a text as JSON writes it, piece by piece."""
    for piece in _pieces(text):
        yield json.dumps(piece, ensure_ascii=False)[1:-1].encode(errors="replace")


def _encoded(text: str) -> Iterator[bytes]:
    """Yield a text in UTF-8, piece by piece; a lone surrogate becomes `?`."""
    for piece in _pieces(text):
        yield piece.encode(errors="replace")


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
