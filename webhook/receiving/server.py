"""waitress, with a rule for each request's body: what nobody signed is not read.

Plain waitress cannot keep the contract, so its parser, channel and tasks are subclassed:

- It keeps a whole body, in memory and temporary files, before it calls the application. Here the
  parser ends a request with its headers unless a form of the pages or a signature says that the
  body is wanted; the application answers from the headers: 404, 405, 413, 415 or 403.
- It answers a body that is too large and closes at once; a socket that is closed on unread bytes
  resets, and the client never sees the 413. Here what still arrives is thrown away for a while
  (nginx calls it lingering close).
- It limits each body, not all together. A claimed signature can be judged only when its body is
  whole; what is kept for all of them is bounded here. Beyond that, the body that has been arriving
  for the longest time is given up: a forge sends its beacon at once, so it is never that one.
- Its `channel_timeout` is about silence: who sends a byte now and then may take for ever. Here a
  whole request has to arrive in time, and silent connections make room for new ones.
- It leaves a body to the garbage collector when its client goes away. Here it goes at once.

Built on waitress 3: `parse_header`, `channel_class` and `parser_class` are where it lets itself
be extended.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from nbpipe.errors import UsageError
from webhook import access
from webhook.pages.door import LOGIN_BYTES
from webhook.receiving.body import LIMIT
from webhook.receiving.forges import FORGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
    from types import FrameType
    from wsgiref.types import WSGIApplication

    from waitress.adjustments import Adjustments

    from webhook.receiving.forges import Forge

logger = logging.getLogger(__name__)

LINGER_SECONDS = 20.0
REQUEST_SECONDS = 30.0
"""For a whole request to arrive; GitHub itself gives up after ten."""
IDLE_SECONDS = 30
DRAIN_SECONDS = 10.0
"""For the requests under way when the service is told to stop."""
CONNECTIONS = 500
SPARE_CONNECTIONS = 50
"""So many before the limit, the connection that was silent for the longest time is closed."""
BODIES = 64_000_000
"""Bytes of all bodies together that no answer has been given to yet.

Judged between two rounds of reading: a round adds at most CHUNK for each of CONNECTIONS, so that
less than 100 MB are ever kept.
"""
SMALL_BODY = 1_000_000
"""Bytes. When half of the room is taken, larger ones wait for each other; beacons are smaller."""
RETRY_SECONDS = 30
HEADER_BYTES = 32 * 1024
CHUNK = 64 * 1024


class BusyError(Error):  # type: ignore[misc]
    """503: nothing more can be kept now."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return the answer, with the time after which to try again."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("Retry-After", str(RETRY_SECONDS))], body


FORMS = ("/login", "/logout")


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Ends a request with its headers where its body will not be wanted."""

    chunked: bool
    content_length: int
    body_rcv: Sized | None

    def __init__(self, adj: Adjustments, leave_unread: Callable[[], None]) -> None:
        super().__init__(adj)
        self._leave_unread = leave_unread
        self._unread = False

    @property
    def kept(self) -> int:
        """How many bytes of the body are in memory or on disk."""
        return len(self.body_rcv) if self.body_rcv is not None else 0

    def received(self, data: bytes) -> int:
        """Take bytes and return how many; of an unread body all, for they are no request."""
        try:
            taken: int = super().received(data)
        except OSError as error:
            logger.error("a body cannot be kept: %s", error.strerror)  # noqa: TRY400  (says it all)
            self.give_up()
            self._leave_unread()
        return len(data) if self._unread else taken

    def give_up(self) -> None:
        """Let go of the body, and answer that the service is busy."""
        self._leave_body()
        self.error = BusyError("too many bodies arrive at once; send it again later")
        self.completed = True

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the headers; take a body only from somebody who claims to have signed it."""
        super().parse_header(header_plus)
        if self.chunked:
            self.headers["TRANSFER_ENCODING"] = "chunked"
        if self._wanted():
            return
        self._leave_body()
        self.chunked = False
        self.content_length = 0
        self.headers["CONNECTION"] = "close"
        self._leave_unread()

    def _leave_body(self) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take
            self.close()
        self.body_rcv = None
        self.expect_continue = False
        self._unread = True

    def _wanted(self) -> bool:
        if self.body_rcv is None:
            # A POST without a length has no body in HTTP; what follows it may be one all the same.
            return self.command != "POST" or "CONTENT_LENGTH" in self.headers
        if self.command == "POST" and self.path.endswith(FORMS) and not self.chunked:
            return self.content_length <= LOGIN_BYTES
        return (
            self.command == "POST"
            and not self.chunked
            and self.content_length < self.adj.max_request_body_size
            and any(_may_be_signed(forge, self.headers) for forge in FORGES)
        )


def _may_be_signed(forge: Forge, headers: Mapping[str, str]) -> bool:
    """Return whether a request, its headers as waitress names them, may be that forge's beacon."""
    given = headers.get(forge.signature_header.upper().replace("-", "_"), "")
    return forge.signature.fullmatch(given) is not None


