"""One process at a time for one collection, by a lock that dies with its process.

flock(2) belongs to the open file, so two threads exclude each other as well. What is written in
the file says that its holder has not finished: found by the next one, it means a crash.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbpipe.publishing.errors import Busy, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK = 0.05
"""Seconds between two tries."""


@contextmanager
def held(file: Path, *, patience: float) -> Iterator[bool]:
    """Hold the lock; the value says whether the last holder was killed at work.

    Args:
        file: Made where it is missing, never removed.
        patience: Seconds to wait for another holder.

    Raises:
        Busy: Another process held it all that time.
    """
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(fd, file, patience)
        crashed = bool(os.fstat(fd).st_size)
        os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
        try:
            yield crashed
        except Refused:
            os.ftruncate(fd, 0)  # a verdict, not an accident: nothing is to be cleared away
            raise
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _take(fd: int, file: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                holder = os.pread(fd, 20, 0).decode("ascii", "replace")
                raise Busy(
                    f"{file.parent.name}: process {holder} is at work on it",
                    hint="Try again when it is done.",
                ) from None
            time.sleep(_LOOK)
        else:
            return
