"""What is watched beside a running notebook's cells: its time, its process's output, its terminal.

Each of them stops the notebook by its `Halt`; none knows which cell runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from nbpipe.execution import halting, terminals
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbpipe.execution.halting import Halt
    from nbpipe.execution.workspace import Workspace
    from nbpipe.model import Task

_TICK_SECONDS = 1.0
_STRAY_LOG_FACTOR = 2
_PATIENCE = 5
"""So many looks must find the same wait at a terminal: `read -t 3` of an old bash is none."""
SHELLS = frozenset({"bash", "sh", "zsh"})
"""Languages whose kernels keep their shell at a terminal and type only at its prompt."""


_SHELL_SHUTDOWN_SECONDS = 1.0
"""bash_kernel has nothing to see to, and often takes the 10 s of `Limits.shutdown_seconds`."""


def shutdown_seconds(task: Task) -> float:
    """Return how long a kernel may take to shut itself down after the last cell."""
    if task.language in SHELLS and task.limits.shutdown == "auto":
        return min(_SHELL_SHUTDOWN_SECONDS, task.limits.shutdown_seconds)
    return task.limits.shutdown_seconds


class Shell:
    """The shell that a shell's kernel keeps at a terminal; other languages have none."""

    def __init__(self, language: str, kernel: int | None) -> None:
        self._kernel = kernel if language in SHELLS else None
        self._leaders = self._look()

    def was_lost(self) -> bool:
        """Return whether the shell of the last time is gone.

        bash_kernel starts another one then, and its reply says that all is well.
        """
        before, self._leaders = self._leaders, self._look()
        return bool(before) and not before & self._leaders

    def _look(self) -> frozenset[terminals.Leader]:
        return frozenset() if self._kernel is None else terminals.leaders(self._kernel)


@contextlib.contextmanager
def watched(
    task: Task, workspace: Workspace, halt: Halt, kernel: Callable[[], int | None]
) -> Iterator[None]:
    """Watch while a notebook runs; `kernel` returns the kernel's process id once it is known."""
    watches = [_output(workspace, _STRAY_LOG_FACTOR * task.limits.output_bytes, halt)]
    if task.limits.notebook_seconds is not None:
        watches.append(_time(task.limits.notebook_seconds, halt))
    if task.language in SHELLS:
        watches.append(_terminal(kernel, halt))
    running = [asyncio.ensure_future(watch) for watch in watches]
    try:
        yield
    finally:
        for watch in running:
            watch.cancel()


async def _time(seconds: float, halt: Halt) -> None:
    await asyncio.sleep(seconds)
    halt(halting.overran("notebook", seconds))


async def _output(workspace: Workspace, limit: int, halt: Halt) -> None:
    """Stop a kernel whose process itself writes for ever, past the protocol."""
    while workspace.log_bytes() <= limit:  # noqa: ASYNC110  (nobody would set an event)
        await asyncio.sleep(_TICK_SECONDS)
    halt(halting.too_much(f"more than {units.megabytes(limit)} on the kernel's own output"))


async def _terminal(kernel: Callable[[], int | None], halt: Halt) -> None:
    """Stop a shell that waits for somebody to type.

    Other kernels may themselves type into a terminal that they have opened, later.
    """
    last, looks = None, 0
    while last is None or looks < _PATIENCE:
        await asyncio.sleep(_TICK_SECONDS)
        process = kernel()
        found = terminals.reader(process) if process is not None else None
        looks = looks + 1 if found == last else 1
        last = found
    halt(halting.waits(last.name))
