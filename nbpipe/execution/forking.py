"""Kernels forked from servers that have ipykernel imported already.

Which kernels that is done for, the servers' lives, and the way back to an ordinary start for
anything unusual. What a forked kernel is stands in `forkserver`; how it is watched in `guard`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.launcher import launch_kernel

from nbpipe.execution.provisioner import MARK, GuardedProvisioner, supported
from nbpipe.execution.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_client.connect import KernelConnectionInfo

_START_SECONDS = 60.0
_ANSWER_SECONDS = 30.0

_RESTARTS = 3
"""So often is a server replaced whose packages have changed; then kernels are spawned."""

_SERVER = Path(__file__).with_name("forkserver.py")
_GUARD = Path(__file__).with_name("guard.py")

_FLAG = re.compile(r"-(?:[bBdEIOPqsSuv]+|X.+|W.+)")
_KNOWN_ARGUMENTS = {"--HistoryManager.hist_file=:memory:"}
_TRACERS = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COV_CORE_SOURCE")
_UNUSUAL_VARIABLES = (*_TRACERS, "PYTHONINSPECT", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC")


class UnusualError(Exception):
    """This kernel is to be spawned; the message says why."""


class _Guard:
    """A guard that is not a child of the runner, with what it needs of `Popen`."""

    def __init__(self, pid: int) -> None:
        self._fd: int | None = None
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self._fd = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Send it a signal, as long as it lives."""
        if self._fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def terminate(self) -> None:
        """Ask it to end, with its kernel."""
        self.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Return when it has ended (pidfd_open(2): readable then)."""
        import select  # noqa: PLC0415  (here for its only user)

        if self._fd is not None:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.poll()
            os.close(self._fd)
            self._fd = None


class ForkServer:
    """One server process; its kernels outlive it, it does not outlive the runner.

    Args:
        command: A kernel's command, whose interpreter and flags it gets; its own command line
            is made as long, so that kernels can be seen with theirs.
        env: A kernel's environment.
    """

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self._control, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said = os.fdopen(os.memfd_create("nbpipe"), "rb+", buffering=0)
        with remote, _SERVER.open("rb") as script:
            fds = (remote.fileno(), script.fileno())
            try:
                self._process: subprocess.Popen[bytes] = launch_kernel(
                    _server_command(command, *fds),
                    stdout=self._said.fileno(),
                    stderr=self._said.fileno(),
                    env={**env, MARK: "0" * 36},
                    cwd=os.sep,
                    pass_fds=fds,
                )
            except OSError as error:
                self._control.close()
                self._said.close()
                raise UnusualError(f"the fork server could not be started: {error}") from error
        with contextlib.suppress(OSError):  # it has ended already
            self._control.send(os.fsencode(_GUARD))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control, self._hear)
        self._ready = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._closed = False
        self._last_words = ""

    def _hear(self) -> None:
        """Read `ready`, or the end."""
        try:
            data = self._control.recv(16)
        except OSError:
            data = b""
        if data and not self._ready.done():
            self._ready.set_result(None)
        elif not data and not self._ended.done():
            self._loop.remove_reader(self._control)
            self._ended.set_result(None)

    async def ready(self) -> None:
        """Return when it answers; raise `UnusualError` when it does not, or no longer."""
        if not self._ended.done():
            await first_of(self._ready, self._ended, seconds=_START_SECONDS)
        if self._ended.done():
            raise UnusualError(self._how_it_ended())
        if not self._ready.done():
            raise UnusualError(f"the fork server did not start within {_START_SECONDS:g} s")

    def _how_it_ended(self) -> str:
        self.close()
        code = self._process.returncode
        return f"the fork server ended (exit code {code}) {self._last_words}".rstrip()

    def ask(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Ask for a kernel; the answer comes on the first of the descriptors."""
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        except OSError as error:
            raise UnusualError(f"the fork server does not listen: {error.strerror}") from error

    def close(self) -> None:
        """End it, if it has not ended; what it has forked goes on."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._control)
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        self._last_words = said.rpartition("\n")[2][-500:]
        self._said.close()


def _server_command(command: list[str], control: int, script: int) -> list[str]:
    flags = command[: command.index("-m")]
    run = f"exec(open({script}).read(),{{'CONTROL':{control}}})"
    own, wanted = (sum(len(os.fsencode(word)) + 1 for word in words) for words in (
        [*flags, "-c", run], command,
    ))  # fmt: skip
    return [*flags, "-c", run, *(["-" * (wanted - own - 1)] if wanted > own else [])]


class ForkServers:
    """The servers of a run: one for each interpreter with its flags and environment."""

    def __init__(self) -> None:
        self._servers: dict[object, ForkServer] = {}
        self._restarts = 0

    def server(self, command: list[str], env: Mapping[str, str]) -> ForkServer:
        """Return the server for such a kernel; it may still be starting, or have ended."""
        key = (*command[: command.index("-m")], frozenset(env.items()))
        if key not in self._servers:
            self._servers[key] = ForkServer(command, env)
        return self._servers[key]

    def replace(self, server: ForkServer) -> None:
        """Forget a server whose packages have changed."""
        for key, known in list(self._servers.items()):
            if known is server:
                self._restarts += 1
                if self._restarts <= _RESTARTS:
                    del self._servers[key]
        server.close()

    def close(self) -> None:
        """End all of them."""
        for server in self._servers.values():
            server.close()


_current: ContextVar[ForkServers | None] = ContextVar("_current", default=None)


@contextlib.contextmanager
def servers() -> Iterator[None]:
    """Fork kernels where that can be done, for what is started in here; end the servers then."""
    made = ForkServers()
    token = _current.set(made)
    try:
        yield
    finally:
        _current.reset(token)
        made.close()


class ForkedProvisioner(GuardedProvisioner):
    """A kernel forked from a server; an ordinary one where that cannot be."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401  (traitlets)
        super().__init__(**kwargs)
        self.spawned = ""
        """Why it was not forked."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ANN401
        """Fork the kernel and return when its process id is known; else spawn it."""
        try:
            await self._fork(cmd, kwargs)
        except UnusualError as why:
            self.spawned = str(why)
            return await super().launch_kernel(cmd, **kwargs)
        await first_of(self.started, self.exited)
        self.cwd = kwargs["cwd"]
        return self.connection_info

    async def _fork(self, cmd: list[str], kwargs: dict[str, Any]) -> None:
        forkservers, env = _current.get(), kwargs["env"]
        if forkservers is None:
            raise UnusualError("switched off, or only one notebook")
        if why := _unusual(cmd, env):
            raise UnusualError(why)
        answer = b"refused stale"
        while answer.startswith(b"refused stale"):
            server = forkservers.server(cmd, env)
            await server.ready()
            answer = await self._ask(server, cmd, kwargs)
            if answer.startswith(b"refused stale"):
                forkservers.replace(server)
        if answer.startswith(b"refused"):
            raise UnusualError(answer.decode().removeprefix("refused ").strip())

    async def _ask(self, server: ForkServer, cmd: list[str], kwargs: dict[str, Any]) -> bytes:
        """Ask for the kernel; return the answer. The guard goes on to speak on the same pipe."""
        request = {
            "argv": cmd,
            "cwd": str(kwargs["cwd"]),
            "mark": [MARK, self.kernel_id],
            "folder": self.folder,
        }
        status, remote = os.pipe()
        answer = b""
        try:
            stdin, writer = os.pipe()  # whose end is reached at once, as of a spawned kernel
            os.close(writer)
            log = kwargs["stdout"].fileno(), kwargs["stderr"].fileno()
            try:
                server.ask(request, [remote, stdin, *log])
            finally:
                os.close(stdin)
                os.close(remote)
            answer = await _answer(status)
            if not answer:
                server.close()  # also one that hangs
                raise UnusualError("the fork server ended or did not answer")
        finally:
            if not answer.startswith(b"guard"):
                os.close(status)
        if answer.startswith(b"guard"):
            first, _, rest = answer.partition(b"\n")
            self.process = _Guard(int(first.split()[1]))  # type: ignore[assignment]
            self._status = status
            self._take(rest)
            asyncio.get_running_loop().add_reader(status, self._hear)
        return answer


async def _answer(status: int) -> bytes:
    """Return what comes first on a pipe; nothing when it ends or that takes too long."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bytes] = loop.create_future()

    def hear() -> None:
        if not heard.done():
            heard.set_result(os.read(status, 4096))

    loop.add_reader(status, hear)
    try:
        await first_of(heard, seconds=_ANSWER_SECONDS)
    finally:
        loop.remove_reader(status)
    return heard.result() if heard.done() else b""


def _unusual(cmd: list[str], env: Mapping[str, str]) -> str:
    """Return why a kernel with this command and environment is not to be forked, or nothing."""
    if not (supported() and hasattr(os, "pidfd_open")):
        return f"not on this platform ({sys.platform})"
    start = cmd.index("-m") if "-m" in cmd else len(cmd)
    flags, rest = cmd[1:start], cmd[start:]
    plain = rest[:3] == ["-m", "ipykernel_launcher", "-f"] and {*rest[4:]} <= _KNOWN_ARGUMENTS
    if not plain or not all(map(_FLAG.fullmatch, flags)):
        return "not the plain command of ipykernel"
    if variables := [name for name in _UNUSUAL_VARIABLES if env.get(name)]:
        return f"the environment has {', '.join(variables)}"
    folders = (env.get("PYTHONPATH") or os.sep).split(os.pathsep)
    if not all(map(os.path.isabs, folders)):
        return "the environment has a PYTHONPATH with a relative folder"
    return ""
