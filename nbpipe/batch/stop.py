"""The end of a job as its scheduler wants it: signals for a gentle one, and kills told apart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.model import Category

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.model import Result
    from nbpipe.runner import Executor

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What schedulers send before the limit: TERM (Slurm, PBS, us), USR1 and USR2 (Grid Engine)."""
OUTLIVE_SECONDS = 5.0
"""A scheduler that kills a job kills its processes one after the other: a kernel may be the first.
What is said of a killed kernel is believed only where the job itself still lives this much later.
"""


PARENT = "NBPIPE_PARENT"
"""The variable with the id of a process that the job must not outlive, where there is one."""


def was_killed(result: Result) -> bool:
    """Return whether a notebook's kernel died, which may be the beginning of its job's death."""
    deaths = {Category.KERNEL_DIED, Category.OUT_OF_MEMORY}
    return any(failure.category in deaths for failure in result.failures)


@dataclass
class Stopping:
    """Turns the scheduler's signals into a gentle end."""

    signal: int | None = None
    """The first one that came."""
    reason: str | None = None
    """Why everything is to stop; not always a signal."""
    schedulers: list[Executor] = field(default_factory=list)
    """What runs now."""

    @classmethod
    def begun(cls) -> Stopping:
        """Return what turns signals, and the parent's death, into a gentle end from now on."""
        made = cls()
        made.install()
        _die_with(os.environ.pop(PARENT, None))
        return made

    def install(self) -> None:
        """Take the signals, in the main thread and before there is an event loop."""
        for number in SIGNALS:
            signal.signal(number, self)

    def __call__(self, number: int, _frame: object = None) -> None:
        """Take a signal: the first one interrupts, the second one kills."""
        if self.signal is not None:
            self.kill()
            return
        self.signal = number
        self.stop(f"the job received a signal to stop ({signal.Signals(number).name})")

    def stop(self, reason: str) -> None:
        """Start nothing more, and interrupt what runs."""
        self.reason = self.reason or reason
        for scheduler in self.schedulers:
            scheduler.stop(self.reason)

    def kill(self) -> None:
        """Kill what was interrupted and still runs."""
        for scheduler in self.schedulers:
            scheduler.kill()

    @contextlib.contextmanager
    def around(self, scheduler: Executor) -> Iterator[None]:
        """Stop this run too while it goes on."""
        self.schedulers.append(scheduler)
        if self.reason is not None:  # it came before there was anything to stop
            scheduler.stop(self.reason)
        try:
            yield
        finally:
            self.schedulers.remove(scheduler)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals in the event loop that runs here, so that it wakes up for them."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self, number)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
            self.install()


def _die_with(parent: str | None) -> None:
    """Ask the system for a signal when the parent dies; Linux only, elsewhere nothing."""
    if parent is None or not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of linux/prctl.h
    if os.getppid() != int(parent):  # it died before
        os.kill(os.getpid(), signal.SIGTERM)
