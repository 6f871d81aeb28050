"""While a notebook runs, the kernel of the next one is started; nothing else of it is done."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from running import traces

if TYPE_CHECKING:
    from ondisk import Collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks exist on Linux only")

OTHERS = """
import os, pathlib, time
def parent(process):
    return pathlib.Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[1]
def others():
    'Return the other kernels of this run: those whose guards have the same fork server.'
    found, server = [], parent(os.getppid())
    for process in filter(str.isdigit, os.listdir('/proc')):
        try:
            if parent(parent(process)) == server and int(process) != os.getpid():
                found.append(int(process))
        except (OSError, IndexError):  # it has ended
            continue
    return found
"""
WAIT = OTHERS + "deadline = time.monotonic() + 120\n" + (
    "while not others() and time.monotonic() < deadline: time.sleep(0.05)\n"
    "print(len(others()))"
)  # fmt: skip


def test_the_next_kernel_is_there_before_its_turn_and_one_at_a_time(
    collection: Collection,
) -> None:
    collection.notebook("a.ipynb", "1")
    collection.notebook("b.ipynb", WAIT)
    collection.notebook("c.ipynb", "1")
    collection.notebook("d.ipynb", "1")
    ended = collection.test("-n", "1", "--fork")
    assert ended.code == 0, ended.out
    assert ended.executed("b.ipynb").cells[-1].outputs[0].text == "1\n"


def test_a_notebook_is_read_when_its_turn_comes(collection: Collection) -> None:
    change = "import pathlib\nnext = pathlib.Path('c.ipynb')\n"
    change += "_ = next.write_text(next.read_text().replace('before', 'after'))"
    collection.notebook("a.ipynb", "1")
    collection.notebook("b.ipynb", WAIT, change)
    collection.notebook("c.ipynb", "print('before')")
    ended = collection.test("-n", "1", "--fork")
    assert ended.code == 0, ended.out
    assert ended.executed("c.ipynb").cells[0].outputs[0].text == "after\n"


def test_a_kernel_whose_turn_does_not_come_is_ended(collection: Collection) -> None:
    collection.notebook("a.ipynb", "1")
    collection.notebook("b.ipynb", WAIT, "1 / 0")
    collection.notebook("c.ipynb", "1")
    with traces(collection) as left:
        ended = collection.test("-n", "1", "--fork", "-x")
        assert (ended.code, ended["c.ipynb"]["outcome"]) == (1, "skipped")
        assert ended.executed("b.ipynb").cells[0].outputs[0].text == "1\n"
        assert (left.processes(), left.files()) == ([], [])


def test_a_kernel_that_ended_before_its_turn_is_replaced(collection: Collection) -> None:
    kill = "import signal\nfor each in others(): os.kill(each, signal.SIGKILL)\n"
    kill += "while others(): time.sleep(0.05)"
    collection.notebook("a.ipynb", "1")
    collection.notebook("b.ipynb", WAIT, kill)
    collection.notebook("c.ipynb", "1")
    ended = collection.test("-n", "1", "--fork")
    assert ended.code == 0, ended.out
    assert ended.executed("b.ipynb").cells[0].outputs[0].text == "1\n"


def test_the_server_that_starts_early_does_not_ignore_what_the_runner_was_told_to(
    collection: Collection,
) -> None:
    ask = "import signal; print(signal.getsignal(1), signal.getsignal(2), signal.getsignal(15))"
    collection.notebook("a.ipynb", ask)
    collection.notebook("b.ipynb", ask)
    said = []
    for way in ("--fork", "--no-fork"):
        trapped = ["sh", "-c", 'trap "" HUP INT TERM; exec "$@"', "sh"]
        done = subprocess.run(
            [*trapped, *collection.command(way)],
            cwd=collection.root,
            env=collection.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        ended = collection.ended(0, done.stdout, done.stderr)
        said.append(
            [ended.executed(name).cells[0].outputs[0].text for name in ("a.ipynb", "b.ipynb")]
        )
    assert said[0] == said[1] == ["0 <built-in function default_int_handler> 0\n"] * 2
