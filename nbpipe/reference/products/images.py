"""PNG, JPEG and TIFF: size, mode, colours and what they say of themselves.

A palette's colours are compared, not their numbers. Imports Pillow; see `protocol`.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.TiffTags import TAGS_V2

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct
from nbpipe.reference.products.protocol import Product, Values
from nbpipe.reference.products.types import cut, plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

MOST_PIXELS = 100_000_000
"""Larger images are compared by their bytes and size alone."""
MOST_TEXT = 10_000_000
"""Bytes of one text in a PNG, unpacked."""
BYTE = 8
SIXTEEN = frozenset({"I;16", "I;16B", "I"})
"""Modes in which Pillow keeps 16 bits; of colours it keeps 8."""
WRITERS_OWN = frozenset(
    {
        *("Software", "Creation Time", "date:create", "date:modify", "date:timestamp", "tIME"),
        *(
            "transparency",
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
            "progressive",
            "progression",
        ),
    }
)
"""What changes with the library or the clock, is compared as pixels, or only stores them."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Open an image; what is damaged is noticed when its pixels are read."""
    with Image.open(file, formats=["PNG", "JPEG", "TIFF"]) as image:
        if kind == "tiff":
            yield _pages(image, kind)
            return
        chunks = _chunks(file) if kind == "png" else _behind_jpeg(file)
        yield Picture(image, kind, _depth(file, kind), chunks)


class Picture:
    """An open image."""

    notes: tuple[str, ...] = ()

    def __init__(self, image: Image.Image, kind: str, depth: int, more: dict[str, Value]) -> None:
        self.kind = kind
        self._image = image
        width, height = image.size
        self._small = width * height <= MOST_PIXELS
        uncompared = [] if self._small else [f"its pixels: {width} x {height} are too many"]
        mode = image.mode
        if depth > BYTE and mode not in SIXTEEN:
            uncompared.append(f"the lower bits of its pixels: {depth} bits of a channel")
        if getattr(image, "n_frames", 1) > 1:
            uncompared.append("all of its frames but the first")
        self.uncompared = tuple(uncompared)
        # The colours, not their numbers in a palette; and what of them is seen through.
        self._seen = "RGBA" if mode == "P" or "transparency" in image.info else mode
        bands = 4 if self._seen == "RGBA" else len(image.getbands())
        shape = (height, width) if bands == 1 else (height, width, bands)
        dtype = {"1": "bool", "I": "int32", "I;16": "uint16", "F": "float32"}
        pixels = Column(name="pixels", dtype=dtype.get(mode, "uint8"), shape=shape)
        attributes: dict[str, Value] = {"width": width, "height": height, "mode": mode}
        attributes |= _metadata(image.info) | more
        part = Part(name="", form="image", columns=(pixels,), attributes=attributes)
        self.parts = (part,)

    def rows(self, part: Part, column: Column) -> int:
        """Return the height."""
        del part
        return column.shape[0] if self._small else 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the lines of the image in blocks."""
        del part
        seen = self._image if self._seen == self._image.mode else self._image.convert(self._seen)
        pixels = np.asarray(seen)
        for start in range(0, len(pixels), rows):
            yield {names[0]: Values(pixels[start : start + rows])}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: nobody joins pixels."""
        del part, names, rows


def _metadata(info: Mapping[Any, Any]) -> dict[str, Value]:
    """Return what an image says of itself, but for its writer and the time."""
    found: dict[str, Value] = {}
    for key, value in info.items():
        if not isinstance(key, str) or key in WRITERS_OWN:
            continue
        if isinstance(value, bytes):
            found[key] = f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
        else:
            found[key] = plain_value(value)
    return found


SEEN = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"tIME", b"fdAT", b"fcTL", b"acTL"})
"""Chunks that are compared as pixels, counted as frames, or hold the clock."""


