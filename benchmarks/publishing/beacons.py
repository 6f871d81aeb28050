"""A burst of signed beacons against the whole service: answers, their times, and the fetches.

    python benchmarks/publishing/beacons.py [--beacons 1000] [--connections 8]

The service (receiver under waitress, worker, git) runs in this process, where the fetches can be
counted; the beacons come from a second one. Beside the burst stands the same number of requests
to /health, for what the machine and the server cost without the receiver's work.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe.config.settings import CollectionSettings, WebhookSettings
from webhook.receiving.server import Listen, Server
from webhook.wiring import Service, wire

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "benchmark"  # noqa: S105  (of this benchmark)
LIMIT = 60.0
"""Seconds to wait for anything."""


@click.command()
@click.option("--beacons", default=1_000, show_default=True)
@click.option("--connections", default=8, show_default=True)
@click.option("--client", type=int, hidden=True, help="Only send, to this port.")
@click.option("--commit", hidden=True, default="")
def main(beacons: int, connections: int, client: int | None, commit: str) -> None:
    """Measure a burst of signed beacons."""
    if client is not None:
        click.echo(json.dumps(send_all(client, beacons, connections, commit)))
        return
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), beacons, connections), connections)


def measure(folder: Path, beacons: int, connections: int) -> dict[str, Any]:
    """Run the service and the burst, and return what was seen."""
    clone, bare = repository(folder)
    settings = CollectionSettings(
        name="notebooks",
        origin=f"file://{bare}",
        protocols=("file",),
        root=str(folder / "mirror"),
        secrets=("env:HOOK",),
        poll=0,
    )
    service = wire([settings], WebhookSettings(), {"HOOK": SECRET})
    fetches = counted(service)
    server = Server(service.app, Listen(host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    service.start()
    port = server.addresses[0][1]
    visible = folder / "mirror" / "notebooks" / "current" / "a.ipynb"
    wait_until(visible.is_file)
    commit = push(clone, "second")
    before = len(fetches)
    appeared: list[float] = []
    watcher = threading.Thread(target=watch, args=(visible, "second", appeared))
    watcher.start()
    seen = from_another_process(port, beacons, connections, commit)
    watcher.join()
    seen["visible"] = appeared[0] - seen["beacons"]["started"]
    wait_until(lambda: quiet(fetches))
    seen["fetches"] = len(fetches) - before
    server.stop()
    thread.join()
    service.stop()
    seen["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    return seen


def watch(file: Path, content: str, appeared: list[float]) -> None:
    """Note when readers see that content."""
    wait_until(lambda: file.read_text() == content)
    appeared.append(time.time())


def counted(service: Service) -> list[float]:
    """Note the time of every fetch of the workers, which do fetch."""
    fetches: list[float] = []
    for worker in service.workers:
        fetch = worker.publisher.fetch

        def counting(fetch: Callable[[], str] = fetch) -> str:
            fetches.append(time.monotonic())
            return fetch()

        worker.publisher.fetch = counting  # type: ignore[method-assign]
    return fetches


def quiet(fetches: list[float]) -> bool:
    """Return whether no fetch came for longer than any burst is waited out."""
    return time.monotonic() - fetches[-1] > 7  # noqa: PLR2004  (seconds)


def from_another_process(port: int, beacons: int, connections: int, commit: str) -> dict[str, Any]:
    """Let a second process send, so that the clients do not hold up the service."""
    command = [sys.executable, __file__, f"--client={port}", f"--beacons={beacons}"]
    command += [f"--connections={connections}", f"--commit={commit}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def send_all(port: int, beacons: int, connections: int, commit: str) -> dict[str, Any]:
    """Send the burst and the same number of other requests."""
    payload = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": commit,
        "repository": {"full_name": "ORG/notebooks"},
    }
    body = json.dumps(payload).encode()
    code = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()

    def beacon(connection: http.client.HTTPConnection, number: int) -> None:
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": f"benchmark-{number}",
            "X-Hub-Signature-256": f"sha256={code}",
        }
        connection.request("POST", "/webhook/notebooks", body, headers)

    def health(connection: http.client.HTTPConnection, _: int) -> None:
        connection.request("GET", "/health")

    return {
        "beacons": burst(port, beacons, connections, beacon),
        "health": burst(port, beacons, connections, health),
    }


def burst(
    port: int,
    count: int,
    connections: int,
    send: Callable[[http.client.HTTPConnection, int], None],
) -> dict[str, Any]:
    """Send over several connections at once; return every answer's status and seconds."""
    answers: list[tuple[int, float]] = []

    def some(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        for number in range(first, count, connections):
            started = time.perf_counter()
            send(connection, number)
            response = connection.getresponse()
            response.read()
            answers.append((response.status, time.perf_counter() - started))
        connection.close()

    threads = [threading.Thread(target=some, args=(first,)) for first in range(connections)]
    began, started = time.time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    return {"answers": answers, "seconds": seconds, "started": began}


def report(seen: dict[str, Any], connections: int) -> None:
    """Print the two rows and what the burst cost."""
    click.echo(f"{connections} connections; times in ms")
    click.echo(f"{'':16}{'answers':>22}{'per s':>8}{'median':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    for name in ("beacons", "health"):
        answers, seconds = seen[name]["answers"], seen[name]["seconds"]
        times = sorted(1_000 * one for _, one in answers)
        statuses = [status for status, _ in answers]
        counts = ", ".join(f"{statuses.count(one)} x {one}" for one in sorted(set(statuses)))
        cuts = statistics.quantiles(times, n=100)
        row = [len(answers) / seconds, statistics.median(times), cuts[94], cuts[98], times[-1]]
        click.echo(f"{name:16}{counts:>22}" + "".join(f"{one:8.1f}" for one in row))
    click.echo(f"fetches for the burst: {seen['fetches']}")
    click.echo(f"first beacon to visible: {1_000 * seen['visible']:.0f} ms")
    click.echo(f"memory of the service at its highest: {seen['memory']:.0f} MB")


def repository(folder: Path) -> tuple[Path, Path]:
    """Return a clone and its bare origin, with one commit."""
    bare, clone = folder / "ORG" / "notebooks.git", folder / "clone"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git("init", "--quiet", "--initial-branch=main", str(clone))
    git("-C", str(clone), "remote", "add", "origin", str(bare))
    push(clone, "first")
    return clone, bare


def push(clone: Path, content: str) -> str:
    """Commit that content, push it and return the commit."""
    (clone / "a.ipynb").write_text(content)
    git("-C", str(clone), "add", ".")
    git("-C", str(clone), "commit", "--quiet", "-m", content)
    git("-C", str(clone), "push", "--quiet", "origin", "HEAD:main")
    return git("-C", str(clone), "rev-parse", "HEAD").strip()


def git(*arguments: str) -> str:
    """Run git as somebody."""
    person = {
        f"GIT_{who}_{key}": value
        for who in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
    }
    environ = {**os.environ, **person}
    return subprocess.run(
        ["git", *arguments], env=environ, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for it.

    Raises:
        TimeoutError: It did not hold within a minute.
    """
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the service did not get there")
        time.sleep(0.005)


if __name__ == "__main__":
    main()