class Answer(WSGITask):  # type: ignore[misc]
    """The application's answer."""

    def build_response_header(self) -> bytes:
        """Return the head; an error ends the connection, for what follows may be no request."""
        if self.status >= "400":
            self.set_close_on_finish()
            self.channel.leave_unread()
        head: bytes = super().build_response_header()
        return head


class ErrorAnswer(ErrorTask):  # type: ignore[misc]
    """waitress' own answer to what is no HTTP; only the access log is ours."""

    def execute(self) -> None:
        """Answer, and log it like every other request."""
        self.channel.leave_unread()
        super().execute()
        access.log(
            method=getattr(self.request, "command", ""),
            path=getattr(self.request, "path", ""),
            status=int(self.status[:3]),
            seconds=0.0,
            remote=self.channel.addr[0],
        )


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that lets the client read a refusal before it is closed."""

    task_class = Answer
    error_task_class = ErrorAnswer
    request: Parser | None
    requests: list[Parser]
    paused = False
    """Whether its large body has to wait until there is room for it."""
    _unread = False
    _answering = False
    _lingering_until: float | None = None
    began: float | None = None
    """When the first byte of the present request came."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  (waitress')
        super().__init__(*arguments, **options)
        # Reentrant: a connection can turn out to be closed where the lock is already held.
        self.requests_lock = threading.RLock()

    def parser_class(self, adj: Adjustments) -> Parser:
        """Return a parser that tells this connection when it leaves a body unread."""
        return Parser(adj, self.leave_unread)

    def leave_unread(self) -> None:
        """Take nothing more from this connection than its answer needs."""
        self._unread = True

    def received(self, data: bytes) -> bool:
        """Take bytes, and note when their request began."""
        if self._unread:
            return False
        if self.began is None:
            self.began = time.monotonic()
        result: bool = super().received(data)
        if self.request is None:
            self.began = None
        return result

    @property
    def kept(self) -> int:
        """How many bytes of bodies are kept here that no answer was given to yet."""
        under_way = self.request
        return sum(one.kept for one in [*self.requests, *([under_way] if under_way else [])])

    def give_up(self) -> None:
        """Answer that the service is busy instead of waiting for the rest of the request."""
        with self.requests_lock:
            request, self.request = self.request, None
            if request is None:
                return
            request.give_up()
            self.began = None
            self._unread = True
            self.requests.append(request)
            if len(self.requests) == 1:
                self.server.add_task(self)

    def service(self) -> None:
        """Answer the next request, where anybody is still there."""
        with self.requests_lock:
            if not self.connected:
                self._forget()
                return
            self._answering = True
        try:
            super().service()
        finally:
            with self.requests_lock:
                self._answering = False
                if not self.connected:
                    self._forget()

    def del_channel(self, map: Any = None) -> None:  # noqa: A002, ANN401  (waitress')
        """Leave the loop; what was kept of requests that are not being answered goes now."""
        super().del_channel(map)
        with self.requests_lock:
            if not self._answering:
                self._forget()

    def _forget(self) -> None:
        for request in [*self.requests, *([self.request] if self.request else [])]:
            request.close()
        self.requests = []

    def readable(self) -> bool:
        """Say whether to wait for bytes; while it lingers, always."""
        if self._lingering_until is not None:
            return True
        return not self.paused and bool(super().readable())

    def handle_read(self) -> None:
        """Read; what arrives while it lingers is thrown away. At its end `recv` closes."""
        if self._lingering_until is None:
            super().handle_read()
        else:
            self.recv(CHUNK)

    def handle_close(self) -> None:
        """Close, after the client had time to read the answer to an unread body."""
        if not self._unread or self._lingering_until is not None or not self.connected:
            super().handle_close()
            return
        self.will_close = False
        self._lingering_until = time.monotonic() + LINGER_SECONDS
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            super().handle_close()

    def overdue(self, now: float) -> bool:
        """Return whether the request is too slow, or the client lingers for too long."""
        if self._lingering_until is not None:
            return now > self._lingering_until
        return self.began is not None and now - self.began > REQUEST_SECONDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Where to listen, and how much to take."""

    host: str
    port: int
    """0: the system chooses one."""
    threads: int = 8
    body_limit: int = LIMIT
    """Bytes."""


class Server:
    """Accepts connections until it is told to stop, then finishes what is under way."""

    def __init__(self, app: WSGIApplication, listen: Listen) -> None:
        self._map: dict[int, wasyncore.dispatcher] = {}
        self._stopping = False
        self._server = create_server(
            app,
            map=self._map,
            sockets=_bound(listen.host, listen.port),
            threads=listen.threads,
            ident="nbpipe",
            max_request_body_size=listen.body_limit + 1,
            max_request_header_size=HEADER_BYTES,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=5,
            connection_limit=CONNECTIONS,
            recv_bytes=CHUNK,
            clear_untrusted_proxy_headers=False,  # the application decides (--proxies)
            log_socket_errors=False,
            asyncore_use_poll=True,
        )
        for listener in self._listeners():
            listener.channel_class = Channel

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens; with port 0, the port that the system chose."""
        return [(one.effective_host, int(one.effective_port)) for one in self._listeners()]

    def run(self) -> None:
        """Serve until `stop`, then finish the requests that are under way."""
        while not self._stopping:
            self._turn()
        for listener in self._listeners():
            wasyncore.dispatcher.close(listener)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._busy() and time.monotonic() < deadline:
            self._turn()
        self._server.task_dispatcher.shutdown(timeout=DRAIN_SECONDS)
        wasyncore.close_all(self._map, ignore_all=True)

    def stop(self) -> None:
        """Make `run` return; for any thread and for signal handlers."""
        self._stopping = True
        for one in list(self._map.values()):
            if isinstance(one, BaseWSGIServer):
                with contextlib.suppress(OSError):  # `run` saw it by itself and has closed it
                    one.pull_trigger()

    @contextlib.contextmanager
    def stopped_by(self, *signals: signal.Signals) -> Iterator[None]:
        """Let these signals stop it while the block runs."""

        def handler(number: int, _frame: FrameType | None) -> None:
            logger.info("%s: finishing the requests under way", signal.Signals(number).name)
            self.stop()

        before = {one: signal.signal(one, handler) for one in signals}
        try:
            yield
        finally:
            for one, old in before.items():
                signal.signal(one, old)

    def _turn(self) -> None:
        wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
        now = time.monotonic()
        channels = self._channels()
        for channel in channels:
            if not channel.requests and channel.overdue(now):
                channel.will_close = True
        _bound_bodies(channels)
        _bound_connections(channels)

    def _busy(self) -> bool:
        return any(
            channel.requests or channel.request is not None or channel.total_outbufs_len
            for channel in self._channels()
        )

    def _listeners(self) -> list[BaseWSGIServer]:
        return [one for one in self._map.values() if isinstance(one, BaseWSGIServer)]

    def _channels(self) -> list[Channel]:
        return [one for one in self._map.values() if isinstance(one, Channel)]


