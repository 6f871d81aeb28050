"""Stream outputs that grow: in memory while small, in one temporary file afterwards.

So that the runner's memory does not depend on what a notebook prints. A long output stands in
its cell as a placeholder, which the writer of the executed copy replaces by the text.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_MEMORY_CHARACTERS = 2_000_000
"""How much text of one notebook is held in memory."""

_PIECE_BYTES = 1 << 18
_TAIL_CHARACTERS = 4_000

_PLACEHOLDER = re.compile(r'"nbpipe-spooled:([0-9a-f]{16}):(\d+)"')


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

    def append(self, text: StreamText, more: str) -> None:
        """Add to a text.

        Raises:
            OSError: The temporary file cannot be written.
        """
        text.tail = (text.tail + more[-_TAIL_CHARACTERS:])[-_TAIL_CHARACTERS:]
        if not text.extents and self._in_memory + len(more) <= _MEMORY_CHARACTERS:
            text.pieces.append(more)
            self._in_memory += len(more)
            return
        for piece in (*text.pieces, more):
            self._write(text, piece)
        self._in_memory -= sum(map(len, text.pieces))
        text.pieces.clear()

    def _write(self, text: StreamText, more: str) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  (see close)
        start = self._file.tell()
        for offset in range(0, len(more), _PIECE_BYTES):
            piece = more[offset : offset + _PIECE_BYTES]
            self._file.write(piece.encode(errors="replace"))
        end = self._file.tell()
        if text.extents and sum(text.extents[-1]) == start:
            start = text.extents.pop()[0]
        text.extents.append((start, end - start))

    def value(self, text: StreamText) -> str:
        """Return what stands in the cell: the text itself, or its placeholder."""
        if text.extents:
            return f"nbpipe-spooled:{self._token}:{text.number}"
        return "".join(text.pieces)

    def expand(self, document: str) -> Iterator[bytes]:
        """Yield a JSON document in UTF-8 with every placeholder replaced by its text."""
        position = 0
        for match in _PLACEHOLDER.finditer(document):
            if match[1] != self._token:
                continue
            yield document[position : match.start()].encode(errors="replace")
            yield b'"'
            for piece in self._read(self._texts[int(match[2])]):
                yield json.dumps(piece, ensure_ascii=False)[1:-1].encode(errors="replace")
            yield b'"'
            position = match.end()
        yield document[position:].encode(errors="replace")

    def _read(self, text: StreamText) -> Iterator[str]:
        if self._file is None:
            return
        for start, length in text.extents:
            self._file.seek(start)
            left, rest = length, b""
            while left:
                block = self._file.read(min(left, _PIECE_BYTES))
                left -= len(block)
                data = rest + block
                # a character may be cut at the end of a block: keep what is incomplete
                piece = data.decode(errors="ignore")
                rest = data[len(piece.encode()) :]
                yield piece
        self._file.seek(0, 2)

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()
