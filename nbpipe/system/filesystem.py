"""What is asked of a whole file system: Linux's syncfs(2). Light enough for `getlatest`."""

from __future__ import annotations

import ctypes
import os


def sync_file_system(fd: int) -> bool:
    """Have all of that file system on the disk, syncfs(2); False where there is no such call.

    Args:
        fd: Anything open there.

    Raises:
        OSError: The disk says no.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        return False
    if function(fd):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True
