"""Gzip and zip: what is in them, whatever their own times, names and compression say.

A gzipped file is read as what it holds. A zip archive is a table of its members with their digests.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from nbpipe.reference.products.held import HeldProduct, table
from nbpipe.reference.products.kinds import kind_of
from nbpipe.reference.products.reading import READERS, ProductError, Values, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.reference.manifest import Part
    from nbpipe.reference.products.reading import Product

LARGEST = 20_000_000_000
"""Bytes that are unpacked at most."""
CHUNK = 1 << 20


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Open an archive."""
    if kind == "zip":
        yield _zip(file)
        return
    with tempfile.TemporaryDirectory(prefix="nbpipe-") as folder:
        inside = Path(folder, file.name.removesuffix(".gz") or "content")
        _unpack(file, inside)
        found = kind_of(inside)
        if found in READERS and found != "gzip":
            with opened(inside, found) as product:
                yield product
            return
        with inside.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        yield HeldProduct(kind, [_members([("", inside.stat().st_size, digest, 0)])])


def _unpack(file: Path, target: Path) -> None:
    try:
        with gzip.open(file) as packed, target.open("wb") as plain:
            written = 0
            while data := packed.read(CHUNK):
                written += len(data)
                if written > LARGEST:
                    raise ProductError(f"it holds more than {LARGEST:,} bytes")
                if shutil.disk_usage(target.parent).free < len(data):
                    raise ProductError(f"{target.parent} has no room to unpack it")
                plain.write(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ProductError(f"it cannot be unpacked: {error}") from error


def _zip(file: Path) -> Product:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > LARGEST:
            raise ProductError(f"it holds more than {LARGEST:,} bytes")
        found = []
        for info in sorted(infos, key=lambda each: each.filename):
            with archive.open(info) as stream:
                mode = info.external_attr >> 16
                found.append((info.filename, info.file_size, _digest(stream), mode))
        comment = archive.comment.decode("utf-8", "backslashreplace")
    return HeldProduct("zip", [_members(found, comment)])


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := stream.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def _members(
    found: list[tuple[str, int, str, int]], comment: str = ""
) -> tuple[Part, Mapping[str, Values]]:
    columns = {
        "member": np.array([each[0] for each in found], dtype=object),
        "bytes": np.array([each[1] for each in found], dtype=np.int64),
        "sha256": np.array([each[2] for each in found], dtype=object),
        "mode": np.array([each[3] for each in found], dtype=np.int64),
    }
    values = {name: Values(data) for name, data in columns.items()}
    return table("", values, {"comment": comment} if comment else None)
