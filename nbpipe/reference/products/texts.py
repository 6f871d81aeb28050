"""Texts as tables of lines, and drawings (SVG, PDF) without what changes in every run.

What is taken out of a drawing is what its writers put there anew each time: dates, identifiers of
the document and, in SVG, the random names by which its elements refer to each other (matplotlib's
`svg.hashsalt`). Needs only numpy.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct, table
from nbpipe.reference.products.protocol import Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value
    from nbpipe.reference.products.protocol import Product

LINE_LIMIT = 1_000_000
"""Characters of a line that are looked at at once."""
DRAWING_LIMIT = 200_000_000
"""Bytes of a drawing that are read as one."""

SVG_DATE = re.compile(r"<dc:date>[^<]*</dc:date>")
SVG_ID = re.compile(r"""(?<![\w-])id=["']([^"']*?(?=[0-9a-f]*\d)[0-9a-f]{2,})["']""")
"""A name that ends like a digest or a number; others are somebody's own."""
SVG_NAME = re.compile(r"""(\bid=["']|href=["']#|url\(["']?#)([^"')\s;]+)""")
PDF_STREAM = re.compile(rb"(?s)(\bstream\r?\n.*?\bendstream\b)")
XMP = b"<x:xmpmeta"

PDF_VOLATILE = re.compile(
    rb"/(?:CreationDate|ModDate)\s*(?:\((?:[^()\\]|\\.)*\)|<[0-9A-Fa-f\s]*>)"
    rb"|/ID\s*\[[^\]]*\]"
    rb"|<(xmp:(?:CreateDate|ModifyDate|MetadataDate)|xmpMM:(?:DocumentID|InstanceID))>[^<]*"
)
"""PDF 32000-1:2008: 14.3.3 (document information), 14.4 (file identifiers); XMP's own names."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Open a text or a drawing."""
    if kind == "text" or file.stat().st_size > DRAWING_LIMIT:
        yield Text(file, "text")
    elif kind == "svg":
        yield _svg(file)
    else:
        yield _pdf(file)


class Text:
    """A text, as a table of lines."""

    notes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()

    def __init__(self, file: Path, kind: str) -> None:
        self.kind = kind
        self._file = file
        rows = sum(len(each) for each in self._lines(10_000))
        line = Column(name="line", dtype="string")
        # Not a matter of lines, and a difference all the same.
        ends: dict[str, Value] = (
            {} if _ends_with_a_line(file) else {"last line": "without a line break"}
        )
        self.parts = (Part(name="", form="table", rows=rows, columns=(line,), attributes=ends),)

    def rows(self, part: Part, column: Column) -> int:
        """Return the number of lines."""
        del column
        return part.rows or 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the lines in blocks."""
        del part
        for lines in self._lines(rows):
            data = np.empty(len(lines), dtype=object)
            data[:] = lines
            yield {names[0]: Values(data)}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: a text is read from its beginning."""
        del part, names, rows

    def _lines(self, rows: int) -> Iterator[list[str]]:
        # Line ends as they are: a change from LF to CRLF is a change.
        with self._file.open(encoding="utf-8", errors="surrogateescape", newline="\n") as text:
            while lines := [
                line.removesuffix("\n")
                for line in islice(iter(lambda: text.readline(LINE_LIMIT), ""), rows)
            ]:
                yield lines


def _ends_with_a_line(file: Path) -> bool:
    with file.open("rb") as stream:
        if not stream.seek(0, 2):
            return True
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def _svg(file: Path) -> Product:
    """Return the lines of a drawing, its identifiers numbered in their order."""
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    text = SVG_DATE.sub("<dc:date/>", text)
    numbers: dict[str, str] = {}
    for match in SVG_ID.finditer(text):
        numbers.setdefault(match[1], f"\0{len(numbers)}")
    text = SVG_NAME.sub(lambda match: match[1] + numbers.get(match[2], match[2]), text)
    lines = np.array(text.split("\n"), dtype=object)
    return HeldProduct("svg", [table("", {"line": Values(lines)})])


def _pdf(file: Path) -> Product:
    """Return the digest of a document without dates and identifiers."""
    pieces = PDF_STREAM.split(file.read_bytes())
    # What a page draws is never taken for a date of the document; XMP stands in a stream.
    drawn = [number % 2 and XMP not in piece for number, piece in enumerate(pieces)]
    kept = (
        piece if is_drawn else PDF_VOLATILE.sub(b"", piece)
        for is_drawn, piece in zip(drawn, pieces, strict=True)
    )
    digest = hashlib.sha256(b"".join(kept)).hexdigest()
    part = Part(name="", form="document", attributes={"content": digest})
    return HeldProduct("pdf", [(part, {})])
