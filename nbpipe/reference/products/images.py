"""PNG and JPEG: size, mode, colours and what they say of themselves.

A palette's colours are compared, not their numbers. Imports Pillow; see `reading`.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.reading import Values
from nbpipe.reference.products.types import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

MOST_PIXELS = 100_000_000
"""Larger images are compared by their bytes and size alone."""
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
def open_product(file: Path, kind: str) -> Iterator[Picture]:
    """Open an image; what is damaged is noticed when its pixels are read."""
    with Image.open(file, formats=["PNG", "JPEG"]) as image:
        yield Picture(image, kind, _depth(file, kind))


class Picture:
    """An open image."""

    notes: tuple[str, ...] = ()

    def __init__(self, image: Image.Image, kind: str, depth: int) -> None:
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
        part = Part(
            name="", form="image", columns=(pixels,), attributes=attributes | _metadata(image.info)
        )
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


def _depth(file: Path, kind: str) -> int:
    """Return the bits of a channel, as a PNG's header has them (PNG specification, 11.2.1)."""
    if kind != "png":
        return BYTE
    with file.open("rb") as stream:
        return stream.read(25)[24]
