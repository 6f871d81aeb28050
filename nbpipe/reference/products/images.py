"""PNG and JPEG: size, mode and pixels. Imports Pillow; see `reading`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.reading import Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOST_PIXELS = 100_000_000
"""Larger images are compared by their bytes and size alone."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Picture]:
    """Open an image; what is damaged is noticed when its pixels are read."""
    with Image.open(file, formats=["PNG", "JPEG"]) as image:
        yield Picture(image, kind)


class Picture:
    """An open image."""

    def __init__(self, image: Image.Image, kind: str) -> None:
        self.kind = kind
        self._image = image
        width, height = image.size
        self._small = width * height <= MOST_PIXELS
        self.notes = () if self._small else (f"{width} x {height}: too large for its pixels",)
        bands = len(image.getbands())
        shape = (height, width) if bands == 1 else (height, width, bands)
        dtype = {"1": "bool", "I": "int32", "I;16": "uint16", "F": "float32"}
        pixels = Column(name="pixels", dtype=dtype.get(image.mode, "uint8"), shape=shape)
        self.parts = (
            Part(
                name="",
                form="image",
                columns=(pixels,),
                attributes={"width": width, "height": height, "mode": image.mode},
            ),
        )

    def rows(self, part: Part, column: Column) -> int:
        """Return the height."""
        del part
        return column.shape[0] if self._small else 0

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the lines of the image in blocks."""
        del part
        pixels = np.asarray(self._image)
        for start in range(0, len(pixels), rows):
            yield {names[0]: Values(pixels[start : start + rows])}

    def take(self, part: Part, names: Sequence[str], rows: NDArray[Any]) -> None:
        """Refuse: nobody joins pixels."""
        del part, names, rows
