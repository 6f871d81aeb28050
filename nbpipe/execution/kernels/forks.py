"""Kernels forked from servers that have ipykernel imported already.

Which kernels that is done for, and the way back to an ordinary start for anything unusual. What a
forked kernel is stands in `forkserver`; how it is watched in `guard`; a server is an object of
`ForkServer`, and `ForkServers` has them all.
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
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.launcher import launch_kernel

from nbpipe.execution.kernels import capacity
from nbpipe.execution.kernels.provisioner import MARK, GuardedProvisioner, first_of, supported
from nbpipe.execution.kernels.shutdown import TRACERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jupyter_client.connect import KernelConnectionInfo

    from nbpipe.model import Task

_ANSWER_SECONDS = 30.0

_FLAG = re.compile(r"-(?:[bBdEIOPqsSuv]+|X.+|W.+)")
_KNOWN_ARGUMENTS = {"--HistoryManager.hist_file=:memory:"}
_UNUSUAL_VARIABLES = (*TRACERS, "PYTHONINSPECT", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC")


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


class Forks:
    """The kernels of a run that are forked, and the servers that they are forked from.

    Args:
        tasks: What is to be executed; a server pays from the second notebook of a kernel on.
        preload: Modules that the servers import first.
    """

    def __init__(self, tasks: Iterable[Task], preload: Iterable[str] = ()) -> None:
        self.servers = ForkServers(tuple(preload))
        self._notebooks = Counter(
            task.kernel for task in tasks if task.skip is None and task.failure is None
        )

    def is_single(self, kernel: str) -> bool:
        """Return whether one notebook alone runs on kernels of that name."""
        return self._notebooks[kernel] == 1

    def has_forked(self, kernel: str) -> bool:
        """Return whether kernels of that name are forked, as the last one was."""
        return kernel in self.servers.forked


@contextlib.contextmanager
def forks(
    tasks: Iterable[Task], *, fork: bool, preload: Iterable[str] = ()
) -> Iterator[Forks | None]:
    """Yield what kernels are forked from, None where `fork` is off; end the servers afterwards."""
    if not fork:
        yield None
        return
    made = Forks(tasks, preload)
    try:
        yield made
    finally:
        made.servers.close()


class ForkedProvisioner(GuardedProvisioner):
    """A kernel forked from a server; an ordinary one where that cannot be."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401  (traitlets)
        super().__init__(**kwargs)
        self.forks: Forks | None = None
        """What it is forked from; None: forking is switched off."""
        self.spawn = ""
        """Why it must not be forked; empty: it may be."""
        self.spawned = ""
        """Why it was not forked."""
        self.graceful = False
        """Whether it needs an orderly end in any case."""
        self.refused: tuple[str, ...] = ()
        """Modules that it should have had already and has not, each with the reason."""
        self._server: ForkServer | None = None

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
        env = kwargs["env"]
        forkservers = self._forkservers(cmd, env)
        answer = b"refused stale"
        while answer.startswith(b"refused stale"):
            server, self.refused = await forkservers.server(cmd, env, cwd=str(kwargs["cwd"]))
            answer = await self._ask(server, cmd, kwargs)
            if answer.startswith(b"refused stale"):
                forkservers.replace(server)
        self.graceful = server.graceful
        if answer.startswith(b"refused"):
            raise UnusualError(answer.decode().removeprefix("refused ").strip())
        if self.parent is not None:
            forkservers.forked.add(self.parent.kernel_name)
        self._server = server

    def failed(self) -> bool:
        """Take note that the kernel did not start; return whether it was forked."""
        if self._server is None or self.forks is None:
            return False
        self.forks.servers.failed(self._server)
        return True

    def begin(self, cmd: list[str], env: Mapping[str, str], *, cwd: str) -> None:
        """Start the server now that such kernels will be forked from, where they will be."""
        with contextlib.suppress(UnusualError):
            self._forkservers(cmd, env).begin(cmd, env, cwd=cwd)

    def _forkservers(self, cmd: list[str], env: Mapping[str, str]) -> ForkServers:
        """Return where this kernel can be forked; raise `UnusualError` where it is not to be."""
        if self.forks is None:
            raise UnusualError("switched off")
        if self.spawn:
            raise UnusualError(self.spawn)
        if self.parent is not None and self.forks.is_single(self.parent.kernel_name):
            raise UnusualError("the only notebook on this kernel")
        if why := _unusual(cmd, env):
            raise UnusualError(why)
        return self.forks.servers

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
            try:
                self.process = _Guard(int(first.split()[1]))  # type: ignore[assignment]
            except OSError:  # no more files: the guard ends when nobody listens
                os.close(status)
                raise
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
    if not supported():
        return f"not on this platform ({sys.platform})"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:  # an older kernel, a container that forbids it
        return f"pidfd_open is not available here ({error})"
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
                capacity.restore_file_limit(self._process.pid)  # before any kernel is forked
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

    @property
    def refused(self) -> dict[str, str]:
        """The modules that could not be imported before a fork, each with the reason."""
        return {name: why for each in self._refused.values() for name, why in each.items()}

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
