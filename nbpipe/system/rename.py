"""Rename without ever replacing what nobody looked at: Linux's renameat2(2).

What a plain rename(2) lacks where somebody else works in the same folder: swap two names in one
step and look at what came out (`exchange`), or move only where nothing is (`move_to_free`).
Nothing here knows what is being renamed.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NOREPLACE = 1
EXCHANGE = 2
UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
"""A kernel, C library or file system (NFS) without it."""


def exchange(one: str, other: str, *, folder: int, other_folder: int | None = None) -> bool:
    """Swap two existing names in one step; False where the file system cannot.

    Args:
        one: A name in the folder `folder`.
        other: A name in `other_folder` (by default the same folder).
        folder: Descriptor of an open folder.
        other_folder: That of the other name; None: the same.

    Raises:
        OSError: One of them is missing, or may not be renamed.
    """
    return _renameat2(one, other, folder, folder if other_folder is None else other_folder, 2)


def move_to_free(one: str, other: str, *, folder: int, other_folder: int | None = None) -> None:
    """Rename `one` to `other`, which must be free.

    Where the file system cannot promise that, a look comes first and a plain rename after it.

    Raises:
        FileExistsError: `other` exists.
        OSError: `one` is missing, or may not be renamed.
    """
    other_folder = folder if other_folder is None else other_folder
    if _renameat2(one, other, folder, other_folder, NOREPLACE):
        return
    if exists(other, folder=other_folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), other)
    os.rename(one, other, src_dir_fd=folder, dst_dir_fd=other_folder)


def exists(name: str, *, folder: int) -> bool:
    """Return whether the folder holds that name, even as a dangling link."""
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


@functools.cache
def _function() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return the C library's renameat2, None where it has none (macOS, glibc before 2.28)."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        function = library.renameat2
    except AttributeError:
        return None
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_int
    return function


def _renameat2(one: str, other: str, folder: int, other_folder: int, flags: int) -> bool:
    function = _function()
    if function is None:
        return False
    if function(folder, os.fsencode(one), other_folder, os.fsencode(other), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), one, None, other)
