"""Copies that own their bytes, and files that appear whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
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


def write_whole(file: Path, data: bytes) -> None:
    """Write a file's content in place of an earlier one; nobody sees a part of it, ever.

    Several writers at once do not disturb each other: the last one's content stays.

    Raises:
        OSError: It cannot be written; what was there stays, and nothing is left beside it.
    """
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with fresh.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def digest(file: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