def _chunks(file: Path) -> dict[str, Value]:
    """Return all other chunks of a PNG, wherever they stand, and what is behind the last one."""
    found: dict[str, Value] = {}
    data = file.read_bytes()
    at = 8
    while at + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + size]
        if data[at + 8 + size : at + 12 + size] != struct.pack(">I", zlib.crc32(name + content)):
            found["damaged from"] = f"byte {at}: {_sum(data[at:])}"
            return found
        at += 12 + size
        if name in TEXTS:
            keyword, said = _text_chunk(name, content)
            if keyword not in WRITERS_OWN:
                found[_free(keyword, found)] = said
        elif name not in SEEN:
            found[_free(f"chunk {name.decode('latin-1')}", found)] = _sum(content)
        if name == b"IEND":
            break
    if data[at:]:
        found["trailing bytes"] = _sum(data[at:])
    return found


TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def _text_chunk(name: bytes, content: bytes) -> tuple[str, str]:
    """Return the keyword and the text (PNG specification, 11.3.4)."""
    keyword, _, rest = content.partition(b"\0")
    if name == b"zTXt":
        rest = _inflated(rest[1:])
    elif name == b"iTXt":
        language, _, after = rest[2:].partition(b"\0")
        translated, _, text = after.partition(b"\0")
        text = _inflated(text) if rest[:1] == b"\1" else text
        said = b" ".join(each for each in (language, translated, text) if each)
        return keyword.decode("latin-1"), cut(said.decode("utf-8", "backslashreplace"))
    return keyword.decode("latin-1"), cut(rest.decode("latin-1"))


def _inflated(data: bytes) -> bytes:
    inflating = zlib.decompressobj()
    return inflating.decompress(data, MOST_TEXT)


def _free(name: str, found: Mapping[str, Value]) -> str:
    number, fresh = 1, name
    while fresh in found:
        number += 1
        fresh = f"{name} ({number})"
    return fresh


def _behind_jpeg(file: Path) -> dict[str, Value]:
    """Return what stands behind the end of a JPEG's image."""
    behind = file.read_bytes().rpartition(b"\xff\xd9")[2]
    return {"trailing bytes": _sum(behind)} if behind else {}


def _sum(data: bytes) -> str:
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"


STORAGE = frozenset(
    {254, 256, 257, 258, 259, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338}
)
"""Tags of a TIFF that only say how its pixels are stored (TIFF 6.0)."""
CLOCK = frozenset({305, 306})
"""Software and DateTime."""


def _pages(image: Any, kind: str) -> HeldProduct:  # noqa: ANN401  (a TiffImageFile)
    """Return the pages of a TIFF, each with its pixels and what it says of itself."""
    content: list[tuple[Part, dict[str, Values]]] = []
    uncompared: list[str] = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        name = f"page {number + 1}" if number else ""
        width, height = image.size
        attributes: dict[str, Value] = {"width": width, "height": height, "mode": image.mode}
        for tag, value in image.tag_v2.items():
            if tag not in STORAGE | CLOCK:
                attributes[TAGS_V2[tag].name if tag in TAGS_V2 else f"tag {tag}"] = plain_value(
                    _sum(value) if isinstance(value, bytes) else value
                )
        if width * height > MOST_PIXELS:
            uncompared.append(f"{name or 'its'} pixels: {width} x {height} are too many")
            content.append((Part(name=name, form="image", attributes=attributes), {}))
            continue
        seen = image.convert("RGB") if image.mode == "P" else image
        data = np.array(seen)
        pixels = Column(name="pixels", dtype=data.dtype.name, shape=data.shape)
        part = Part(name=name, form="image", columns=(pixels,), attributes=attributes)
        content.append((part, {"pixels": Values(data)}))
    return HeldProduct(kind, content, uncompared=tuple(uncompared))


def _depth(file: Path, kind: str) -> int:
    """Return the bits of a channel, as a PNG's header has them (PNG specification, 11.2.1)."""
    if kind != "png":
        return BYTE
    with file.open("rb") as stream:
        return stream.read(25)[24]