def _bound_bodies(channels: Sequence[Channel]) -> None:
    """Let large bodies through one after the other; give up what is over the bound all the same.

    The first to have begun is the first in both: it is let through, or is given up.
    """
    kept = sum(channel.kept for channel in channels)
    large = [one for one in channels if one.request and one.request.kept > SMALL_BODY]
    first = min(large, key=lambda one: one.began or 0.0, default=None)
    if any(request.kept > SMALL_BODY for one in channels for request in [*one.requests]):
        first = None  # a whole one is answered before the next one comes
    for channel in channels:
        channel.paused = kept > BODIES // 2 and channel in large and channel is not first
    if kept <= BODIES:
        return
    for channel in sorted(channels, key=lambda one: one.began or 0.0):
        if channel.request is not None and channel.request.kept:
            kept -= channel.request.kept
            channel.give_up()
        if kept <= BODIES:
            return


def _bound_connections(channels: Sequence[Channel]) -> None:
    """Close silent connections before there are so many that no new one is accepted."""
    over = len(channels) - (CONNECTIONS - SPARE_CONNECTIONS)
    if over <= 0:
        return
    # without a whole request it is the client's turn, to send or to take more of an answer
    waiting = [one for one in channels if not (one.requests or one.will_close)]
    for channel in sorted(waiting, key=lambda one: one.last_activity)[:over]:
        channel.will_close = True


def _bound(host: str, port: int) -> list[socket.socket]:
    """Return a socket for every address of that host.

    Raises:
        UsageError: The host is unknown, or one of the addresses is taken or not ours.
    """
    with contextlib.ExitStack() as stack:
        sockets = []
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise UsageError(
                f"{host}: cannot listen there, no such host is known: {_reason(error)}",
                hint="Choose an address of this machine with --host or `webhook.host`.",
            ) from error
        try:
            for family, *_, address in found:
                one = socket.create_server((str(address[0]), int(address[1])), family=family)
                sockets.append(stack.enter_context(one))
        except OSError as error:
            raise UsageError(
                f"{host}:{port}: cannot listen there: {_reason(error)}",
                hint=_HINTS.get(error.errno or 0, "Choose with --host and --port."),
            ) from error
        stack.pop_all()
        return sockets


_HINTS = {
    errno.EADDRINUSE: "Another service has that port; choose another one with --port.",
    errno.EADDRNOTAVAIL: "That address is not this machine's; choose one with --host.",
    errno.EACCES: "Only root may take a port below 1024; choose another one with --port.",
}


def _reason(error: OSError) -> str:
    """Return the system's words; the library adds the address once more."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return str(error.strerror or error)
    return os.strerror(error.errno)
