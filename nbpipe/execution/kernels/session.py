"""The conversation with one kernel: send a cell, collect its outputs, see how it ended.

nbclient turns messages into outputs, display updates and widget state. Waiting is done here,
because its own has one limit per cell, loses late output and waits for an idle status that some
kernels have already sent (nbclient #312). Whether an outcome is good is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zmq
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete

from nbpipe.execution.kernels import messages
from nbpipe.execution.kernels.provisioner import first_of
from nbpipe.execution.kernels.sockets import Backlog
from nbpipe.execution.kernels.spool import Escaped
from nbpipe.system import units

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from nbformat import NotebookNode
    from zmq.asyncio import Socket

    from nbpipe.execution.kernels.kernel import Kernel
    from nbpipe.execution.kernels.spool import Spool, StreamText

_QUIET_SECONDS = 5.0
"""A kernel that replied and then says nothing for so long has finished, idle status or not."""

_EXIT_SECONDS = 1.0
"""A connection that ended longer before its kernel did not end with it; < _QUIET_SECONDS."""

_NUMBER = re.compile(r"_\d+_(\d+)\Z")

_COUNTED = {"stream", "error"} | messages.SHOWN

_ANONYMOUS = {"execute_reply", "error"}
"""What counts for the cell that runs where it does not say whose it is."""


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class Said:
    """An error that the kernel sent while a cell ran."""

    error: dict[str, Any]
    output: NotebookNode | None = None
    """What it became in the cell; None: it went elsewhere, or could not be kept."""
    captured: bool = False
    """It went to an Output widget."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of a cell."""

    reply: dict[str, Any]
    errors: list[dict[str, Any]]
    """What the kernel sent, also what could not be kept; none of the following."""
    captured: list[dict[str, Any]]
    """Those that an Output widget took, which is what it is for: the cell went on."""
    withdrawn: list[dict[str, Any]]
    """Those that the cell cleared away itself (`clear_output`)."""


