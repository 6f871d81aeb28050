"""`nbpipe serve` as a process of its own, with real git behind it."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""
SECRET = "s3cr3t-of-the-hook"  # noqa: S105  (of these tests)
START = "from nbpipe.cli.serve import serve; serve()"
MEMORY = 150_000
"""kB."""


class Origin:
    """A bare repository and somebody who pushes to it."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "ORG" / "notebooks.git"
        self.clone = folder / "clone"
        git("init", "--bare", "--initial-branch=main", str(self.bare))
        git("clone", str(self.bare), str(self.clone))
        self.push("a.ipynb", "first")

    def push(self, name: str, content: str) -> str:
        (self.clone / name).write_text(content)
        git("add", ".", cwd=self.clone)
        git("commit", "-m", content, cwd=self.clone)
        git("push", "origin", "HEAD:main", cwd=self.clone)
        return git("rev-parse", "HEAD", cwd=self.clone).strip()

    def beacon(self) -> bytes:
        after = git("rev-parse", "HEAD", cwd=self.clone).strip()
        return json.dumps(
            {
                "ref": "refs/heads/main",
                "before": "0" * 40,
                "after": after,
                "repository": {"full_name": "ORG/notebooks"},
                "pusher": {"name": "ada"},
            }
        ).encode()


def git(*arguments: str, cwd: Path | None = None) -> str:
    identity = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    people = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
    return subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        env={**os.environ, **people},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def config(tmp_path: Path, origin: Origin) -> Path:
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f"""
        [webhook]
        port = 0
        [[collection]]
        name = "notebooks"
        origin = "file://{origin.bare}"
        protocols = ["file"]
        root = "{tmp_path / "mirror"}"
        secrets = ["env:NBPIPE_WEBHOOK_SECRET"]
        poll = 0
        """
    )
    return file


