"""What kind of file it is, by its content; the name only decides where content cannot."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nbpipe.reference.products.directories import METADATA

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
    (b"PK\x05\x06", "zip"),
    (b"SQLite format 3\0", "sqlite"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
)
TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".dat")
COLUMN_ENDINGS = (".txt", ".asc", ".ascii")
"""Of texts that are tables where all of their first lines are rows of numbers."""
ENDINGS = {
    "json": (".json", ".geojson", ".jsonl", ".ndjson", *METADATA),
    "yaml": (".yaml", ".yml"),
    "svg": (".svg",),
    "votable": (".vot", ".xml", ".votable"),
}
BEGINNINGS = {
    "json": re.compile(r"[{\[]"),
    "svg": re.compile(r"(?s)(<\?xml.*?)?.*<svg\b"),
    "votable": re.compile(r"(?s)(<\?xml.*?)?.*<(\w+:)?VOTABLE\b"),
}
"""What a text of that kind begins with, its name aside."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""What no text holds, whatever its encoding."""
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
    if kind == "gzip" and _fits_inside(file):
        return "fits"
    return "npz" if kind == "zip" and file.suffix.lower() == ".npz" else kind


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
    if head[257:262] == b"ustar":
        return "tar"
    if CONTROL.search(head):
        return "binary"
    return _kind_of_text(head.decode("utf-8-sig", "replace"), name.lower())


def _kind_of_text(head: str, name: str) -> str:
    for kind, endings in ENDINGS.items():
        begins = BEGINNINGS.get(kind)
        if name.endswith(endings) and (begins is None or begins.match(head.lstrip())):
            return kind
    if name.endswith(TABLE_ENDINGS):
        return "csv"
    ending = PurePosixPath(name).suffix
    return "csv" if ending in COLUMN_ENDINGS and _is_columns(head) else "text"


def _is_columns(head: str) -> bool:
    """Tell rows of two numbers or more, apart by blanks, below comments: numpy.savetxt's."""
    lines = head.split("\n")
    if len(lines) > 1:
        lines.pop()  # cut by the end of the head, or empty
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    widths = {len(row) for row in rows}
    return (
        len(widths) == 1
        and widths.pop() > 1
        and all(NUMBER.fullmatch(word) for row in rows for word in row)
    )


def _fits_inside(file: Path) -> bool:
    try:
        with gzip.open(file) as stream:
            return stream.read(9) == b"SIMPLE  ="
    except (OSError, EOFError, zlib.error):
        return False
