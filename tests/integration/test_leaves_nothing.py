"""However a run ends: no kernel, guard, server, socket, connection file or folder is left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from running import Running, running, traces, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ondisk import Collection
    from running import Traces

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guards exist on Linux only")

WAYS = pytest.mark.parametrize("way", ["--fork", "--no-fork"])

CHILDREN = (
    "import subprocess, time\n"
    "subprocess.Popen(['sleep', '600'])\nsubprocess.Popen(['setsid', 'sleep', '600'])\n"
)


@pytest.fixture
def left(collection: Collection) -> Iterator[Traces]:
    """Return what runs of this collection leave behind."""
    with traces(collection) as made:
        yield made


@WAYS
def test_success(collection: Collection, left: Traces, way: str) -> None:
    for name in ("a", "b", "c"):
        collection.notebook(f"{name}.ipynb", CHILDREN)
        kept = "import tempfile\nkept = tempfile.TemporaryDirectory()"
        collection.notebook(f"{name}-kept.ipynb", kept)
    ended = collection.test("-n", "2", way)
    assert (ended.code, left.processes(), left.files()) == (0, [], [])


@WAYS
def test_failure(collection: Collection, left: Traces, way: str) -> None:
    ends = ("1 / 0", "import os; os._exit(3)", "import os; os.kill(os.getpid(), 9)", "exit(2)")
    for number, end in enumerate(ends):
        collection.notebook(f"{number}.ipynb", CHILDREN, end)
    collection.notebook("slow.ipynb", "while True: pass", execution={"timeout": 1})
    ended = collection.test("-n", "2", way)
    assert (ended.code, left.processes(), left.files()) == (1, [], [])


def at_work(run: Running, left: Traces, *, forked: bool) -> None:
    """Return when two notebooks are at work, with all that belongs to them."""
    run.wait_for("one.flag", "two.flag")
    servers = [process for process in left.processes() if "CONTROL" in " ".join(cmdline(process))]
    assert bool(servers) is forked
    assert len(left.processes()) >= 9  # the runner, and twice: guard, kernel, two children


def cmdline(process: psutil.Process) -> list[str]:
    """Return a process's arguments, none where it has ended."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def two(collection: Collection) -> None:
    """Write two notebooks that go on for long."""
    for name in ("one", "two"):
        flag = f"open('{name}.flag', 'w').close()\ntime.sleep(600)"
        collection.notebook(f"{name}.ipynb", CHILDREN + flag)


@WAYS
@pytest.mark.parametrize("signal", ["SIGINT", "Ctrl-C"])
def test_an_interrupt(collection: Collection, left: Traces, way: str, signal: str) -> None:
    two(collection)
    with running(collection, "-n", "2", way, terminal=signal == "Ctrl-C") as run:
        at_work(run, left, forked=way == "--fork")
        run.interrupt(signal)
        assert run.ended().code == 2
    assert (left.processes(), left.files()) == ([], [])


@WAYS
def test_kill_9_of_the_runner(collection: Collection, left: Traces, way: str) -> None:
    two(collection)
    with running(collection, "-n", "2", way) as run:
        at_work(run, left, forked=way == "--fork")
        run.process.kill()
        until(lambda: left.processes() == [], "no process is left")
        until(lambda: left.files() == [], "no file is left")


def test_kill_9_of_the_fork_server(collection: Collection, left: Traces) -> None:
    two(collection)
    with running(collection, "-n", "2", "--fork") as run:
        at_work(run, left, forked=True)
        for process in left.processes():
            if "CONTROL" in " ".join(cmdline(process)):
                process.kill()
        run.interrupt("SIGINT")
        assert run.ended().code == 2
    assert (left.processes(), left.files()) == ([], [])
