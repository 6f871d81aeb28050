"""What kind of file it is, by its content; the name only decides where content cannot."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 8192
"""Bytes that are looked at."""

MAGIC = (
    (b"SIMPLE  =", "fits"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PAR1", "parquet"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"# %ECSV", "ecsv"),
    (b"CDF\x01", "netcdf3"),
    (b"CDF\x02", "netcdf3"),
    (b"CDF\x05", "netcdf3"),
    (b"%PDF-", "pdf"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
)
TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".dat")
JSON_ENDINGS = (".json", ".geojson")
HDF5_OFFSETS = (512, 1024, 2048, 4096)
"""Where an HDF5 file begins behind a user block (HDF5 format specification, section II.A)."""


def kind_of(file: Path) -> str:
    """Return the kind of a file; `empty`, `binary` and others have no reader.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    kind = kind_of_content(head, file.name)
    return "fits" if kind == "gzip" and _fits_inside(file) else kind


def kind_of_content(head: bytes, name: str) -> str:
    """Return the kind of a file that begins like this and is called so."""
    if not head:
        return "empty"
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    hdf5 = MAGIC[1][0]
    if any(head[at : at + len(hdf5)] == hdf5 for at in HDF5_OFFSETS):
        return "hdf5"
    if not _is_text(head):
        return "binary"
    lower = name.lower()
    if lower.endswith(JSON_ENDINGS) and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        return "json"
    return "csv" if lower.endswith(TABLE_ENDINGS) else "text"


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut by the end of the head.
        return len(head) == HEAD and error.start >= len(head) - 3
    return True


def _fits_inside(file: Path) -> bool:
    try:
        with gzip.open(file) as stream:
            return stream.read(9) == b"SIMPLE  ="
    except (OSError, EOFError, zlib.error):
        return False
