"""One kernel, from its start to the end of everything that it started.

Around jupyter_client's manager and client. Which cell runs, and what an output means, is not
known here.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import queue
import shutil
import tempfile
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import zmq
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from traitlets import TraitError

from nbpipe.execution import diagnosis
from nbpipe.execution.kernels import capacity
from nbpipe.execution.kernels.forks import ForkedProvisioner
from nbpipe.execution.kernels.provisioner import Exit, first_of, supported
from nbpipe.execution.kernels.shutdown import End
from nbpipe.execution.kernels.sockets import Sockets
from nbpipe.model import Category
from nbpipe.system import kernelspecs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import BinaryIO

    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec

    from nbpipe.execution.kernels.forks import Forks
    from nbpipe.execution.kernels.shutdown import Shutdown
    from nbpipe.model import Task

_POLL_SECONDS = 0.5
"""For kernels of foreign provisioners, which do not tell when they end."""

_PATIENCE = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds for the idle status, from one kernel_info request to the next."""

_LAUNCHER = "ipykernel_launcher"

SHELLS = frozenset({"bash", "sh", "zsh"})
"""Languages whose kernels keep their shell at a terminal and type only at its prompt."""

_NO_HISTORY = ["--HistoryManager.hist_file=:memory:"]
"""The user's own IPython history is neither read nor written, as in nbclient."""

_SOCKET_BYTES = 100
"""The path of a socket has 107 at most (unix(7)); a number is added."""


class KernelStartError(Exception):
    """The kernel did not get as far as answering; the message says why."""

    def __init__(self, message: str, category: Category = Category.KERNEL_DIED) -> None:
        super().__init__(message)
        self.category = category