class Service:
    """A running `nbpipe serve`."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, "--config", str(config), *arguments],
            env={
                **os.environ,
                "NBPIPE_WEBHOOK_SECRET": SECRET,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._token = config.parent / "mirror" / ".nbpipe" / ".pages" / "token"
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        wait_until(lambda: self._listening() or self.process.poll() is not None)
        found = self._listening()
        assert found, "".join(self.log)
        self.port = int(found[1])

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)

    def _listening(self) -> re.Match[str] | None:
        return re.search(r"Listening on http://127\.0\.0\.1:(\d+)", "".join(self.log))

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, named)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text.decode()

    def page(self, path: str) -> tuple[int, Any]:
        """Ask for a page, with the token that the service made."""
        return self.request("GET", path, Authorization=f"Bearer {self._token.read_text().strip()}")

    def beacon(self, body: bytes, delivery: str) -> tuple[int, Any]:
        code = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return self.request(
            "POST",
            "/webhook/notebooks",
            body,
            Content_Type="application/json",
            X_GitHub_Event="push",
            X_GitHub_Delivery=delivery,
            X_Hub_Signature_256=f"sha256={code}",
        )

    def of_process(self, file: str, name: str) -> int:
        with open(f"/proc/{self.process.pid}/{file}") as lines:  # noqa: PTH123  (no file of ours)
            return next(int(line.split()[1]) for line in lines if line.startswith(name))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code


@pytest.fixture
def start(config: Path) -> Iterator[Callable[..., Service]]:
    running: list[Service] = []

    def start(*arguments: str) -> Service:
        running.append(Service(config, *arguments))
        return running[-1]

    yield start
    for service in running:
        if service.process.poll() is None:
            service.process.kill()
            service.stop()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


def current(tmp_path: Path, name: str) -> str:
    file = tmp_path / "mirror" / "notebooks" / "current" / name
    return file.read_text() if file.is_file() else ""


def test_it_publishes_at_the_start_and_for_a_beacon_and_ends_with_0(
    start: Callable[..., Service], origin: Origin, tmp_path: Path
) -> None:
    service = start()
    wait_until(lambda: current(tmp_path, "a.ipynb") == "first")
    wait_until(lambda: service.request("GET", "/health")[0] == 200)
    commit = origin.push("a.ipynb", "second")
    assert service.beacon(origin.beacon(), "one") == (202, {"status": "accepted"})
    wait_until(lambda: current(tmp_path, "a.ipynb") == "second")
    wait_until(lambda: commit[:12] in service.page("/")[1])
    wait_until(lambda: "delivery one" in service.page("/")[1])  # the journal comes last
    assert f'commit="{commit}"' in service.page("/metrics")[1]
    assert service.stop() == 0
    assert SECRET not in "".join(service.log)


def test_the_pages_are_open_to_no_request_of_this_machine_and_the_log_says_where_the_token_is(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    service = start("--no-worker")
    file = tmp_path / "mirror" / ".nbpipe" / ".pages" / "token"
    assert f"the pages ask for the token in {file}, made now" in "".join(service.log)
    assert file.read_text().strip() not in "".join(service.log)
    upstream = {"Host": f"127.0.0.1:{service.port}", "Connection": "close"}  # nginx's defaults
    for path in ("/", "/collections", "/collections.json", "/references", "/metrics"):
        assert service.request("GET", path, **upstream)[0] == 401
        assert service.page(path)[0] == 200
    assert service.request("GET", "/health")[0] == 503


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(start: Callable[..., Service], number: signal.Signals) -> None:
    assert start().stop(number) == 0


def test_a_delivery_is_remembered_by_the_next_process(
    start: Callable[..., Service], origin: Origin
) -> None:
    first = start()
    assert first.beacon(origin.beacon(), "one") == (202, {"status": "accepted"})
    first.process.kill()
    first.stop()
    second = start()
    assert second.beacon(origin.beacon(), "one") == (202, {"status": "duplicate"})
    assert second.beacon(origin.beacon(), "two") == (202, {"status": "accepted"})


def test_without_a_worker_the_beacon_reaches_one_in_another_process(
    start: Callable[..., Service], origin: Origin, tmp_path: Path
) -> None:
    receiver = start("--no-worker")
    assert receiver.request("GET", "/health")[0] == 503
    worker = start()
    wait_until(lambda: current(tmp_path, "a.ipynb") == "first")
    origin.push("a.ipynb", "second")
    assert receiver.beacon(origin.beacon(), "one") == (202, {"status": "accepted"})
    wait_until(lambda: current(tmp_path, "a.ipynb") == "second")
    wait_until(lambda: receiver.request("GET", "/health")[0] == 200)
    assert worker.beacon(origin.beacon(), "one") == (202, {"status": "duplicate"})


def test_of_two_receivers_with_the_same_delivery_at_once_one_accepts_it(
    start: Callable[..., Service], origin: Origin
) -> None:
    receivers = [start("--no-worker"), start("--no-worker")]
    body = origin.beacon()
    for number in range(20):
        answers: list[str] = []
        barrier = threading.Barrier(8)

        def deliver(
            receiver: Service,
            delivery: str = f"race-{number}",
            answers: list[str] = answers,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            answers.append(receiver.beacon(body, delivery)[1]["status"])

        threads = [threading.Thread(target=deliver, args=(one,)) for one in receivers * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in receivers:
            assert one.process.poll() is None, "".join(one.log)
        assert sorted(answers) == ["accepted"] + ["duplicate"] * 7


def test_a_rotated_secret_file_holds_without_a_restart(
    start: Callable[..., Service], origin: Origin, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("another secret")
    text = config.read_text()
    config.write_text(text.replace("env:NBPIPE_WEBHOOK_SECRET", f"file:{file}"))
    service = start("--no-worker")
    assert service.beacon(origin.beacon(), "one")[0] == 403
    file.write_text(SECRET)
    assert service.beacon(origin.beacon(), "one") == (202, {"status": "accepted"})


def test_as_a_service_of_jupyterhub_it_answers_below_the_prefix_whoever_has_the_token(
    start: Callable[..., Service], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a token of the pages"  # noqa: S105
    monkeypatch.setenv("PAGES_TOKEN", token)
    text = config.read_text()
    config.write_text(text.replace("port = 0", 'port = 0\n        token = "env:PAGES_TOKEN"'))
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/services/notebooks/")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:0")
    service = start("--no-worker")
    assert service.request("GET", "/services/notebooks/")[0] == 401
    bearer = f"Bearer {token}"
    status, page = service.request("GET", "/services/notebooks/", Authorization=bearer)
    assert status == 200
    assert token not in "".join(service.log)
    assert 'href="/services/notebooks/static/status.css"' in page


def unsigned(kind: str, port: int) -> list[int]:
    """Send 300 MB that nobody signed in several ways, and return the statuses."""
    piece = b"x" * 1_000_000
    lines = ["POST /webhook/notebooks HTTP/1.1", "Host: x", "Content-Type: application/json"]
    match kind:
        case "declared":
            lines.append("Content-Length: 300000000")
        case "chunked":
            lines.append("Transfer-Encoding: chunked")
            piece = b"f4240\r\n" + piece + b"\r\n"
        case "lying":
            lines += ["Content-Length: 1000", f"X-Hub-Signature-256: sha256={'0' * 64}"]
    with socket.create_connection(("127.0.0.1", port), LIMIT) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        for _ in range(300):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return [int(line.split()[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("declared", 413), ("chunked", 413), ("lying", 403), ("missing", 413)],
)
def test_300_megabytes_nobody_signed_are_neither_kept_in_memory_nor_on_disk(
    start: Callable[..., Service], kind: str, expected: int
) -> None:
    service = start("--no-worker")
    before = service.of_process("io", "wchar:")
    statuses = [unsigned(kind, service.port) for _ in range(3)]
    assert statuses == [[expected]] * 3
    assert service.of_process("status", "VmHWM:") < MEMORY
    assert service.of_process("io", "wchar:") - before < 1_000_000
    assert service.page("/metrics")[0] == 200


def test_many_large_forgeries_at_once_do_not_fill_the_memory(
    start: Callable[..., Service],
) -> None:
    service = start("--no-worker")
    body = b"x" * 20_000_000
    answers: list[int] = []

    def forge() -> None:
        signature = "sha256=" + "0" * 64
        status, _ = service.request(
            "POST",
            "/webhook",
            body,
            Content_Type="application/json",
            X_Hub_Signature_256=signature,
        )
        answers.append(status)

    threads = [threading.Thread(target=forge) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [403] * 12
    assert service.of_process("status", "VmHWM:") < MEMORY