@dataclass(eq=False, slots=True)
class Request:
    """One cell that was sent to the kernel."""

    cell: NotebookNode
    index: int
    errors: list[Said] = field(default_factory=list)
    reply: asyncio.Future[dict[str, Any]] = field(default_factory=_future)
    idle: asyncio.Future[None] = field(default_factory=_future)
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class Session(NotebookClient):
    """Sends cells to a kernel and fills their outputs.

    Args:
        notebook: Its cells get their outputs in place.
        kernel: Started and ready.
        spool: Holds long stream texts.
        output_bytes: How much output is taken; the rest is dropped and `on_flood` called once.
        on_flood: What happens when there is too much, with a sentence that says so.
        on_input: What happens when the kernel asks the user for something, with its question.
        log: Where nbclient's own remarks go.
    """

    def __init__(  # noqa: PLR0913  (all keywords, one caller)
        self,
        notebook: NotebookNode,
        kernel: Kernel,
        *,
        spool: Spool,
        output_bytes: int,
        on_flood: Callable[[str], None],
        on_input: Callable[[str], None],
        log: logging.Logger,
    ) -> None:
        super().__init__(notebook, km=kernel.manager, log=log, record_timing=False)
        self.reset_execution_trackers()
        self.kc = self._client = kernel.client
        self.flooded = False
        self._kernel = kernel
        self._spool = spool
        self._left = output_bytes
        self._limit = output_bytes
        self._on_flood = on_flood
        self._on_input = on_input
        self._requests: dict[str, Request] = {}
        self._texts: dict[int, tuple[NotebookNode, StreamText]] = {}
        self._heard = asyncio.Event()
        self.clear_before_next_output = False
        self._readers: list[asyncio.Task[None]] = []
        self._numbers: list[int] = []
        self._unreadable = 0
        self.losses: list[str] = []
        """What the kernel sent and could not be kept, for people."""

    async def open(self) -> None:
        """Begin to listen."""
        self._readers = [
            asyncio.ensure_future(reader)
            for reader in (
                self._read(self._client.iopub_channel, self._hear),
                self._read(self._client.shell_channel, self._answer),
                self._read(self._client.stdin_channel, self._ask),
                self._watch_connection(),
            )
        ]

    async def close(self) -> None:
        """Stop listening, and put the texts in their places."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for output, text in self._texts.values():
            output["text"] = self._spool.value(text)
        self.set_widgets_metadata()

    async def run(self, cell: NotebookNode, index: int, *, last: bool = False) -> Answer:
        """Execute a cell; return what the kernel said of it when all output is in.

        It waits as long as the kernel takes; cancel it to give up. The last one's request also
        asks what there is to see to at the kernel's end, which saves a request of its own (5 ms).
        """
        cell.outputs = []
        cell.execution_count = None
        request = Request(cell, index)
        # The runner decides what happens after an error, so the kernel must not drop requests.
        question = self._kernel.end.question() if last else {}
        message_id = self._client.execute(
            cell.source, store_history=True, user_expressions=question, stop_on_error=False
        )
        self._requests[message_id] = request
        self._look_again()
        reply = await request.reply
        await self._until_idle(request)
        if question:
            self._kernel.end.answered(reply)
        captured = [said for said in request.errors if said.captured]
        withdrawn = [said for said in request.errors if not _is_shown(said, cell)]
        return Answer(
            reply=reply,
            errors=[each.error for each in request.errors if each not in [*captured, *withdrawn]],
            captured=[said.error for said in captured],
            withdrawn=[said.error for said in withdrawn],
        )

    async def _until_idle(self, request: Request) -> None:
        """Wait for the status that follows the last output, or for silence."""
        while not request.idle.done():
            self._heard.clear()
            heard = asyncio.ensure_future(self._heard.wait())
            await first_of(heard, request.idle, seconds=_QUIET_SECONDS)
            silent = not (heard.done() or request.idle.done())
            heard.cancel()
            if silent:
                self.log.warning("cell %s: no idle status after the reply", request.index)
                return

    async def begun(self) -> None:
        """Return when the kernel has begun with the latest cell: an idle one misses interrupts."""
        await next(reversed(self._requests.values())).begun.wait()

    async def drain(self, seconds: float) -> None:
        """Take in what is still on its way, until nothing came for that long."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._heard.clear()
                await asyncio.wait_for(self._heard.wait(), seconds)

    async def _read(self, channel: Any, handle: Callable[[dict[str, Any]], None]) -> None:  # noqa: ANN401
        """Hand every message of a channel over, for ever."""
        socket: Socket = channel.socket
        backlog = Backlog(socket, self._kernel)
        try:
            while True:
                frames = await socket.recv_multipart(copy=False)
                size = sum(len(frame.buffer) for frame in frames)
                if not self.flooded or size <= messages.LONG:  # else no status, and nobody wants it
                    self._receive(frames, size, handle)
                del frames
                backlog.took(size)
        finally:
            backlog.release()

    def _receive(
        self, frames: list[Any], size: int, handle: Callable[[dict[str, Any]], None]
    ) -> None:
        """Hand one message over."""
        try:
            message = messages.decode(self._client.session, frames)
        except messages.UnreadableMessageError as error:
            self._unreadable += 1
            self._lose("one message", str(error))
            if handle == self._answer:  # or its cell would wait for ever
                self._answer(messages.unreadable(str(error)))
            return
        kind = message["msg_type"]
        message["nbpipe_size"] = size
        if message["odd"]:
            self.log.warning("odd message (%s): %s", kind, "; ".join(message["odd"]))
        if message["lost"]:
            self._lose(f"one message ({kind})", message["lost"])
        self._number(message)
        try:
            handle(message)
        except Exception as error:  # a strange message must not end the conversation
            self.log.exception("message that could not be handled (%s)", kind)
            self.losses.append(f"one message ({kind}): {type(error).__name__}: {error}")
        self._look_again()
        self._heard.set()

    def _lose(self, what: str, why: str) -> None:
        self.log.warning("%s was lost: %s", what, why)
        self.losses.append(f"{what}: {why}")

    def _request_of(self, message: dict[str, Any]) -> Request | None:
        """Return the cell that a message is about."""
        parent = message["parent_header"].get("msg_id")
        if parent is None and message["msg_type"] in _ANONYMOUS:
            # The other channel may be ahead: each is judged by how far it has come itself.
            replied = message["msg_type"] == "execute_reply"
            waiting = [
                each
                for each in self._requests.values()
                if not (each.reply if replied else each.idle).done()
            ]
            return waiting[-1] if waiting else None
        return self._requests.get(parent)

    def _number(self, message: dict[str, Any]) -> None:
        """Take note of the number that ipykernel gives each message, from our first request on."""
        known = self._numbers or message["parent_header"].get("msg_id") in self._requests
        if known and (number := _NUMBER.search(message["msg_id"])):
            self._numbers.append(int(number[1]))

    def lost(self) -> int:
        """Return how many messages of a kernel that numbers them never came.

        A kernel's own queue holds 1,000 messages for us (ZMQ_SNDHWM) and drops what is more.
        """
        if not self._numbers:
            return 0
        first = self._numbers[0]
        later = {number for number in self._numbers if number >= first}
        return max(max(later) - first + 1 - len(later) - self._unreadable, 0)

    def _look_again(self) -> None:
        """Make asyncio see a reply that came while something was being sent.

        jupyter_client sends past asyncio's view of the socket (`Session.send` uses a shadow
        socket), which takes the one notice libzmq gives of what has arrived (zmq_getsockopt(3),
        ZMQ_FD is edge-triggered). An Output widget sends at any time; nbclient then waits for
        its whole timeout (nbclient #312). Reading the events schedules what is there.
        """
        self._client.shell_channel.socket.get(zmq.EVENTS)

    def _hear(self, message: dict[str, Any]) -> None:
        """Take a message of the iopub channel."""
        request = self._request_of(message)
        if request is None:
            return
        kind = message["msg_type"]
        if kind == "error":
            request.errors.append(Said(message["content"]))
        if kind == "execute_input":
            request.begun.set()
        if kind == "status":
            if message["content"].get("execution_state") == "idle" and not request.idle.done():
                request.idle.set_result(None)
            return
        if kind in _COUNTED and not (self._take(message) and self._shelve(message)):
            return
        with contextlib.suppress(CellExecutionComplete):
            self.process_message(message, request.cell, request.index)

    def _take(self, message: dict[str, Any]) -> bool:
        """Count an output; return whether it is still wanted, cut to what is."""
        size = message.pop("nbpipe_size")
        if size > self._left and message["msg_type"] == "stream" and not self.flooded:
            text = message["content"]["text"]
            left = self._left
            message["content"]["text"] = (
                text.head(left) if isinstance(text, Escaped) else text[:left]
            )
            self.flood(f"more than {units.megabytes(self._limit)} of output")
            return True
        self._left -= size
        if self._left < 0:
            self.flood(f"more than {units.megabytes(self._limit)} of output")
        return not self.flooded

    def _shelve(self, message: dict[str, Any]) -> bool:
        """Move long values of a display out of memory; return whether there was room."""
        data = message["content"].get("data") or {}
        try:
            for mime, value in data.items():
                if isinstance(value, Escaped):
                    text = self._spool.new()
                    self._spool.append(text, value)
                    data[mime] = self._spool.value(text)
        except OSError as error:
            self.flood(f"output that could not be kept: {error.strerror}")
            return False
        return True

    def flood(self, why: str) -> None:
        """Take no more output, and say so, once."""
        if not self.flooded:
            self.flooded = True
            self._on_flood(why)

    def output(
        self,
        outs: list[NotebookNode],
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
    ) -> NotebookNode | None:
        """Add an output; consecutive texts of one stream become one, as in a notebook."""
        parent = msg["parent_header"].get("msg_id")
        if msg["msg_type"] == "error":
            return self._error(outs, msg, cell_index)
        if msg["msg_type"] != "stream":
            return super().output(outs, msg, display_id, cell_index)
        if self.output_hook_stack[parent]:  # it goes into an Output widget
            msg["content"]["text"] = str(msg["content"]["text"])
            return super().output(outs, msg, display_id, cell_index)
        if self.clear_before_next_output:
            outs[:] = []
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False
        name, more = msg["content"]["name"], msg["content"]["text"]
        last = outs[-1] if outs else None
        if last is None or last["output_type"] != "stream" or last["name"] != name:
            msg["content"]["text"] = ""
            last = super().output(outs, msg, display_id, cell_index)
            if last is None:
                return None
            self._texts[id(last)] = (last, self._spool.new())
        try:
            self._spool.append(self._texts[id(last)][1], more)
        except OSError as error:
            self.flood(f"output that could not be kept: {error.strerror}")
        return last

    def _error(
        self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int
    ) -> NotebookNode | None:
        """Add an error, and remember where it went."""
        request = self._request_of(msg)
        out = super().output(outs, msg, None, cell_index)
        if request is not None:
            request.errors[-1].output = out
            request.errors[-1].captured = out is None
        return out

    def tail(self, output: NotebookNode) -> str:
        """Return the last characters of a stream output of this session."""
        known = self._texts.get(id(output))
        return known[1].tail if known else str(output.get("text", ""))

    def _answer(self, message: dict[str, Any]) -> None:
        """Take a message of the shell channel."""
        request = self._request_of(message)
        if request is None or request.reply.done() or message["msg_type"] != "execute_reply":
            return
        content = message["content"]
        if content.get("execution_count"):
            request.cell["execution_count"] = content["execution_count"]
        request.reply.set_result(content)

    def _ask(self, message: dict[str, Any]) -> None:
        """Take a message of the stdin channel, which nobody should send: we allow no input."""
        if message["msg_type"] == "input_request":
            self._on_input(str(message["content"].get("prompt", "")))

    async def _watch_connection(self) -> None:
        """Notice that libzmq closed the connection on a message over the limit.

        A kernel that ends closes it too, hence the look at its process.
        """
        monitor = self._client.iopub_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            await monitor.recv_multipart()
            ended, _ = await asyncio.wait({self._kernel.exited}, timeout=_EXIT_SECONDS)
            if not ended:
                most = units.megabytes(self._kernel.max_message_bytes)
                self.flood(f"a single output of more than {most}")
        finally:
            self._client.iopub_channel.socket.disable_monitor()


def _is_shown(said: Said, cell: NotebookNode) -> bool:
    """Return whether an error still stands where it was put: in the cell, or out of our sight."""
    return said.output is None or any(said.output is output for output in cell.outputs)


def message_bytes(output_bytes: int) -> int:
    """Return how long one message may be: a kernel sends what a loop prints in 0.2 s as one."""
    return max(output_bytes, 64_000_000) + 10_000_000
