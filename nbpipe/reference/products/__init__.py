"""Data products: what kind of file each is, its schema, its statistics, and its columns.

    describe_outputs(folder, globs) -> tuple[Output, ...]      never raises because of a file
    with opened(file) as product:                              to compare the data of two files
        for block in product.blocks(part, names, rows): ...

One reader for each kind stands behind the protocol in `protocol`; the library that it needs (the
extra `reference`) is imported when a file of that kind appears. No rule about what may differ,
and no manifest as a whole, enters here.
"""

from __future__ import annotations

from nbpipe.reference.products.description import describe_outputs
from nbpipe.reference.products.protocol import ProductError, opened

__all__ = ["ProductError", "describe_outputs", "opened"]
