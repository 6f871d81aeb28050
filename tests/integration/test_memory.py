"""Peak memory of real notebooks: measured, recorded, shown, and planned with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pasts import opened

if TYPE_CHECKING:
    from ondisk import Collection, Ended

MIB = 1 << 20
SQLITE = "sqlite:///history/h.sqlite"
ALLOCATE = "block = b'x' * ({0} << 20)"

SEEN = """
import os
def looks():
    status = open(f"/proc/{os.getppid()}/status").read()
    return int(status.partition("\\nvoluntary_ctxt_switches:")[2].split()[0])
def until_seen():
    before = looks()
    while looks() < before + 4:
        time.sleep(0.05)
"""
"""Wait until the kernel's guard, which sleeps between two looks, has looked again."""

CHILDREN = f"""
import subprocess, sys, time{SEEN}
hold = "import sys; block = b'x' * (150 << 20); print(flush=True); sys.stdin.read()"
def child():
    pipe = subprocess.PIPE
    made = subprocess.Popen([sys.executable, "-c", hold], stdin=pipe, stdout=pipe)
    made.stdout.readline()
    return made
children = [child() for _ in range(3)]
until_seen()
for each in children:
    each.communicate()
"""

SHARED = f"""
import os, time{SEEN}
block = b"x" * (200 << 20)
hold, release = os.pipe()
children = []
for _ in range(4):
    children.append(os.fork())
    if not children[-1]:
        os.close(release)
        os.read(hold, 1)
        os._exit(0)
until_seen()
os.close(release)
for each in children:
    os.waitpid(each, 0)
"""


def nbpipe_(collection: Collection, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "nbpipe", *arguments],
        cwd=collection.root,
        env=os.environ | collection.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def configure(collection: Collection, more: str = "") -> None:
    (collection.root / "nbpipe.toml").write_text(f'[history]\nurl = "{SQLITE}"\n{more}')


def mebibytes(ended: Ended, path: str) -> int:
    memory = ended[path]["memory"]
    assert isinstance(memory, int), ended.err
    return memory // MIB


@pytest.mark.parametrize("how", ["--fork", "--no-fork"])
def test_the_peak_is_that_of_the_whole_process_tree(collection: Collection, how: str) -> None:
    configure(collection)
    collection.notebook("plain.ipynb", "1")
    collection.notebook("large.ipynb", ALLOCATE.format(300), "del block")
    collection.notebook("children.ipynb", CHILDREN)
    collection.notebook("shared.ipynb", SHARED)
    collection.notebook("killed.ipynb", ALLOCATE.format(200), "import os\nos.kill(os.getpid(), 9)")
    ended = collection.test(how, "-n", "2")
    assert {each["path"]: each["outcome"] for each in ended.report["notebooks"]} == {  # type: ignore[index]
        "plain.ipynb": "passed",
        "large.ipynb": "passed",
        "children.ipynb": "passed",
        "shared.ipynb": "passed",
        "killed.ipynb": "failed",
    }
    assert 10 < mebibytes(ended, "plain.ipynb") < 200
    assert 300 < mebibytes(ended, "large.ipynb") < 500
    assert 450 < mebibytes(ended, "children.ipynb") < 750
    assert 200 < mebibytes(ended, "shared.ipynb") < 400  # four children share one block
    assert 200 < mebibytes(ended, "killed.ipynb") < 400


def test_the_peak_is_remembered_and_shown(collection: Collection) -> None:
    configure(collection)
    collection.notebook("large.ipynb", ALLOCATE.format(1100))
    collection.notebook("plain.ipynb", "1")
    collection.notebook("odd.ipynb", "1", kernelspec={"name": "missing", "display_name": "M"})
    ended = collection.test("--durations", "3")
    assert ended["odd.ipynb"]["memory"] is None
    slowest = ended.out.partition("Slowest")[2]
    assert "1.1 GiB  large.ipynb" in slowest
    assert "at most 1.1 GiB, by large.ipynb" in nbpipe_(collection, "show")
    told = json.loads(nbpipe_(collection, "history", "--json", "large.ipynb"))
    assert told["last_memory"] == ended["large.ipynb"]["memory"] == told["results"][0]["memory"]
    assert "1.1 GiB" in nbpipe_(collection, "history", "large.ipynb")
    with opened(SQLITE, collection.root, create=False) as past:
        assert past.last()["large.ipynb"].memory == told["last_memory"]


COUNT = """
import os, time
os.makedirs("running", exist_ok=True)
mine = f"running/{os.getpid()}"
open(mine, "w").close()
block = b"x" * (300 << 20)
time.sleep(0.5)
with open("seen", "a") as seen:
    print(len(os.listdir("running")), file=seen)
os.unlink(mine)
"""


@pytest.mark.parametrize(("budget", "most"), [("800M", 2), ("100M", 1)])
def test_no_more_runs_at_once_than_fits_the_budget(
    collection: Collection, budget: str, most: int
) -> None:
    configure(collection)
    for name in "abcd":
        collection.notebook(f"{name}.ipynb", COUNT)
    collection.test("-n", "1")
    (collection.root / "seen").unlink()
    ended = collection.test("-n", "4", "--memory-budget", budget)
    assert ended.code == 0, ended.err
    seen = [int(number) for number in (collection.root / "seen").read_text().split()]
    assert len(seen) == 4
    assert max(seen) <= most


def test_a_notebook_says_itself_what_it_needs(collection: Collection) -> None:
    more = '[test]\nmemory-budget = "1G"\n[[test.overrides]]\npaths = ["*"]\nmemory = "600M"\n'
    configure(collection, more)
    for name in "ab":
        collection.notebook(f"{name}.ipynb", COUNT.replace("300", "1"))
    assert collection.test("-n", "2").code == 0
    assert (collection.root / "seen").read_text().split() == ["1", "1"]


def test_a_budget_that_is_no_amount_is_wrong_usage(collection: Collection) -> None:
    collection.notebook("a.ipynb", "1")
    ended = collection.test("--memory-budget", "16")
    assert ended.code == 4
    assert "'16' is not an amount of memory, such as 16G, 512M or 1.5T, or a share" in ended.err
