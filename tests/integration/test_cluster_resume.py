"""A client of `nbpipe test --cluster` that is killed: its workers go on, `--resume` takes it up."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from clusters import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ondisk import Collection, Ended

LONG = bool(os.environ.get("NBPIPE_LONG"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the jobs of this machine in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    """Return a folder in which each notebook leaves one file per start."""
    folder = tmp_path / "starts"
    folder.mkdir()
    return folder


class Client:
    """One `nbpipe test --cluster local` that can be killed."""

    def __init__(self, collection: Collection, *options: str) -> None:
        self.collection = collection
        self.process = subprocess.Popen(
            collection.command("--cluster", "local", *options),
            cwd=collection.root,
            env=collection.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> None:
        """Kill it, as a laptop that is switched off."""
        self.process.kill()
        self.process.communicate()

    def owns_signals(self) -> bool:
        """Return whether it has begun: Python itself does not handle SIGTERM (proc(5), SigCgt)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        caught = int(re.findall(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)[0], 16)
        return bool(caught & 1 << signal.SIGTERM - 1)

    def ended(self) -> Ended:
        """Wait for its end."""
        _, err = self.process.communicate(timeout=300)
        return self.collection.ended(self.process.returncode, "", err)


def notebooks(collection: Collection, starts: Path, names: str, *, waits: str = "") -> None:
    """Make notebooks; one of them waits for the file `go`."""
    for name in names:
        wait = f"while not pathlib.Path({str(starts)!r}, 'go').exists(): time.sleep(0.05)"
        collection.notebook(
            f"{name}.ipynb",
            "import os, pathlib, time, uuid\n"
            f"pathlib.Path({str(starts)!r}, '{name}-' + uuid.uuid4().hex).touch()\n"
            f"{wait if name == waits else 'time.sleep(0.2)'}\nprint('{name}')",
        )


def started(starts: Path) -> list[str]:
    return sorted(each.name.partition("-")[0] for each in starts.glob("*-*"))


def workers() -> list[psutil.Process]:
    """Return the workers of this test's collections that live."""
    return [
        each
        for each in psutil.process_iter(["cmdline", "environ"])
        if "nbpipe.cluster.worker" in (each.info["cmdline"] or [])
        and (each.info["environ"] or {}).get("XDG_STATE_HOME") == os.environ["XDG_STATE_HOME"]
    ]


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    """Fail where a worker outlives its run."""
    yield
    left = workers()
    for each in left:
        each.kill()
    assert left == []


def shared(collection: Collection) -> list[Path]:
    return list(collection.output_dir.parent.rglob(".cluster-*"))


@pytest.mark.parametrize("still", ["working", "ended"])
def test_what_a_killed_clients_workers_do_is_taken_up_and_not_run_again(
    collection: Collection, starts: Path, still: str
) -> None:
    notebooks(collection, starts, "abcd", waits="b")
    first = Client(collection, "-n", "1")
    until(lambda: "b" in started(starts), "the start of b")
    first.kill()
    collection.output_dir = collection.output_dir.with_name("again")
    if still == "ended":
        (starts / "go").touch()
        until(lambda: not workers(), "the end of the workers, with nobody there")
    second = Client(collection, "-n", "1", "--resume")
    if still == "working":
        folder = collection.output_dir
        until(lambda: list(folder.glob(".cluster-*")), "the client that takes it up")
        (starts / "go").touch()
    ended = second.ended()
    assert ended.code == 0, ended.err
    assert started(starts) == list("abcd")
    assert ended.report is not None
    paths = {each["path"] for each in ended.report["notebooks"]}
    assert {"b.ipynb", "c.ipynb", "d.ipynb"} <= paths
    (note,) = ended["b.ipynb"]["notes"]
    assert "taken up by --resume" in note
    assert ended.executed("b.ipynb").cells[0].outputs[0].text == "b\n"
    assert shared(collection) == []


def test_a_worker_that_died_with_nobody_there_is_seen_and_its_notebook_runs_again(
    collection: Collection, starts: Path
) -> None:
    notebooks(collection, starts, "abc", waits="b")
    first = Client(collection, "-n", "1")
    until(lambda: "b" in started(starts), "the start of b")
    first.kill()
    for each in workers():
        each.kill()
    (starts / "go").touch()
    ended = Client(collection, "-n", "1", "--resume").ended()
    assert ended.code == 0, ended.err
    assert started(starts) == ["a", "b", "b", "c"]
    assert ended["b.ipynb"]["notes"] == ["run again: its worker was lost (killed by SIGKILL)"]
    assert ended["c.ipynb"]["notes"] == []


def test_a_run_that_is_followed_is_not_taken_up_and_a_left_one_not_run_here(
    collection: Collection, starts: Path
) -> None:
    notebooks(collection, starts, "ab", waits="a")
    first = Client(collection, "-n", "1")
    until(lambda: "a" in started(starts), "the start of a")
    collection.output_dir = collection.output_dir.with_name("again")
    refused = Client(collection, "-n", "1", "--resume").ended()
    assert refused.code == 4
    assert "another nbpipe follows this run: process " in refused.err
    first.kill()
    here = collection.test("--resume=latest")
    assert here.code == 4
    assert "was one of --cluster" in here.err
    assert "--cluster PROFILE" in here.err
    third = Client(collection, "-n", "1", "--resume")
    # One that is interrupted before it owns the signals has not begun: what was left stays.
    until(third.owns_signals, "the third client that takes it up")
    third.process.send_signal(2)
    ended = third.ended()
    assert ended.code == 2
    assert started(starts) == ["a"]
    assert shared(collection) == []


def test_whatever_the_moment_in_which_clients_are_killed_every_notebook_runs_once(
    collection: Collection, starts: Path
) -> None:
    random_number = random.Random(12)  # noqa: S311  (a choice of moments)
    names = "abcdefghijklmnop"
    notebooks(collection, starts, names)
    options: tuple[str, ...] = ()
    for number in range(12 if LONG else 2):
        collection.output_dir = collection.output_dir.with_name(f"out{number}")
        client = Client(collection, "-n", "2", *options)
        if not options:
            until(lambda: started(starts), "the first start")
        options = ("--resume",)
        time.sleep(random_number.uniform(0, 4))
        client.kill()
    collection.output_dir = collection.output_dir.with_name("last")
    last = Client(collection, "-n", "2", *options).ended()
    assert last.code == 0, last.err
    assert started(starts) == list(names)
    until(lambda: not workers(), "the end of all workers")
