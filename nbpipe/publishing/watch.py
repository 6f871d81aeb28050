"""Collections kept up to date by this process: once, or until a signal."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from nbpipe.publishing.reconcile import Reconciler

_LOOK = 0.2
"""Seconds between two looks for a signal."""


def until_signal(workers: Sequence[Reconciler]) -> None:
    """Run every worker in a thread until SIGTERM or SIGINT."""
    stop = threading.Event()
    told: list[int] = []

    def end(number: int, _: object) -> None:
        # No lock here: a handler runs in the middle of whatever the main thread is doing.
        told.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    threads = [threading.Thread(target=worker.run_forever, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    while not told:
        time.sleep(_LOOK)
    stop.set()
    for thread in threads:
        thread.join()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end what is under way as Ctrl-C does, so that git is ended as well."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
