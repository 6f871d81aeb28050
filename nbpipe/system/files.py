"""Files that are there whole or not at all, and copies that own their bytes.

The only module that puts a file in the place of another, and that has one on the disk before it
goes on. What works through descriptors of folders (a user's copy, the store of releases) does that
itself. `durable` costs a write to the disk: for what must not be older, after the power failed,
than what was done because of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FICLONE = 0x40049409
"""Of linux/fs.h; ioctl_ficlone(2)."""
_CHUNK = 1 << 20


def clone(source: BinaryIO, target: BinaryIO) -> bool:
    """Let an empty file share another one's blocks; writing to either leaves the other as it is.

    Returns:
        False where the file system cannot (ext4, another file system than the source's), or where
        the source has no descriptor.
    """
    try:
        fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
    except OSError:
        return False
    return True


def copy_bytes(source: BinaryIO, target: BinaryIO) -> None:
    """Copy all of a file that was just opened into an empty one, by sharing where that can be.

    Raises:
        OSError: It cannot be read or written.
    """
    if not clone(source, target):
        shutil.copyfileobj(source, target, _CHUNK)


def copy_file(source: Path, target: Path) -> str:
    """Copy a file's content, times and mode to a new file; return the SHA-256 of what arrived.

    A symbolic link is followed: the copy is a file. Never a hard link: who writes into the source
    would write into the copy.

    Raises:
        FileExistsError: There is something under the target's name.
        OSError: It cannot be read or written.
    """
    with source.open("rb") as old, target.open("xb") as new:
        copy_bytes(old, new)
    shutil.copystat(source, target)
    return digest(target)


def digest(file: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def replace(
    file: Path,
    data: bytes,
    *,
    mode: int = 0o666,
    durable: bool = False,
    fresh: Path | None = None,
) -> None:
    """Write a small file: a reader sees the old content or the new, never what is between.

    Args:
        file: Its folder is there.
        data: The new content.
        mode: Where it gives others nothing it is exact; else the umask is taken off.
        durable: The new content is on the disk before it has the name.
        fresh: Where it is written first, by default beside it with `.new`. Who may write the file
            at the same time as another needs a name of its own.

    Raises:
        OSError: It cannot be written.
    """
    fresh = file.with_name(f"{file.name}.new") if fresh is None else fresh
    write(fresh, data, mode=mode, durable=durable)
    settle(fresh, file)


def write_whole(file: Path, data: bytes) -> None:
    """Write a file in place of an earlier one, durably, where others may write it at the same time.

    The last one's content stays.

    Raises:
        OSError: It cannot be written; what was there stays, and nothing is left beside it.
    """
    fresh = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    try:
        replace(file, data, durable=True, fresh=fresh)
    finally:
        fresh.unlink(missing_ok=True)


def write(file: Path, data: bytes, *, mode: int = 0o666, durable: bool = False) -> None:
    """Write a file in place; see `replace` for the arguments.

    Raises:
        OSError: It cannot be written.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        if not mode & 0o077:
            os.fchmod(descriptor, mode)  # of an earlier version, perhaps
        stream.write(data)
        if durable:
            stream.flush()
            os.fsync(descriptor)


@contextlib.contextmanager
def replacing(file: Path, *, mode: int) -> Iterator[BinaryIO]:
    """Give a stream whose bytes become the file when all of them are written, and not before.

    Args:
        file: Its folder is there.
        mode: Exactly the permissions that it gets.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    fresh = file.with_name(f".nbpipe-{os.urandom(8).hex()}.tmp")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(descriptor, mode)
        settle(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)


def settle(fresh: Path, file: Path) -> None:
    """Give a file that is whole the name that others know, in place of what has it.

    Raises:
        OSError: It cannot be renamed.
    """
    fresh.replace(file)


def create(file: Path, data: bytes, *, mode: int) -> bool:
    """Write a new file, whole and on the disk; False where there is one of that name.

    Unlike a rename it never replaces what another process made at the same time.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    fresh = file.with_name(f"{file.name}.{os.urandom(8).hex()}")
    try:
        write(fresh, data, mode=mode, durable=True)
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
            return True
        return False
    finally:
        fresh.unlink(missing_ok=True)


def relink(link: Path, target: Path, *, fresh: Path) -> None:
    """Have a symbolic link lead elsewhere, in one step; what is left over at `fresh` goes.

    Raises:
        OSError: It cannot be made.
    """
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    settle(fresh, link)
    sync_folder(link.parent)


def append_line(file: Path, line: bytes, *, mode: int) -> None:
    """Add one line to a file and have it on the disk; one that a crash tore is ended first.

    Raises:
        OSError: It cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(file, flags, mode)
    try:
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (b"\n" if torn else b"") + line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_folder(folder: Path) -> int:
    """Return a descriptor of the folder, to be closed; a link is refused.

    Raises:
        OSError: It is not a folder, or may not be read.
    """
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def sync_folder(folder: Path) -> None:
    """Have the folder's entries on the disk.

    Raises:
        OSError: The disk says no.
    """
    descriptor = open_folder(folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
