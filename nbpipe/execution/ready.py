"""What a notebook runs on, which can be made ready before its turn: its files and its kernel.

Nothing of the notebook is read, sent or executed here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.execution.kernels.kernel import Kernel, KernelStartError
from nbpipe.execution.kernels.session import message_bytes
from nbpipe.execution.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.execution.kernels.forks import Forks
    from nbpipe.impact.traces import Tracer
    from nbpipe.model import Task


_STARTS = 3
"""So often is a kernel started that ends at once because a port of its was taken."""
_TAKEN = "Address already in use"
"""What such a kernel says: EADDRINUSE (errno(3)), in the words of libzmq and the C library."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all notebooks of a run have in common."""

    forks: Forks | None = None
    """What kernels are forked from; None: each is started from scratch."""
    tracer: Tracer | None = None
    """Records what notebooks depend on; None: nobody does."""


NOTHING_SHARED = Shared()
"""Of a notebook that runs by itself."""


class Ready:
    """The workspace and the kernel of one attempt at a notebook.

    Args:
        task: The notebook.
        output_dir: Where copies and logs go.
        attempt: From 1.
        shared: What the run shares.
    """

    def __init__(self, task: Task, output_dir: Path, attempt: int, shared: Shared) -> None:
        self.task = task
        self.shared = shared
        self.workspace = Workspace(output_dir, task, attempt)
        self.workspace.logger.info("%s, kernel %s, attempt %s", task.path, task.kernel, attempt)
        self.log_start = self.workspace.log_bytes()
        """Where in the log begins what the kernel says."""
        self.kernel = self._new_kernel()
        self._starting: asyncio.Future[None] | None = None
        self._ended = False

    def start(self) -> asyncio.Future[None]:
        """Start the kernel; the future, always the same, is done when it answers."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        return self._starting

    def _new_kernel(self, *, spawn: str = "") -> Kernel:
        return Kernel(
            self.task.kernel,
            max_message_bytes=message_bytes(self.task.limits.output_bytes),
            shutdown=self.task.limits.shutdown,
            environ=self.task.environ,
            hidden=self.task.hidden,
            threads=self.task.cores,
            forks=self.shared.forks,
            spawn=spawn,
        )

    async def _start(self) -> None:
        """Start the kernel, and again where that can help.

        On other ports where somebody took one before it could listen there: the ports in a
        connection file are free when it is written, and nobody's. By spawning, once, where it was
        forked. A kernel that ended before it answered has executed nothing.
        """
        left, spawn = _STARTS, ""
        while True:
            left -= 1
            self.log_start = self.workspace.log_bytes()
            try:
                await self.kernel.start(
                    cwd=self.task.file.parent,
                    log=self.workspace.log,
                    seconds=self.task.limits.startup_seconds,
                )
            except KernelStartError as error:
                warn = self.workspace.logger.warning
                if left and _TAKEN in self.workspace.said(self.log_start):
                    warn("%s: a port was taken; starting it again", error)
                elif self.kernel.was_forked():
                    warn("%s: it was forked; starting it again by spawning", error)
                    spawn = "the forked one did not start"
                else:
                    raise
            else:
                return
            await self.kernel.stop(grace=0)
            self.kernel = self._new_kernel(spawn=spawn)

    def is_well(self) -> bool:
        """Return whether the kernel, which was started, still starts or waits for its turn."""
        starting = self.start()
        if not starting.done():
            return True
        return starting.exception() is None and not self.kernel.exited.done()

    async def end(self, *, grace: float = 0) -> None:
        """End the kernel, once, also one that is still starting.

        Args:
            grace: Seconds that it may take to shut itself down, where it has to.
        """
        if self._ended:
            return
        self._ended = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self.kernel.stop(grace=grace)

    async def close(self) -> None:
        """Give everything back."""
        try:
            await self.end()
        finally:
            self.workspace.close()


def can_be_early(task: Task, forks: Forks | None) -> bool:
    """Return whether a notebook's kernel may start before its turn, while others run.

    Only where it is a fork, which takes next to nothing; another kernel may take a licence, a GPU
    or half a second of a processor. And only where the notebook may run beside all others.
    """
    return not task.groups and forks is not None and forks.has_forked(task.kernel)
