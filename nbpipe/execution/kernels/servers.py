"""The fork servers of a run: started, asked, replaced, ended.

What such a server does stands in `forkserver`, and what it has imported before it is asked for
kernels in `preloads`; which kernels are forked is decided in `forks`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.launcher import launch_kernel

from nbpipe.execution.kernels import descriptors
from nbpipe.execution.kernels.provisioner import MARK, first_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_START_SECONDS = 60.0

_RESTARTS = 3
"""So often is a server replaced whose packages have changed; then kernels are spawned."""

_FAILURES = 2
"""So many kernels of a server that did not start are enough: all others are spawned."""

_SERVER = Path(__file__).with_name("forkserver.py")


class UnusualError(Exception):
    """This kernel is to be spawned; the message says why."""


class ForkServer:
    """One server process; its kernels outlive it, it does not outlive the runner.

    Args:
        command: A kernel's command, whose interpreter and flags it gets; its own command line
            is made as long, so that kernels can be seen with theirs.
        env: A kernel's environment.
        cwd: The folder of its first kernel, which code that runs at an interpreter's start sees.
        preload: Modules that it imports first.
    """

    def __init__(
        self,
        command: list[str],
        env: Mapping[str, str],
        *,
        cwd: str,
        preload: tuple[str, ...] = (),
    ) -> None:
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
                    cwd=cwd,
                    pass_fds=fds,
                )
                descriptors.restore(self._process.pid)  # before any kernel is forked
            except OSError as error:
                self._control.close()
                self._said.close()
                raise UnusualError(f"the fork server could not be started: {error}") from error
        with contextlib.suppress(OSError):  # it has ended already
            self._control.send("\0".join([str(_SERVER.parent), *preload]).encode())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[None]
        self._ended: asyncio.Future[None]
        self._closed = False
        self._last_words = ""
        self.graceful = False
        """Whether what it has imported is to be shut down in order, in every kernel."""
        self.unfit: tuple[str, str] | None = None
        """The module that it must not import, and why; it has ended then."""

    def _listen(self) -> None:
        """Hear it in this event loop from now on; it may be older than the loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._ready, self._ended = self._loop.create_future(), self._loop.create_future()
            self._loop.add_reader(self._control, self._hear)

    def _hear(self) -> None:
        """Read `ready`, what it must not import, or the end."""
        try:
            data = self._control.recv(4096)
        except OSError:
            data = b""
        if data.startswith(b"unfit "):
            _, module, reason = data.decode(errors="replace").split(" ", 2)
            self.unfit = module, reason
        elif data and not self._ready.done():
            self.graceful = data == b"ready graceful"
            self._ready.set_result(None)
        elif not data and not self._ended.done():
            asyncio.get_running_loop().remove_reader(self._control)
            self._ended.set_result(None)

    async def ready(self) -> None:
        """Return when it answers; raise `UnusualError` when it does not, or no longer."""
        self._listen()
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
        if self._loop is not None:
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

    def __init__(self, preload: tuple[str, ...] = ()) -> None:
        self._preload = preload
        self._servers: dict[object, ForkServer] = {}
        self._refused: dict[object, dict[str, str]] = {}
        self._restarts = 0
        self._failures: dict[object, int] = {}
        self.forked: set[str] = set()
        """Names of kernels that were."""

    async def server(
        self, command: list[str], env: Mapping[str, str], *, cwd: str
    ) -> tuple[ForkServer, tuple[str, ...]]:
        """Return the server for such a kernel, and what it refused to preload, with the reasons.

        Raises:
            UnusualError: There is none.
        """
        key = (*command[: command.index("-m")], frozenset(env.items()))
        refused = self._refused.setdefault(key, {})
        while True:
            server = self.begin(command, env, cwd=cwd)
            try:
                await server.ready()
            except UnusualError:
                if server.unfit is None:
                    raise
                refused[server.unfit[0]] = server.unfit[1]
                if self._servers.get(key) is server:
                    del self._servers[key]
                continue
            return server, tuple(f"{name}: {why}" for name, why in refused.items())

    def begin(self, command: list[str], env: Mapping[str, str], *, cwd: str) -> ForkServer:
        """Return the server for such a kernel, started if need be; it may not answer yet.

        Raises:
            UnusualError: It cannot be started.
        """
        key = (*command[: command.index("-m")], frozenset(env.items()))
        if self._failures.get(key, 0) >= _FAILURES:
            raise UnusualError(f"{_FAILURES} forked kernels did not start")
        if key not in self._servers:
            refused = self._refused.get(key, {})
            preload = tuple(name for name in self._preload if name not in refused)
            self._servers[key] = ForkServer(command, env, cwd=cwd, preload=preload)
        return self._servers[key]

    def replace(self, server: ForkServer) -> None:
        """Forget a server whose packages have changed."""
        for key, known in list(self._servers.items()):
            if known is server:
                self._restarts += 1
                if self._restarts <= _RESTARTS:
                    del self._servers[key]
        server.close()

    def failed(self, server: ForkServer) -> None:
        """Take note of a kernel that was forked from this server and did not start."""
        for key, known in self._servers.items():
            if known is server:
                self._failures[key] = self._failures.get(key, 0) + 1

    def close(self) -> None:
        """End all of them."""
        for server in self._servers.values():
            server.close()
