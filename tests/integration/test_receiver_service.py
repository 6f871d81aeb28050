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
from click.testing import CliRunner

from nbpipe.cli.serve import serve
from nbpipe.config import CollectionSettings, WebhookSettings
from nbpipe.errors import ConfigError, UsageError
from webhook.server import Listen, Server
from webhook.wiring import repository, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nbpipe.publishing.reconcile import Reconciler

LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""
SECRET = "s3cr3t-of-the-hook"  # noqa: S105  (of these tests)
START = "from nbpipe.cli.serve import serve; serve()"
BEACONS = 1_000
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
    wait_until(lambda: commit[:12] in service.request("GET", "/")[1])
    assert "delivery one" in service.request("GET", "/")[1]
    assert f'commit="{commit}"' in service.request("GET", "/metrics")[1]
    assert service.stop() == 0
    assert SECRET not in "".join(service.log)


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
        assert sorted(answers) == ["accepted"] + ["duplicate"] * 7


def test_a_rotated_secret_file_holds_without_a_restart(
    start: Callable[..., Service], origin: Origin, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("another")
    text = config.read_text()
    config.write_text(text.replace("env:NBPIPE_WEBHOOK_SECRET", f"file:{file}"))
    service = start("--no-worker")
    assert service.beacon(origin.beacon(), "one")[0] == 403
    file.write_text(SECRET)
    assert service.beacon(origin.beacon(), "one") == (202, {"status": "accepted"})


def test_as_a_service_of_jupyterhub_it_answers_below_the_prefix(
    start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/services/notebooks/")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:0")
    service = start("--no-worker")
    status, page = service.request("GET", "/services/notebooks/")
    assert status == 200
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
    assert service.request("GET", "/metrics")[0] == 200


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


def test_a_thousand_beacons_are_all_accepted_and_cost_at_most_three_fetches(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CollectionSettings(
        name="notebooks",
        origin=f"file://{origin.bare}",
        protocols=("file",),
        root=str(tmp_path / "mirror"),
        secrets=("env:HOOK",),
        poll=0,
    )
    service = wire([settings], WebhookSettings(), {"HOOK": SECRET})
    fetches = counted(monkeypatch, service.workers)
    server = Server(service.app, Listen(host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    service.start()
    wait_until(lambda: current(tmp_path, "a.ipynb") == "first")
    origin.push("a.ipynb", "second")
    at_start = len(fetches)
    answers = burst(server.addresses[0][1], origin.beacon())
    wait_until(lambda: current(tmp_path, "a.ipynb") == "second")
    server.stop()
    thread.join(LIMIT)
    service.stop()
    assert answers == [(202, b'{"status":"accepted"}\n')] * BEACONS
    assert 1 <= len(fetches) - at_start <= 3


def counted(monkeypatch: pytest.MonkeyPatch, workers: Sequence[Reconciler]) -> list[float]:
    """Note every fetch of the workers, which do fetch."""
    fetches: list[float] = []
    for worker in workers:
        fetch = worker.publisher.fetch

        def counting(fetch: Callable[[], str] = fetch) -> str:
            fetches.append(time.monotonic())
            return fetch()

        monkeypatch.setattr(worker.publisher, "fetch", counting)
    return fetches


def burst(port: int, body: bytes) -> list[tuple[int, bytes]]:
    """Send a thousand beacons over eight connections at once."""
    code = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answers: list[tuple[int, bytes]] = []

    def send(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        for number in range(first, BEACONS, 8):
            headers = {
                "Content-Type": "application/json",
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": f"burst-{number}",
                "X-Hub-Signature-256": f"sha256={code}",
            }
            connection.request("POST", "/webhook", body, headers)
            response = connection.getresponse()
            answers.append((response.status, response.read()))
        connection.close()

    threads = [threading.Thread(target=send, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_an_empty_secret_keeps_it_from_starting(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBPIPE_WEBHOOK_SECRET", "")
    ended = CliRunner().invoke(serve, ["--config", str(config)])
    assert isinstance(ended.exception, ConfigError)
    assert "env:NBPIPE_WEBHOOK_SECRET is empty or missing" in str(ended.exception)


def test_a_configuration_without_a_collection_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "nbpipe.toml").write_text("")
    ended = CliRunner().invoke(serve, ["--config", str(tmp_path / "nbpipe.toml")])
    assert isinstance(ended.exception, ConfigError)
    assert "no [[collection]]" in str(ended.exception)


def test_an_unknown_collection_is_named(config: Path) -> None:
    ended = CliRunner().invoke(serve, ["--config", str(config), "--collection", "none"])
    assert isinstance(ended.exception, UsageError)
    assert "none: no such collection" in str(ended.exception)
    assert "There are: notebooks." in str(ended.exception)


def test_a_port_that_is_taken_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBPIPE_WEBHOOK_SECRET", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(serve, ["--config", str(config), "--port", str(port)])
    assert isinstance(ended.exception, UsageError)
    assert f"127.0.0.1:{port}: cannot listen there" in str(ended.exception)


@pytest.mark.parametrize(
    "origin_url",
    [
        "https://github.com/ORG/REPO.git",
        "https://github.com/ORG/REPO",
        "https://github.com/ORG/REPO/",
        "ssh://git@github.com/ORG/REPO.git",
        "git@github.com:ORG/REPO.git",
        "file:///srv/git/ORG/REPO.git",
    ],
)
def test_the_repository_is_by_default_the_end_of_the_origin(origin_url: str) -> None:
    assert repository(CollectionSettings(name="n", origin=origin_url, root="/x")) == "ORG/REPO"


def test_an_origin_that_does_not_end_like_that_asks_for_the_repository() -> None:
    with pytest.raises(ConfigError, match="does not end with ORG/REPO"):
        repository(CollectionSettings(name="n", origin="https://example.org", root="/x"))
