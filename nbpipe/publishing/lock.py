"""One process at a time for one collection, by a lock that dies with its process.

Two threads exclude each other as well. What is written in the file says that its holder has not
finished: found by the next one, it means a crash.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbpipe.publishing.errors import Busy, Refused, Stopped
from nbpipe.system import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK = 0.05
"""Seconds between two tries."""


@contextmanager
def held(file: Path, *, patience: float, stop: threading.Event | None = None) -> Iterator[bool]:
    """Hold the lock; the value says whether the last holder was killed at work.

    Args:
        file: Made where it is missing, never removed.
        patience: Seconds to wait for another holder.
        stop: Ends the waiting.

    Raises:
        Busy: Another process held it all that time.
        Stopped: Somebody wants everything to end.
    """
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(fd, file, patience, stop or threading.Event())
        crashed = bool(os.fstat(fd).st_size)
        os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
        try:
            yield crashed
        except Refused:
            # A verdict, after which nothing is half done: what was prepared stays.
            os.ftruncate(fd, 0)
            raise
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _take(fd: int, file: Path, patience: float, stop: threading.Event) -> None:
    end = time.monotonic() + patience
    while True:
        if locks.take(fd):
            return
        if time.monotonic() >= end:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace")
            raise Busy(
                f"{file.parent.name}: process {holder} is at work on it",
                hint="Try again when it is done.",
            )
        if stop.wait(_LOOK):
            raise Stopped(f"{file.parent.name}: stopped before it began")
