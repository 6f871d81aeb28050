"""Compressed files and archives: what is in them, whatever their times, order and compression say.

A compressed file (gzip, bzip2, xz, zstd) is read as what it holds. An archive (zip, tar) is a table
of its members, and the content of each member that has a reader: a table in it has columns and
tolerances as it has outside. What is encrypted, and what of very many members is not opened, is
compared by its digest or named.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from nbpipe.reference.products.directories import MARKS, ZARR
from nbpipe.reference.products.held import HeldProduct, table
from nbpipe.reference.products.kinds import kind_of
from nbpipe.reference.products.protocol import (
    READERS,
    NoLibrary,
    ProductError,
    Values,
    opened,
    reader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Column, Part
    from nbpipe.reference.products.protocol import Opener, Product

LARGEST = 20_000_000_000
"""Bytes that are unpacked at most."""
CHUNK = 1 << 20
MOST_OPENED = 200
"""Members of an archive with more are compared by their digests."""
DEEPEST = 5
"""Archives in archives that are opened; a file that unpacks to itself has no end."""
COMPRESSED = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst"}
SHORT = {".tgz": ".tar", ".svgz": ".svg", ".tbz2": ".tar", ".txz": ".tar"}
MEMBER = " in "
"""Between a part's own name and the member that it is in."""

_depth = 0


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Open an archive or a compressed file."""
    with tempfile.TemporaryDirectory(prefix="nbpipe-") as folder, _deeper():
        if kind in COMPRESSED:
            with _compressed(file, kind, Path(folder)) as product:
                yield product
            return
        if kind == "zip" and _is_store(file) and (read := _zarr()) is not None:
            with read(file, kind) as product:
                yield product
            return
        members, comment = (_zip if kind == "zip" else _tar)(file, Path(folder))
        with ExitStack() as stack:
            yield _archive(kind, members, comment, stack)


@contextmanager
def _deeper() -> Iterator[None]:
    global _depth  # noqa: PLW0603  (how deep this process is in archives)
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def _is_store(file: Path) -> bool:
    """Tell a zip archive that is a Zarr store."""
    with zipfile.ZipFile(file) as archive:
        return any(MARKS.get(name) == ZARR for name in archive.namelist())


def _zarr() -> Opener | None:
    """Return the reader of such a store; None where its library is missing."""
    try:
        return reader("zarr")
    except NoLibrary:
        return None


@contextmanager
def _compressed(file: Path, kind: str, folder: Path) -> Iterator[Product]:
    ending = PurePosixPath(file.name).suffix.lower()
    name = file.name.removesuffix(COMPRESSED[kind]) or "content"
    if ending in SHORT:
        name = f"{file.name[: -len(ending)]}{SHORT[ending]}"
    inside = folder / name
    _unpack(file, kind, inside)
    found = kind_of(inside)
    if found in READERS and _depth <= DEEPEST:
        with opened(inside, found) as product:
            yield product
        return
    yield HeldProduct(kind, [_table([_Member("", inside.stat().st_size, _digest_of(inside))], "")])


def _unpack(file: Path, kind: str, target: Path) -> None:
    try:
        with _stream(file, kind) as packed, target.open("wb") as plain:
            _copy(packed, plain, target.parent, LARGEST)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ProductError(f"it cannot be unpacked: {error}") from error


def _stream(file: Path, kind: str) -> Any:  # noqa: ANN401  (what each library opens)
    if kind == "gzip":
        return gzip.open(file)
    if kind == "bzip2":
        return bz2.open(file)
    if kind == "xz":
        return lzma.open(file)
    try:
        import pyarrow as pa  # noqa: PLC0415  (slow)
    except ImportError as error:
        raise NoLibrary.of("pyarrow") from error
    return pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")


def _copy(packed: IO[bytes], plain: IO[bytes], folder: Path, most: int) -> int:
    """Copy as much as there is, up to a limit; return how many bytes.

    Raises:
        ProductError: There is more, or no room for it.
    """
    written = 0
    while data := packed.read(CHUNK):
        written += len(data)
        if written > most:
            raise ProductError(f"it holds more than {LARGEST:,} bytes")
        if shutil.disk_usage(folder).free < len(data):
            raise ProductError(f"{folder} has no room to unpack it")
        plain.write(data)
    return written


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an archive."""

    name: str
    bytes: int
    digest: str
    """SHA-256; of what is encrypted or no file, what stands for its content."""
    mode: int = 0
    said: str = ""
    """Its comment, or where a link leads."""
    file: Path | None = None
    """Where it was unpacked; None where it was not."""
    uncompared: str = ""


