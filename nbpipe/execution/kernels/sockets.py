"""The sockets to kernels: one ZeroMQ context for all kernels of this process.

A context costs two threads and five descriptors of its own (zmq_ctx_new(3)); one for each kernel
made a node with many cores run out of both.
"""

from __future__ import annotations

import functools
import os
import threading

import zmq
import zmq.asyncio

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
