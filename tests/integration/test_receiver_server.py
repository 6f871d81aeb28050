"""Hostile and honest requests on raw sockets, against the server that really runs."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import hmac
import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from doors import BEARER, admitted, door

from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.reconcile import Reconciler
from webhook.app import create_app
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries
from webhook.receiving.secret import Secrets
from webhook.receiving.server import BODIES, CHUNK, CONNECTIONS, Listen, Server
from webhook.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

LIMIT = 60.0
"""Seconds; generous, nothing depends on it."""
SECRET = b"s3cr3t-of-the-hook"
BODY = json.dumps(
    {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "repository": {"full_name": "ORG/n"},
    }
).encode()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    settings = CollectionSettings(name="n", origin="https://example.org/x.git", root=str(tmp_path))
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        served = Served(
            followed=Followed(name="n", repository="ORG/n", branch="main"),
            secrets=Secrets(("env:HOOK",), {"HOOK": SECRET.decode()}),
            worker=Reconciler(settings),
        )
        yield create_app([served], deliveries, door=door())


@pytest.fixture
def run(app: Flask) -> Iterator[Callable[[], Server]]:
    """Start the server in a thread; stop it at the end of the test."""
    running: list[tuple[Server, threading.Thread]] = []

    def run() -> Server:
        server = Server(app, Listen(host="127.0.0.1", port=0, threads=4))
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return server

    yield run
    for server, thread in running:
        server.stop()
        thread.join(LIMIT)
        assert not thread.is_alive()


@pytest.fixture
def server(run: Callable[[], Server]) -> Server:
    return run()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.addresses[0], LIMIT)


def head(*lines: str, signed: bytes | None = None, method: str = "POST") -> bytes:
    given = [f"{method} /webhook/n HTTP/1.1", "Host: x", *lines]
    if signed is not None:
        digest = hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
        given.append(f"X-Hub-Signature-256: sha256={digest}")
    return "\r\n".join([*given, "", ""]).encode("latin-1")


def identity(delivery: str = "a") -> tuple[str, str, str]:
    return (
        "Content-Type: application/json",
        "X-GitHub-Event: push",
        f"X-GitHub-Delivery: {delivery}",
    )


def everything(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def talk(server: Server, *pieces: bytes) -> bytes:
    """Send, then read until the server closes."""
    with connect(server) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return everything(connection)


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer and leave the connection open."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline()) not in {b"\r\n", b""}:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, stream.read(length)


def statuses(received: bytes) -> list[int]:
    lines = received.split(b"\r\n")
    return [int(line.split()[1]) for line in lines if line.startswith(b"HTTP/1.")]


def test_a_signed_push_is_accepted_and_the_connection_goes_on(server: Server) -> None:
    request = head(*identity(), f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    with connect(server) as connection:
        connection.sendall(request)
        assert answer(connection) == (202, b'{"status":"accepted"}\n')
        connection.sendall(request)
        assert answer(connection) == (202, b'{"status":"duplicate"}\n')


def test_a_signed_body_that_arrives_in_pieces_is_accepted(server: Server) -> None:
    request = head(*identity(), f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    with connect(server) as connection:
        for number in range(0, len(request), 37):
            connection.sendall(request[number : number + 37])
        assert answer(connection)[0] == 202


def test_a_signed_sender_that_asks_first_is_told_to_continue(server: Server) -> None:
    lines = (*identity(), f"Content-Length: {len(BODY)}", "Expect: 100-continue")
    with connect(server) as connection:
        connection.sendall(head(*lines, signed=BODY))
        assert answer(connection)[0] == 100
        connection.sendall(BODY)
        assert answer(connection)[0] == 202


@pytest.mark.parametrize("length", [25_000_001, 300_000_000, 10**17])
def test_over_25_megabytes_is_413_before_a_byte_of_it_is_sent(server: Server, length: int) -> None:
    lines = (*identity(), f"Content-Length: {length}", "Expect: 100-continue")
    with connect(server) as connection:
        connection.sendall(head(*lines, signed=b""))
        assert answer(connection)[0] == 413


def test_a_client_that_sends_300_megabytes_all_the_same_still_reads_413(server: Server) -> None:
    megabyte = b"x" * 1_000_000
    request = head(*identity(), "Content-Length: 300000000")
    with connect(server) as connection:
        connection.sendall(request)
        for _ in range(300):
            connection.sendall(megabyte)
        assert statuses(everything(connection)) == [413]


def test_a_chunked_body_is_413_without_waiting_for_its_end(server: Server) -> None:
    request = head(*identity(), "Transfer-Encoding: chunked", signed=BODY)
    with connect(server) as connection:
        connection.sendall(request + b"%x\r\n" % len(BODY) + BODY)
        assert answer(connection)[0] == 413


def test_a_chunked_body_of_300_megabytes_is_413(server: Server) -> None:
    chunk = b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"
    request = head(*identity(), "Transfer-Encoding: chunked")
    with connect(server) as connection:
        connection.sendall(request)
        for _ in range(300):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        assert statuses(everything(connection)) == [413]


def test_a_missing_length_is_413(server: Server) -> None:
    request = head(*identity(), signed=BODY)
    assert statuses(talk(server, request, BODY)) == [413]


def test_a_length_and_chunks_together_are_413(server: Server) -> None:
    lines = (*identity(), f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked")
    smuggled = b"0\r\n\r\n" + head(*identity("smuggled"))
    assert statuses(talk(server, head(*lines, signed=BODY), smuggled)) == [413]


def test_a_body_longer_than_its_length_is_not_what_was_signed(server: Server) -> None:
    lines = (*identity(), "Content-Length: 10")
    assert statuses(talk(server, head(*lines, signed=BODY) + BODY)) == [403]


def test_an_unsigned_body_is_refused_once_and_its_rest_is_no_request(server: Server) -> None:
    inner = head(*identity("inner"), f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    lines = (*identity("outer"), "Content-Length: 5")
    assert statuses(talk(server, head(*lines), b"hello" + inner)) == [403]


def test_a_body_that_is_cut_off_is_never_accepted(server: Server, app: Flask) -> None:
    lines = (*identity(), f"Content-Length: {len(BODY)}")
    with connect(server) as connection:
        connection.sendall(head(*lines, signed=BODY) + BODY[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == b""
    metrics = admitted(app).get("/metrics").get_data(as_text=True)
    assert 'result="accepted"' not in metrics


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: -1",), 400),
        (("Content-Length: +5",), 400),
        (("Content-Length: 5, 5",), 400),
        (("Content-Length: 5", "Content-Length: 6"), 400),
        (("Content-Length: 0x5",), 400),
        (("Transfer-Encoding: gzip",), 501),
        (("Transfer-Encoding: gzip, chunked",), 501),
        (("X-Long: " + "x" * 40_000,), 431),
        (("Bad Header",), 400),
    ],
    ids=range(9),
)
def test_what_is_no_http_is_refused(server: Server, lines: tuple[str, ...], status: int) -> None:
    assert statuses(talk(server, head(*identity(), *lines, signed=BODY)))[0] == status


@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        ("POST", ("Content-Type: text/plain", "Content-Length: 5"), 415),
        ("POST", ("Content-Type: application/json", "Content-Length: 5"), 403),
        ("PUT", ("Content-Type: application/json", "Content-Length: 5"), 405),
        ("GET", ("Content-Length: 5",), 405),
    ],
    ids=["type", "signature", "method", "get"],
)
def test_a_body_nobody_signed_is_answered_from_the_headers_alone(
    server: Server, method: str, lines: tuple[str, ...], status: int
) -> None:
    with connect(server) as connection:
        connection.sendall(head(*lines, method=method))
        assert answer(connection)[0] == status


def test_two_different_signatures_are_refused(server: Server) -> None:
    lines = (*identity(), f"Content-Length: {len(BODY)}", "X-Hub-Signature-256: sha256=0")
    assert statuses(talk(server, head(*lines, signed=BODY) + BODY)) == [403]


def test_every_forwarded_header_is_ignored_where_no_proxy_is_configured(server: Server) -> None:
    lines = ("GET / HTTP/1.1", "Host: x", "X-Forwarded-Prefix: /evil", f"Authorization: {BEARER}")
    answered = talk(server, "\r\n".join([*lines, "Connection: close", "", ""]).encode())
    assert statuses(answered) == [200]
    assert b"/evil" not in answered


def test_a_stopped_server_finishes_the_request_under_way(run: Callable[[], Server]) -> None:
    server = run()
    lines = (*identity(), f"Content-Length: {len(BODY)}", "Connection: close")
    with connect(server) as connection:
        connection.sendall(head(*lines, signed=BODY) + BODY[:50])
        wait_until(lambda: any(one.request for one in server._channels()))
        server.stop()
        wait_until(lambda: not server.addresses)
        connection.sendall(BODY[50:])
        assert statuses(everything(connection)) == [202]


def test_a_stopped_server_accepts_no_connection(run: Callable[[], Server]) -> None:
    server = run()
    address = server.addresses[0]
    server.stop()
    wait_until(lambda: not server.addresses)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, LIMIT)


def test_a_hundred_clients_that_say_nothing_keep_nobody_out(server: Server) -> None:
    silent = [connect(server) for _ in range(100)]
    request = head(*identity(), f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    with connect(server) as connection:
        connection.sendall(request)
        assert answer(connection)[0] == 202
    for one in silent:
        one.close()


def test_a_request_that_takes_too_long_to_arrive_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.receiving.server.REQUEST_SECONDS", 0.1)
    with connect(server) as connection:
        connection.sendall(b"POST /webhook/n HTTP/1.1\r\nHost:")
        assert everything(connection) == b""


def test_a_refused_client_that_never_closes_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.receiving.server.LINGER_SECONDS", 0.1)
    with connect(server) as connection:
        connection.sendall(head(*identity(), "Content-Length: 1000"))
        assert statuses(everything(connection)) == [403]
        wait_until(lambda: not server._channels())


FORGED = f"X-Hub-Signature-256: sha256={'0' * 64}"


def upload(server: Server, size: int) -> socket.socket:
    """Begin a body that claims a signature, send that much of it, and leave it unfinished."""
    connection = connect(server)
    connection.sendall(head(*identity(), FORGED, "Content-Length: 24900000") + b"x" * size)
    return connection


def spooled() -> int:
    """Return how many temporary files this process holds open."""
    held = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held += str(each.readlink()).endswith("(deleted)")
    return held


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from hiding what nobody closed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_what_was_kept_of_uploads_goes_with_their_connections(server: Server) -> None:
    before = spooled()
    uploads = [upload(server, 1_000_000) for _ in range(20)]
    wait_until(lambda: spooled() == before + 20)
    for one in uploads:
        one.close()
    wait_until(lambda: spooled() == before)


@pytest.mark.usefixtures("without_collector")
def test_what_was_kept_of_a_slow_upload_goes_when_it_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spooled()
    with upload(server, 1_000_000) as connection:
        wait_until(lambda: spooled() == before + 1)
        monkeypatch.setattr("webhook.receiving.server.REQUEST_SECONDS", 0.1)
        assert everything(connection) == b""
        wait_until(lambda: spooled() == before)


@pytest.mark.usefixtures("without_collector")
def test_a_whole_forgery_whose_sender_is_gone_leaves_nothing(server: Server) -> None:
    before = spooled()
    request = head(*identity(), FORGED, "Content-Length: 2000000") + b"x" * 2_000_000
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(request)
    wait_until(lambda: not server._channels() and spooled() == before)


@pytest.mark.usefixtures("without_collector")
def test_all_bodies_together_are_bounded_and_a_signed_one_still_gets_through(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 6_000_000
    monkeypatch.setattr("webhook.receiving.server.BODIES", bound)
    before = spooled()
    uploads = [upload(server, 1_000_000) for _ in range(20)]
    wait_until(lambda: sum(one.kept for one in server._channels()) <= bound)
    assert spooled() - before <= bound // 1_000_000
    large = json.dumps({**json.loads(BODY), "zen": "x" * 4_000_000}).encode()
    for number, body in enumerate((BODY, large)):
        lines = (*identity(f"real-{number}"), f"Content-Length: {len(body)}")
        with connect(server) as connection:
            connection.sendall(head(*lines, signed=body) + body)
            assert answer(connection)[0] == 202
    refused = everything(uploads[0])
    assert statuses(refused) == [503]
    assert b"Retry-After: 30\r\n" in refused
    for one in uploads:
        one.close()
    wait_until(lambda: spooled() == before)


def test_the_bound_on_bodies_holds_between_two_rounds_of_reading_too() -> None:
    assert BODIES + CONNECTIONS * CHUNK <= 100_000_000


def test_a_body_that_the_disk_does_not_take_is_answered_and_the_service_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(tempfile, "tempdir", "/nonexistent")
        with upload(server, 1_000_000) as connection:
            assert statuses(everything(connection)) == [503]
    request = head(*identity(), f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    with connect(server) as connection:
        connection.sendall(request)
        assert answer(connection)[0] == 202


@pytest.mark.parametrize("first", [b"", b"POST /webhook/n HTTP/1.1\r\nHost:"])
def test_connections_that_wait_make_room_for_new_ones(
    server: Server, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr("webhook.receiving.server.SPARE_CONNECTIONS", CONNECTIONS - 10)
    silent = [connect(server) for _ in range(30)]
    for one in silent:
        one.sendall(first)
    wait_until(lambda: len(server._channels()) <= 10)
    request = head(*identity(), f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    with connect(server) as connection:
        connection.sendall(request)
        assert answer(connection)[0] == 202
    for one in silent:
        one.close()


def test_clients_that_never_read_their_refusal_make_room_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.receiving.server.SPARE_CONNECTIONS", CONNECTIONS - 10)
    lingering = [connect(server) for _ in range(30)]
    for one in lingering:
        one.sendall(head(*identity(), "Content-Length: 1000"))
    wait_until(lambda: len(server._channels()) <= 10)
    for one in lingering:
        one.close()


def test_a_form_of_the_pages_is_read_and_a_larger_one_is_not(server: Server) -> None:
    for path, too_large in (("/login", 413), ("/logout", 403)):
        for size, status in ((100, 403), (5_000, too_large)):
            form = b"token=" + b"x" * (size - 6)
            request = (
                f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {size}\r\n\r\n"
            )
            assert statuses(talk(server, request.encode() + form)) == [status], (path, size)


def test_a_name_of_several_addresses_is_answered_on_all(app: Flask) -> None:
    server = Server(app, Listen(host="localhost", port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for address in server.addresses:
        with socket.create_connection(address, LIMIT) as connection:
            connection.sendall(request)
            assert statuses(everything(connection)) == [503]
    server.stop()
    thread.join(LIMIT)


def test_the_access_log_also_has_what_is_no_http(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "webhook.access")
    assert statuses(talk(server, b"nonsense\r\n\r\n")) == [400]
    lines = [json.loads(one.message) for one in caplog.records if one.name == "webhook.access"]
    assert [line["status"] for line in lines] == [400]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
