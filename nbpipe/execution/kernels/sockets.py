"""The sockets to kernels, and what becomes of messages that wait in them.

One ZeroMQ context serves all kernels of this process.

A context costs two threads and five descriptors of its own (zmq_ctx_new(3)); one for each kernel
made a node with many cores run out of both. A kernel that sends faster than it is read is stopped
until there is room again, so that the runner's memory stays bounded (`Backlog`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zmq
import zmq.asyncio

if TYPE_CHECKING:
    from collections.abc import Callable

    from zmq.asyncio import Socket

_MAX_SOCKETS = 65_000
"""A context has 1,023 by default (zmq_ctx_set(3)), and a kernel takes up to seven."""

_THREADS = 3
"""What a context starts with its first socket (one for input and output, one that closes), and one
for whoever takes one meanwhile."""

_RECONNECT_MS = 10
"""The client connects before the kernel listens; libzmq would try again every 100 ms."""


class Sockets(zmq.asyncio.Context):
    """The sockets to one kernel, made in the context of all.

    They drop messages that are too long before they are read: a kernel that prints a gigabyte at
    once sends it as one message, which libzmq would hold in memory; beyond ZMQ_MAXMSGSIZE it
    closes the connection instead (zmq_setsockopt(3)).
    """

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(shadow=_shared(os.getpid()))
        self.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
        self.setsockopt(zmq.RCVHWM, 0)  # what waits here is not lost: a full PUB socket drops
        self.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)

    def term(self) -> None:
        """Do nothing: `destroy` closes this kernel's sockets, and the context is others' too."""


@functools.cache
def _shared(process: int) -> zmq.Context[zmq.Socket[bytes]]:  # noqa: ARG001  (a fork has its own)
    """Return the context of this process; it ends with it.

    Raises:
        RuntimeError: No thread can be started; libzmq would abort the whole process then.
    """
    enough = threading.Event()
    threads = [threading.Thread(target=enough.wait, daemon=True) for _ in range(_THREADS)]
    try:
        for thread in threads:
            thread.start()
    finally:
        enough.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
    context.socket(zmq.PAIR).close()  # which starts its threads, now that there is room for them
    return context


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