class Kernel:
    """A running kernel with its client; made by `start`, ended by `stop`.

    Args:
        name: Of its kernelspec.
        max_message_bytes: How long one message of it may be.
        shutdown: How it ends.
        environ: What the task adds to its environment.
        hidden: The runner's variables that it does not inherit.
        threads: How many its numerical libraries may use; None: as they find it.
        forks: What it may be forked from.
        spawn: Why it must not be forked; empty: it may be.
    """

    def __init__(  # noqa: PLR0913  (all keywords)
        self,
        name: str,
        *,
        max_message_bytes: int,
        shutdown: Shutdown,
        environ: Mapping[str, str] = MappingProxyType({}),
        hidden: Collection[str] = (),
        threads: int | None = None,
        forks: Forks | None = None,
        spawn: str = "",
    ) -> None:
        self._environ, self._hidden, self._threads = environ, hidden, threads
        self.manager = AsyncKernelManager(
            kernel_name=name,
            kernel_spec_manager=kernelspecs.finder(),
            context=Sockets(max_message_bytes),
        )
        self.manager.kernel_id = str(uuid.uuid4())
        self.exited: asyncio.Future[Exit]
        self.max_message_bytes = max_message_bytes
        self.spawned = ""
        """Why it was not forked; empty where it was."""
        self.memory: int | None = None
        """Peak memory of its processes in bytes, after `stop`; None where nobody measured it."""
        self.fell: Exit | None = None
        """How a signal ended it before it was asked to end, after `stop`."""
        self.refused: tuple[str, ...] = ()
        """What should have been imported before the fork and was not, each with the reason."""
        self.end = End(shutdown)
        """Whether it must shut down in order."""
        self.implementation = ""
        """What it calls itself once it has answered: `ipython` for ipykernel."""
        self._forks, self._spawn = forks, spawn
        self._guarded = False
        self._watch: asyncio.Task[None] | None = None
        self._folder: str | None = None
        self._client: AsyncKernelClient | None = None

    @property
    def client(self) -> AsyncKernelClient:
        """The client, connected once the kernel was started."""
        if self._client is None:
            raise RuntimeError("the kernel has not been started")
        return self._client

    @property
    def process(self) -> int | None:
        """The kernel's process id; None before it is started, and where nobody can know it."""
        known: int | None = getattr(self.manager.provisioner, "pid", None)
        return known if self._guarded else None

    async def start(self, *, cwd: Path, log: BinaryIO, seconds: float) -> None:
        """Start the kernel and wait until it answers.

        Args:
            cwd: The kernel's working directory.
            log: Where the process's own standard output and error go.
            seconds: How long to wait for the first answer.

        Raises:
            KernelStartError: It ended, or did not answer in time.
        """
        spec = self._spec()
        self.exited = asyncio.get_running_loop().create_future()
        try:
            await self._launch(spec, cwd=cwd, log=log)
            self._client = self.manager.client(context=self.manager.context)
            self._client.start_channels(hb=False)
        except (OSError, RuntimeError, zmq.ZMQError) as error:
            if self.exited.done():  # and the guard has cleaned up already
                raise self._ended() from error
            raise KernelStartError(f"the kernel could not be started: {error}") from error
        self._client.allow_stdin = False
        self.end.began(
            self._client,
            python=_LAUNCHER in spec.argv,
            env=os.environ | (spec.env or {}),
        )
        await self._until_ready(seconds)

    def _spec(self) -> KernelSpec:
        """Return the kernelspec; raise `KernelStartError` where there is none that can be used.

        It was there when the run was planned; it may be another one by now.
        """
        name = self.manager.kernel_name
        try:
            spec = self.manager.kernel_spec
        except (NoSuchKernel, OSError, ValueError, TypeError, TraitError) as error:
            raise KernelStartError(
                f"kernel {name!r} cannot be used: {type(error).__name__}: {error}",
                Category.KERNEL_MISSING,
            ) from error
        if spec is None:
            raise KernelStartError(f"kernel {name!r} is not installed", Category.KERNEL_MISSING)
        if why := kernelspecs.problem(spec):
            raise KernelStartError(
                f"kernel {name!r} cannot be started: {why}", Category.KERNEL_MISSING
            )
        return spec

    async def _launch(self, spec: KernelSpec, *, cwd: Path, log: BinaryIO) -> None:
        provisioner = self._provision(spec)
        if provisioner is not None:
            self.exited = provisioner.exited
        await self.manager.start_kernel(
            extra_arguments=_arguments(spec),
            cwd=str(cwd),
            stdout=log,
            stderr=log,
            env=self._variables(spec),
        )
        if provisioner is not None:
            self.spawned, self.refused = provisioner.spawned, provisioner.refused
            self.end.insist(provisioner.graceful)
        else:
            self._watch = asyncio.ensure_future(self._poll_exit())

    async def begin_server(self, cwd: Path) -> None:
        """Start the server that such a kernel is forked from, where it is; no kernel."""
        spec = self._spec()
        provisioner = self._provision(spec)
        try:
            if provisioner is not None:
                command, how = await self.manager.pre_start_kernel(
                    extra_arguments=_arguments(spec), env=self._variables(spec)
                )
                provisioner.begin(command, how["env"], cwd=str(cwd))
        finally:
            self._give_back()

    def _variables(self, spec: KernelSpec) -> dict[str, str]:
        """Return the environment that the kernel's own variables are added to."""
        own = {**(spec.env or {}), **self._environ}
        given = {name: value for name, value in os.environ.items() if name not in self._hidden}
        more = capacity.variables(self._threads, given, own)
        if (spec.language or "").lower() in SHELLS and "HISTFILE" not in own:
            more["HISTFILE"] = ""  # bash(1): no history is written, least of all over the user's
        return {**given, **more, **self._environ}

    def _provision(self, spec: KernelSpec) -> ForkedProvisioner | None:
        """Prepare what starts the process; None where a foreign provisioner does."""
        self._guarded = supported() and "kernel_provisioner" not in (spec.metadata or {})
        if not self._guarded:
            return None
        provisioner = ForkedProvisioner(
            kernel_id=self.manager.kernel_id, kernel_spec=spec, parent=self.manager
        )
        self.manager.provisioner = provisioner
        provisioner.forks, provisioner.spawn = self._forks, self._spawn
        provisioner.folder = self._make_folder(ipc=_LAUNCHER in spec.argv)
        return provisioner

    def _make_folder(self, *, ipc: bool) -> str:
        """Make a private folder for the connection file, and for sockets where those are wanted.

        Sockets in a folder need no port that another process may take.
        """
        self._folder = tempfile.mkdtemp(prefix="nbpipe-")
        self.manager.connection_file = str(Path(self._folder, "kernel.json"))
        sockets = str(Path(self._folder, "k"))
        if ipc and len(os.fsencode(sockets)) <= _SOCKET_BYTES:
            self.manager.transport, self.manager.ip = "ipc", sockets
        return self._folder

    async def _poll_exit(self) -> None:
        while await self.manager.is_alive():  # noqa: ASYNC110  (nobody would set an event)
            await asyncio.sleep(_POLL_SECONDS)
        self.exited.set_result(Exit(None))

    async def _until_ready(self, seconds: float) -> None:
        ready = asyncio.ensure_future(self._greet(seconds))
        try:
            await first_of(ready, self.exited, seconds=seconds)
            if self.exited.done():
                raise self._ended()
            if not ready.done():
                raise self._silent(seconds)
            await ready
        except RuntimeError as error:
            raise self._silent(seconds) from error
        finally:
            ready.cancel()
            await asyncio.wait({ready})

    def _ended(self) -> KernelStartError:
        how = self.exited.result()
        if how.error:
            spec = self.manager.kernel_spec
            program = kernelspecs.command(spec)[0] if spec else "?"
            message = f"the kernel's program {program} cannot be started: {how.error}"
            if how.number in diagnosis.SCARCE:
                return KernelStartError(message)
            return KernelStartError(message, Category.KERNEL_MISSING)
        return KernelStartError(f"the kernel ended before it was ready: {how}")

    def _silent(self, seconds: float) -> KernelStartError:
        message = f"the kernel did not answer within {seconds:g} s"
        return KernelStartError(message, Category.TIMEOUT)

    async def _greet(self, seconds: float) -> None:
        """Wait until the kernel answers, and until its output is seen to arrive.

        The reply to a kernel_info request proves the shell channel, the idle status of that very
        request the subscription to its output; jupyter_client waits for 0.2 s of silence instead,
        which proves less. A kernel that sends no idle status gets jupyter_client's way.
        """
        asked: set[str] = set()
        for patience in _PATIENCE:
            asked.add(self.client.kernel_info())
            self.client.shell_channel.socket.get(zmq.EVENTS)
            reply = await self.client.shell_channel.get_msg()
            while reply["parent_header"].get("msg_id") not in asked:
                self.end.heard(reply)
                reply = await self.client.shell_channel.get_msg()
            self.client._handle_kernel_info_reply(reply)  # noqa: SLF001  (old protocols)
            self.implementation = str(reply["content"].get("implementation", ""))
            if await self._idle(asked, patience):
                return
        await self.client.wait_for_ready(timeout=seconds)

    async def _idle(self, asked: set[str], seconds: float) -> bool:
        """Return whether the idle status of one of these requests comes in time."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = await self.client.iopub_channel.get_msg(timeout=seconds)
                idle = message["content"].get("execution_state") == "idle"
                if idle and message["parent_header"].get("msg_id") in asked:
                    return True
        return False

    def was_forked(self) -> bool:
        """Return whether it comes from a fork server; it is told that it did not start."""
        provisioner = self.manager.provisioner
        return isinstance(provisioner, ForkedProvisioner) and provisioner.failed()

    async def interrupt(self) -> None:
        """Interrupt what the kernel is doing, the way its kernelspec asks for."""
        if not self.exited.done():
            await self.manager.interrupt_kernel()

    async def kill(self) -> None:
        """Kill the kernel and everything that it started, now."""
        if self.manager.provisioner is not None and self.manager.has_kernel:
            await self.manager.provisioner.kill()

    async def stop(self, *, grace: float) -> None:
        """End the kernel, its processes, sockets and files; never raise for a dead one.

        Args:
            grace: Seconds that it may take to shut itself down, where it has to; 0 kills it.
        """
        try:
            if self.manager.has_kernel:
                await self._shut_down(grace)
        finally:
            if self._watch is not None:
                self._watch.cancel()
            if self._client is not None:
                self._client.stop_channels()
            with contextlib.suppress(OSError):
                await self.manager._async_cleanup_resources()  # noqa: SLF001  (not public)
            self._give_back()

    def _give_back(self) -> None:
        self.manager.context.destroy(linger=0)
        if not self._folder:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        if Path(self._folder).exists():
            # Looking into a folder takes a descriptor, and other kernels may have taken the last
            # one; at the end of the process they have given them back.
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)

    async def _shut_down(self, grace: float) -> None:
        if grace > 0 and self._client is not None:
            needed = not self.exited.done() and await self.end.is_needed(
                self._client, self.exited, seconds=grace
            )
            if self.exited.done():
                how = self.exited.result()
                self.fell = how if how.code is None or how.code < 0 else None
            elif needed:
                if not await self.end.leave(self._client, self.exited, seconds=grace):
                    await self.manager.request_shutdown()
                await asyncio.wait({self.exited}, timeout=grace)
        if not self.exited.done():
            await self.kill()
        if self._guarded and self.manager.provisioner is not None:
            await self.manager.provisioner.wait()
            self.memory = self._measured()
            if grace > 0 and getattr(self.manager.provisioner, "killed", False):
                # By the notebook, whose last cell may have answered before its guard was gone.
                self.fell = self.exited.result()
        else:
            await self.manager.shutdown_kernel(now=True)

    def _measured(self) -> int | None:
        known: int | None = getattr(self.manager.provisioner, "memory", None)
        return known


def begin_servers(tasks: Iterable[Task], forks: Forks) -> None:
    """Start the servers that the kernels of these tasks are forked from.

    It takes its time, in which whoever calls this before anything else has something else to do.
    """
    tasks = [task for task in tasks if task.skip is None and task.failure is None]
    folders: defaultdict[tuple[object, ...], Counter[Path]] = defaultdict(Counter)
    first: dict[tuple[object, ...], Task] = {}
    for task in tasks:
        added = sorted(task.environ.items())
        key: tuple[object, ...] = (task.kernel, task.cores, *task.hidden, *added)
        folders[key][task.file.parent] += 1
        first.setdefault(key, task)
    for key, task in first.items():
        ((cwd, _),) = folders[key].most_common(1)
        with contextlib.suppress(KernelStartError, OSError, RuntimeError):  # told when it starts
            asyncio.run(_begin_server(task, cwd, forks))


async def _begin_server(task: Task, cwd: Path, forks: Forks) -> None:
    kernel = Kernel(
        task.kernel,
        max_message_bytes=-1,
        shutdown="immediate",
        environ=task.environ,
        hidden=task.hidden,
        threads=task.cores,
        forks=forks,
    )
    await kernel.begin_server(cwd)


def _arguments(spec: KernelSpec) -> list[str]:
    return _NO_HISTORY if _LAUNCHER in spec.argv else []