def _zip(file: Path, folder: Path) -> tuple[list[_Member], str]:
    found = []
    room = LARGEST
    with zipfile.ZipFile(file) as archive:
        for number, info in enumerate(archive.infolist()):
            said = info.comment.decode("utf-8", "backslashreplace")
            mode = info.external_attr >> 16
            if info.flag_bits & 1:
                digest = f"encrypted, CRC {info.CRC:08x}"
                why = f"{info.filename}: encrypted"
                found.append(
                    _Member(info.filename, info.file_size, digest, mode, said, uncompared=why)
                )
                continue
            inside = _place(folder, number, info.filename)
            with archive.open(info) as packed, inside.open("wb") as plain:
                room -= _copy(packed, plain, folder, room)
            size, digest = info.file_size, _digest_of(inside)
            found.append(_Member(info.filename, size, digest, mode, said, inside))
        comment = archive.comment.decode("utf-8", "backslashreplace")
        start = min((info.header_offset for info in archive.infolist()), default=0)
    with file.open("rb") as stream:
        before = hashlib.sha256(stream.read(start)).hexdigest() if start else ""
    return found, f"{comment}{f' (behind {start} bytes, SHA-256 {before})' if start else ''}"


def _tar(file: Path, folder: Path) -> tuple[list[_Member], str]:
    found = []
    room = LARGEST
    with tarfile.open(file, "r:") as archive:
        for number, info in enumerate(archive):
            packed = archive.extractfile(info) if info.isreg() else None
            if packed is None:
                kind = {tarfile.DIRTYPE: "folder"}.get(info.type, f"type {info.type!r}")
                found.append(_Member(info.name, info.size, kind, info.mode, info.linkname))
                continue
            inside = _place(folder, number, info.name)
            with packed, inside.open("wb") as plain:
                room -= _copy(packed, plain, folder, room)
            digest = _digest_of(inside)
            found.append(_Member(info.name, info.size, digest, info.mode, "", inside))
    return found, ""


def _place(folder: Path, number: int, name: str) -> Path:
    """Return where a member is unpacked: below our own folder, whatever its name says."""
    where = folder / str(number)
    where.mkdir()
    return where / (PurePosixPath(name).name[:200].replace("\0", "") or "member")


def _archive(kind: str, members: list[_Member], comment: str, stack: ExitStack) -> Product:
    """Return the table of the members, and the content of those that have a reader."""
    names = [each.name for each in members]
    inside: list[tuple[str, Product]] = []
    listed = []
    for member in sorted(members, key=lambda each: each.name):
        product = None
        if len(members) <= MOST_OPENED and names.count(member.name) == 1:
            product = _opened(member, stack)
        if product is not None:
            inside.append((member.name, product))
            # Its content is compared as what it is, not by its bytes.
            member = replace(member, bytes=0, digest=product.kind)  # noqa: PLW2901
        listed.append(member)
    part, values = _table(listed, comment)
    uncompared = tuple(each.uncompared for each in members if each.uncompared)
    return _Archive(HeldProduct(kind, [(part, values)], uncompared=uncompared), inside)


def _opened(member: _Member, stack: ExitStack) -> Product | None:
    """Return the product that a member is; None where only its bytes can be compared."""
    if member.file is None or _depth > DEEPEST:
        return None
    try:
        kind = kind_of(member.file)
        if kind not in READERS:
            return None
        return stack.enter_context(opened(member.file, kind))
    except (ProductError, OSError):
        return None


class _Archive:
    """An archive: its members, and the parts of those that were opened."""

    notes: tuple[str, ...] = ()

    def __init__(self, members: HeldProduct, inside: Sequence[tuple[str, Product]]) -> None:
        self.kind = members.kind
        self._owners: dict[str, tuple[Product, Part]] = {
            part.name: (members, part) for part in members.parts
        }
        uncompared = list(members.uncompared)
        parts = list(members.parts)
        for name, product in inside:
            uncompared += [f"{each}{MEMBER}{name}" for each in product.uncompared]
            for part in product.parts:
                whole = f"{part.name}{MEMBER}{name}".removeprefix(MEMBER)
                self._owners[whole] = product, part
                parts.append(replace(part, name=whole))
        self.uncompared = tuple(uncompared)
        self.parts = tuple(parts)

    def rows(self, part: Part, column: Column) -> int:
        """Return how many rows a column has."""
        product, own = self._owners[part.name]
        return product.rows(own, column)

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield the rows in blocks."""
        product, own = self._owners[part.name]
        yield from product.blocks(own, names, rows)

    def take(
        self, part: Part, names: Sequence[str], rows: NDArray[Any]
    ) -> dict[str, Values] | None:
        """Return these rows, where the member's format can."""
        product, own = self._owners[part.name]
        return product.take(own, names, rows)


def _digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _table(members: list[_Member], comment: str) -> tuple[Part, dict[str, Values]]:
    columns: dict[str, NDArray[Any]] = {
        "member": np.array([each.name for each in members], dtype=object),
        "bytes": np.array([each.bytes for each in members], dtype=np.int64),
        "sha256": np.array([each.digest for each in members], dtype=object),
        "mode": np.array([each.mode for each in members], dtype=np.int64),
        "comment": np.array([each.said for each in members], dtype=object),
    }
    values = {name: Values(data) for name, data in columns.items()}
    part, _ = table("", values, {"comment": comment} if comment else None)
    return part, values
