"""Stopping a notebook from outside of its cells, with the reason that is then told.

The reason is recorded before anything is interrupted: what a kernel says about being stopped by
us does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.execution import diagnosis
from nbpipe.execution.kernels.kernel import SHELLS
from nbpipe.model import Category, Failure
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbpipe.execution.source import CodeCell
    from nbpipe.execution.workspace import Workspace
    from nbpipe.model import Task


class Halt:
    """Tells a running notebook to stop, once, and why; the first reason counts."""

    def __init__(self) -> None:
        self.reason: asyncio.Future[str | Failure] = asyncio.get_running_loop().create_future()
        self.now = asyncio.Event()
        """Do not wait for it to react to the interrupt."""

    def __call__(self, reason: str | Failure) -> None:
        """Ask to stop: for a failure, or with a text, which makes it skipped."""
        if not self.reason.done():
            self.reason.set_result(reason)


def at(failure: Failure, cell: CodeCell | None) -> Failure:
    """Return the failure, placed in a cell."""
    if cell is None:
        return failure
    return replace(failure, cell=cell.origin, cell_id=cell.cell_id, source=str(cell.node.source))


def too_much(why: str) -> Failure:
    """Return the failure of a notebook that produces too much."""
    return diagnosis.failure(
        Category.OUTPUT_LIMIT, "OutputLimit", f"the notebook was stopped: {why}"
    )


def overran(what: str, seconds: float) -> Failure:
    """Return the failure of a cell or a notebook that ran for too long."""
    name, message = f"{what.title()}Timeout", f"the {what} ran for more than {seconds:g} s"
    return diagnosis.failure(Category.TIMEOUT, name, message)


def told_how(failure: Failure, how: str) -> Failure:
    """Return the failure with what was done about it; its signature stays as it is."""
    if failure.category is Category.TIMEOUT:
        return replace(failure, message=f"{failure.message} and was {how}")
    return failure


def ended_early() -> Failure:
    """Return the failure of a notebook whose injected code calls `exit()`."""
    message = "code that was injected (prerun, parameters) ended the session; no cell was executed"
    return diagnosis.failure(Category.EXCEPTION, "SystemExit", message)


def waits(program: str) -> Failure:
    """Return the failure of a notebook one of whose programs waits at a terminal."""
    message = f"asks for input: {program} waits at its terminal"
    return diagnosis.failure(Category.ASKS_FOR_INPUT, "InputRequest", message)


def asks(prompt: str) -> Failure:
    """Return the failure of a notebook whose kernel asks the user for something."""
    message = f"asks for input: {prompt!r}" if prompt else "asks for input"
    return diagnosis.failure(Category.ASKS_FOR_INPUT, "InputRequest", message)


_TICK_SECONDS = 1.0
_STRAY_LOG_FACTOR = 2
_PATIENCE = 5
"""So many looks must find the same wait at a terminal: `read -t 3` of an old bash is none."""


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

    def _look(self) -> frozenset[Leader]:
        return frozenset() if self._kernel is None else leaders(self._kernel)


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
    halt(overran("notebook", seconds))


async def _output(workspace: Workspace, limit: int, halt: Halt) -> None:
    """Stop a kernel whose process itself writes for ever, past the protocol."""
    while workspace.log_bytes() <= limit:  # noqa: ASYNC110  (nobody would set an event)
        await asyncio.sleep(_TICK_SECONDS)
    halt(too_much(f"more than {units.megabytes(limit)} on the kernel's own output"))


async def _terminal(kernel: Callable[[], int | None], halt: Halt) -> None:
    """Stop a shell that waits for somebody to type.

    Other kernels may themselves type into a terminal that they have opened, later.
    """
    last, looks = None, 0
    while last is None or looks < _PATIENCE:
        await asyncio.sleep(_TICK_SECONDS)
        process = kernel()
        found = reader(process) if process is not None else None
        looks = looks + 1 if found == last else 1
        last = found
    halt(waits(last.name))


_PROC = Path("/proc")
_READ = {"x86_64": 0, "aarch64": 63, "riscv64": 63, "ppc64le": 3, "s390x": 3}
"""The number of read(2), by machine (syscalls(2))."""
_DEV_TTY = os.makedev(5, 0)


@dataclass(frozen=True, slots=True)
class Leader:
    """A child of the kernel that leads a session at a terminal: the shell of a shell kernel."""

    process: int
    started: int
    """As proc(5) has it: ids of processes are used again."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A program that waits for a person at a terminal."""

    process: int
    name: str
    switches: int
    """How often it has gone to sleep; the same number a second later is the same wait."""


@dataclass(frozen=True, slots=True)
class _Process:
    number: int
    name: str
    state: str
    group: int
    session: int
    terminal: int
    foreground: int
    """The process group that the terminal listens to."""
    started: int


def leaders(kernel: int, proc: Path = _PROC) -> frozenset[Leader]:
    """Return the kernel's own children that lead a session at a terminal."""
    return frozenset(Leader(each.number, each.started) for each in _leading(kernel, proc))


def reader(kernel: int, proc: Path = _PROC) -> Reader | None:
    """Return the program that waits for a person at a terminal of the kernel's, if one does."""
    for leader in _leading(kernel, proc):
        for number in _family(leader.number, proc):
            process = _process(number, proc)
            if (
                process is not None
                and process.group == leader.foreground
                and process.terminal == leader.terminal
                and _sleeps_in_read(process, proc)
            ):
                return Reader(number, process.name, _switches(number, proc))
    return None


def _leading(kernel: int, proc: Path) -> Iterator[_Process]:
    for child in _children(kernel, proc):
        process = _process(child, proc)
        if process is not None and process.terminal and process.session == child:
            yield process


def _family(process: int, proc: Path) -> list[int]:
    """Return a process and all that it has started."""
    found = [process]
    for number in found:  # it grows
        found += _children(number, proc)
    return found


def _children(process: int, proc: Path) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (proc / str(process) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def _process(number: int, proc: Path) -> _Process | None:
    """Return a process that lives, None for one that has ended."""
    try:
        text = (proc / str(number) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    if fields[0] in {"Z", "X"}:
        return None
    group, session, terminal, foreground = map(int, fields[2:6])
    return _Process(
        number=number,
        name=head.partition("(")[2],
        state=fields[0],
        group=group,
        session=session,
        terminal=terminal,
        foreground=foreground,
        started=int(fields[19]),
    )


def _sleeps_in_read(process: _Process, proc: Path) -> bool:
    """Return whether it waits in read(2) on its terminal (proc(5), `syscall`)."""
    folder = proc / str(process.number)
    try:
        call, *arguments = (folder / "syscall").read_text(encoding="ascii").split()
        if process.state != "S" or not arguments or int(call) != _READ.get(os.uname().machine):
            return False
        file = (folder / "fd" / str(int(arguments[0], 16))).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(file.st_mode) and file.st_rdev in {_device(process.terminal), _DEV_TTY}


def _device(terminal: int) -> int:
    """Return a terminal's device from how proc(5) writes it: minor 31-20 and 7-0, major 15-8."""
    return os.makedev(terminal >> 8 & 0xFF, terminal >> 12 & 0xFFF00 | terminal & 0xFF)


def _switches(process: int, proc: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (proc / str(process) / "status").read_text(encoding="utf-8").splitlines():
            name, _, count = line.partition(":")
            if name == "voluntary_ctxt_switches":
                return int(count)
    return 0
