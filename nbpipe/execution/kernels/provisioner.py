"""Start and stop one kernel's process, and know at once when it ends.

Nothing here speaks the Jupyter protocol. jupyter_client's LocalProvisioner is the base: its
launch, poll, wait and kill are replaced, because it looks every 100 ms whether the process is
alive, and does not know what that process left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.launcher import launch_kernel
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from nbpipe.execution.kernels import capacity

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo

MARK = "NBPIPE_KERNEL"
"""Environment variable that every process of a kernel inherits, with the kernel's id."""

_GUARD = Path(__file__).with_name("guard.py")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a kernel's process ended."""

    code: int | None
    """As in subprocess: negative for a signal; None where nobody could see it."""
    error: str = ""
    """Why it could not be started."""
    number: int = 0
    """That of the system's error, errno(3)."""

    def __str__(self) -> str:
        if self.error:
            return self.error
        if self.code is None:
            return "killed together with its parent process"
        if self.code >= 0:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-self.code).name}"
        return f"killed by signal {-self.code}"


def supported() -> bool:
    """Return whether this platform has what the guard needs."""
    return sys.platform == "linux"


class GuardedProvisioner(LocalProvisioner):
    """A local kernel process under a guard (see `nbpipe.execution.kernels.guard`)."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401  (traitlets)
        super().__init__(**kwargs)
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.folder = ""
        """What the guard removes at the end."""
        self.memory: int | None = None
        """Peak memory of the kernel and all that it started, in bytes; known when all is gone."""
        self.killed = False
        """Whether somebody else killed the guard: it ended without a word."""
        self._status = -1
        self._buffer = b""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ANN401
        """Start the guard, which starts `cmd`; return when the kernel's process id is known."""
        self._status, remote = os.pipe()
        env = kwargs.pop("env", None) or os.environ.copy()
        env[MARK] = self.kernel_id
        own = (str(remote), self.folder, str(capacity.original_file_limit()))
        try:
            self.process = launch_kernel(
                [sys.executable, "-I", "-S", str(_GUARD), *own, *cmd],
                **LocalProvisioner._scrub_kwargs(kwargs),  # noqa: SLF001  (the base class's own)
                env=env,
                pass_fds=(remote,),
            )
        except BaseException:
            os.close(self._status)
            raise
        finally:
            os.close(remote)
        asyncio.get_running_loop().add_reader(self._status, self._hear)
        await first_of(self.started, self.exited)
        self.cwd = kwargs.get("cwd", Path.cwd())
        return self.connection_info

    def _hear(self) -> None:
        """Read what the guard says; the end of the pipe is the end of the guard."""
        data = os.read(self._status, 4096)
        self._take(data)
        if not data:
            asyncio.get_running_loop().remove_reader(self._status)
            os.close(self._status)
            if not self.gone.done():  # whoever waited was cancelled
                self.gone.set_result(None)
            if not self.exited.done():  # the guard was killed and could not clean up
                self.killed = True
                self._end(Exit(None))
                kill_marked(self.kernel_id)

    def _take(self, data: bytes) -> None:
        """Understand a piece of what the guard says."""
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word == "started":
                self.pid = self.pgid = int(rest)
                self.started.set_result(None)
            elif word == "exited":
                self._end(Exit(int(rest)))
            elif word == "failed":
                number, _, error = rest.partition(" ")
                self._end(Exit(127, error=error, number=int(number)))
            elif word == "ended":  # it was told to, and has killed the kernel
                self._end(Exit(None))
                self.memory = int(rest)

    def _end(self, how: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(how)

    async def poll(self) -> int | None:
        """Return the kernel's exit code, 0 where it is unknown, None while it runs."""
        if not self.process or not self.exited.done():
            return None if self.process else 0
        return self.exited.result().code or 0

    async def wait(self) -> int | None:
        """Wait for the guard, which ends after everything that the kernel started."""
        await self.gone
        if self.process:
            await asyncio.to_thread(self.process.wait)  # at its last instruction
            self.process = None
        return self.exited.result().code

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel's process group."""
        if self.pgid and not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pgid, signum)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Kill the kernel and everything that it started."""
        if self.process:
            self.process.terminate()  # the guard kills the rest
            self.process.send_signal(signal.SIGCONT)  # should the notebook have stopped it

    async def terminate(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002
        """Kill as well: whoever calls this has waited already."""
        await self.kill(restart=restart)


def kill_marked(kernel_id: str) -> None:
    """Kill every process that inherited this kernel's mark.

    Only for a kernel whose guard was killed: the guard does it faster and surely.
    """
    import psutil  # noqa: PLC0415  (rarely needed)

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == kernel_id:
                process.kill()


async def first_of(*futures: asyncio.Future[Any], seconds: float | None = None) -> None:
    """Return when one of the futures is done, or when the time is over; none is cancelled."""
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
