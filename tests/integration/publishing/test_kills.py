"""Killed at any moment, the service shows a whole release, and the next start converges.

`NBPIPE_KILLS` says how often (a few hundred now and then, few in every run of the tests);
`NBPIPE_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbpipe
from nbpipe.publishing.releases import operations
from nbpipe.publishing.releases.journal import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]

KILLS = int(os.environ.get("NBPIPE_KILLS", "40"))
SEED = int(os.environ.get("NBPIPE_SEED", str(time.time_ns() % 100_000)))
PACKAGE = Path(nbpipe.__file__).parents[1]
FOLDERS, FILES = 6, 5

# Publishes whatever the branch holds, over and over, with everything that can be cut short:
# fetch, build, flip, clean-up, what is prepared, a rollback and a verification now and then.
WORKER = """
import sys
from nbpipe.config.settings import CollectionSettings, Keep
from nbpipe.publishing.releases import operations as releases
from nbpipe.publishing.releases.journal import Trigger
from nbpipe.publishing.reconcile import Reconciler
worker = Reconciler(CollectionSettings(
    name="notebooks-latest", origin=sys.argv[1], root=sys.argv[2], protocols=("file",), poll=0,
    keep=Keep(releases=2, days=0), gate=tuple(sys.argv[3:])))
print("ready", flush=True)
for number in range(1_000_000):
    outcome = worker.reconcile_once(Trigger.POLL if number else Trigger.STARTUP)
    if outcome.error:
        print(outcome.error, flush=True)
    worker.prepare()
    if number % 5 == 4:
        releases.verify(worker.publisher)
        # One that was killed with a rollback in force: back to the head, before which there is one.
        if releases.unpin(worker.publisher):
            worker.reconcile_once(Trigger.UNPIN)
        releases.rollback(worker.publisher)
        releases.unpin(worker.publisher)
"""


def files(number: int) -> dict[str, bytes]:
    """Return a commit's files: most carry its number, some never change."""
    found = {
        f"d{folder}/f{file}": str(number).encode()
        for folder in range(FOLDERS)
        for file in range(FILES)
    }
    return found | {f"d{folder}/same": f"same {folder}".encode() for folder in range(FOLDERS)}


class Reader(threading.Thread):
    """Reads the current release over and over, as users do."""

    def __init__(self, link: Path) -> None:
        super().__init__()
        self.link = link
        self.stop = threading.Event()
        self.reads = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set():
            self.read()

    def read(self) -> None:
        try:
            fd = os.open(self.link, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            self.wrong.append("there is no current release")
            return
        try:
            found = _read_all(fd)
            # A release is opened up to be removed, and only when it is no longer current.
            retired = stat.S_IMODE(os.fstat(fd).st_mode) != 0o555
        except FileNotFoundError as error:
            retired = stat.S_IMODE(os.fstat(fd).st_mode) != 0o555
            found = {"missing": str(error).encode()}
        finally:
            os.close(fd)
        if retired:
            return
        self.reads += 1
        number = found.get("d0/f0", b"-1")
        if found != files(int(number)):
            self.wrong.append(f"a mixed or partial release: {sorted(found.items())}")


def _read_all(top: int) -> dict[str, bytes]:
    found = {}
    for folder in os.listdir(top):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=top)
        try:
            for name in os.listdir(fd):  # noqa: PTH208  (of a descriptor)
                file = os.open(name, os.O_RDONLY, dir_fd=fd)
                found[f"{folder}/{name}"] = os.read(file, 100)
                os.close(file)
        finally:
            os.close(fd)
    return found


@pytest.mark.parametrize(
    ("kills", "gate"), [(KILLS, ()), (KILLS // 4, ("sh", "-c", "sleep 0.01"))], ids=["", "gate"]
)
def test_a_kill_at_any_moment_leaves_a_whole_release_and_heals(
    origin: Origin, follow: Follow, tmp_path: Path, kills: int, gate: tuple[str, ...]
) -> None:
    print(f"NBPIPE_SEED={SEED} NBPIPE_KILLS={KILLS}")  # noqa: T201  (to repeat a failure)
    source = random.Random(SEED)  # noqa: S311  (moments, no secret)
    origin.publish(files(0))
    worker = follow()
    worker.reconcile_once()
    reader = Reader(worker.mirror.link)
    reader.start()
    said = ""
    try:
        for number in range(1, kills + 1):
            said += _run_and_kill(origin, tmp_path / "srv", gate, number, source)
    finally:
        reader.stop.set()
        reader.join()

    head = origin.publish(files(kills + 1))
    operations.unpin(worker.publisher)
    outcome = worker.reconcile_once(Trigger.STARTUP)

    assert said == ""
    assert reader.wrong == []
    assert reader.reads > 0
    assert outcome.error is None
    assert worker.mirror.current() == head
    assert [each.damages for each in operations.verify(worker.publisher)] == [()] * len(
        worker.mirror.releases()
    )
    worker.prepare()
    worker.publisher.close()
    state = worker.mirror.state
    left = [*(state / "building").iterdir(), *(state / "trash").iterdir()]
    assert left == []
    assert list((state / "cache.git").rglob("*.lock")) == []


def _run_and_kill(
    origin: Origin, root: Path, gate: tuple[str, ...], number: int, source: random.Random
) -> str:
    """Start a worker, give it a new commit, kill it, and return what it complained of."""
    origin.publish(files(number), force=source.random() < 0.2)
    environ: dict[str, Any] = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE)}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(origin.path), str(root), *gate],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # Anywhere between the first import and several rounds.
        time.sleep(source.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
    return f"{number}: {said}" if said else ""
