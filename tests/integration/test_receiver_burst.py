"""A thousand beacons at once, with real git behind them."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from nbpipe.config.settings import CollectionSettings, WebhookSettings
from webhook.receiving.server import Listen, Server
from webhook.wiring import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pytest

    from nbpipe.publishing.reconcile import Reconciler

LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""
SECRET = "s3cr3t-of-the-hook"  # noqa: S105  (of this test)
BEACONS = 1_000


def git(*arguments: str) -> str:
    identity = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    people = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
    environ = {**os.environ, **people}
    return subprocess.run(
        ["git", *arguments], env=environ, capture_output=True, text=True, check=True
    ).stdout


def push(clone: Path, content: str) -> bytes:
    """Push a commit, and return its beacon."""
    (clone / "a.ipynb").write_text(content)
    git("-C", str(clone), "add", ".")
    git("-C", str(clone), "commit", "-m", content)
    git("-C", str(clone), "push", "origin", "HEAD:main")
    payload = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": git("-C", str(clone), "rev-parse", "HEAD").strip(),
        "repository": {"full_name": "ORG/notebooks"},
    }
    return json.dumps(payload).encode()


def current(tmp_path: Path, name: str) -> str:
    file = tmp_path / "mirror" / "notebooks" / "current" / name
    return file.read_text() if file.is_file() else ""


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


def test_a_thousand_beacons_are_all_accepted_and_cost_at_most_three_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, clone = tmp_path / "ORG" / "notebooks.git", tmp_path / "clone"
    git("init", "--bare", "--initial-branch=main", str(bare))
    git("clone", str(bare), str(clone))
    push(clone, "first")
    settings = CollectionSettings(
        name="notebooks",
        origin=f"file://{bare}",
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
    beacon = push(clone, "second")
    at_start = len(fetches)
    answers = burst(server.addresses[0][1], beacon)
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
