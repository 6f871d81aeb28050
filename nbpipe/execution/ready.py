"""What a notebook runs on, which can be made ready before its turn: its files and its kernel.

Nothing of the notebook is read, sent or executed here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nbpipe.execution import forking
from nbpipe.execution.kernel import Kernel
from nbpipe.execution.session import message_bytes
from nbpipe.execution.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.model import Task


class Ready:
    """The workspace and the kernel of one attempt at a notebook.

    Args:
        task: The notebook.
        output_dir: Where copies and logs go.
        attempt: From 1.
    """

    def __init__(self, task: Task, output_dir: Path, attempt: int) -> None:
        self.task = task
        self.workspace = Workspace(output_dir, task, attempt)
        self.workspace.logger.info("%s, kernel %s, attempt %s", task.path, task.kernel, attempt)
        self.log_start = self.workspace.log_bytes()
        """Where in the log begins what the kernel says."""
        self.kernel = Kernel(
            task.kernel,
            max_message_bytes=message_bytes(task.limits.output_bytes),
            shutdown=task.limits.shutdown,
        )
        self._starting: asyncio.Future[None] | None = None
        self._ended = False

    def start(self) -> asyncio.Future[None]:
        """Start the kernel, once; the future is done when it answers (see `Kernel.start`)."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(
                self.kernel.start(
                    cwd=self.task.file.parent,
                    log=self.workspace.log,
                    seconds=self.task.limits.startup_seconds,
                )
            )
        return self._starting

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


def can_be_early(task: Task) -> bool:
    """Return whether a notebook's kernel may start before its turn, while others run.

    Only where it is a fork, which takes next to nothing; another kernel may take a licence, a GPU
    or half a second of a processor. And only where the notebook may run beside all others.
    """
    return not task.groups and forking.has_forked(task.kernel)
