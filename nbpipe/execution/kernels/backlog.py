"""What a kernel has sent and nobody has taken yet: when it is too much, the kernel has to wait.

libzmq reads ahead as fast as it can and counts messages, not bytes: a notebook that prints
gigabytes while this process has no time would fill its memory. A limit of messages
(ZMQ_RCVHWM) would drop output instead, as a full PUB socket does. So a kernel is stopped
(SIGSTOP) while this process holds too much, and goes on when all of it was taken, as a writer to
a full pipe waits for its reader.

The kernel's own queue holds 1,000 messages (ZMQ_SNDHWM) and drops what is more, which happens when
the thread that empties it gets no processor. A kernel of ipykernel is asked to wait instead. Of
others nothing can be asked; what they drop is seen by its numbers (see `Session.lost`) and told.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

    from zmq.asyncio import Socket

FREE = 8_000_000
"""Bytes of messages before anybody looks at the memory."""
MORE = 64_000_000
"""Bytes that this process may grow by."""
WAIT = (
    "(lambda thread: thread.schedule(lambda: thread.socket.setsockopt(69, 1)))"
    "(__import__('ipykernel.kernelapp').kernelapp.IPKernelApp.instance().iopub_thread)"
)
"""Evaluated in a kernel of ipykernel: its output waits for room in its queue.

69 is ZMQ_XPUB_NODROP, also for PUB sockets (zmq_setsockopt(3)); the socket belongs to a thread.
"""
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the bytes that this process holds in memory; 0 where nobody can say (no Linux)."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


class Sender(Protocol):
    """A kernel, as far as it may have to wait."""

    @property
    def process(self) -> int | None:
        """Its process id; None where nobody can know it."""


class Backlog:
    """Watches what waits in one socket, and stops the kernel that sends it."""

    def __init__(
        self, socket: Socket, kernel: Sender, *, memory: Callable[[], int] = resident
    ) -> None:
        self._socket = socket
        self._kernel = kernel
        self._memory = memory
        self._mark = memory() + MORE
        self._bytes = 0
        self._held: int | None = None

    def took(self, size: int) -> None:
        """Take note of a message that was received; stop the kernel, or let it go on."""
        self._bytes += size
        if self._held is not None:
            if not self._waits():
                self.release()
        elif self._bytes > FREE and self._memory() > self._mark and self._waits():
            self._hold()

    def release(self) -> None:
        """Let a stopped kernel go on."""
        if self._held is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._held, signal.SIGCONT)
            self._held = None

    def _hold(self) -> None:
        process = self._kernel.process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
                self._held = process

    def _waits(self) -> bool:
        """Tell whether another message is here; reading the events also makes asyncio see it."""
        return bool(int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN)
