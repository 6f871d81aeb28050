"""What a power failure may leave: the order in which content, names and folders reach the disk.

No power is cut here; the system calls of one publication are traced, and their order is what a
journaling file system builds on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ondisk import REPOSITORY, lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Origin

    Traced = Callable[..., list[str]]

CALLS = "fsync,fdatasync,syncfs,rename,renameat,renameat2"
PUBLISH = """
import sys
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.config.settings import CollectionSettings
worker = Reconciler(CollectionSettings(
    name="nb", origin=sys.argv[1], root=sys.argv[2], protocols=("file",)))
print(worker.reconcile_once().current)
worker.publisher.close()
"""


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    """Return a function that runs Python code and returns its system calls, in order."""
    if shutil.which("strace") is None:
        lacking("strace")

    def run(code: str, *arguments: str | Path) -> list[str]:
        trace = tmp_path / "trace"
        # One thread may wait while another works: a call counts where it ends.
        strace = ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(trace)]
        done = subprocess.run(
            [*strace, sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            check=False,
            cwd=REPOSITORY,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr.decode()
        return [each for each in whole(trace.read_text("utf-8")) if each.endswith("= 0")]

    return run


def whole(trace: str) -> Iterator[str]:
    """Yield the calls in the order of their ends, each whole: strace cuts those of threads."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[process] = call.removesuffix("<unfinished ...>").rstrip()
        elif resumed := re.match(r"<\.\.\. \w+ resumed>\s*(.*)", call):
            yield begun.pop(process, "") + resumed[1]
        else:
            yield call


def test_a_call_that_another_thread_interrupts_is_put_together() -> None:
    trace = (
        '7 renameat(3</a>, "new/x", 3</a>, "x" <unfinished ...>\n'
        "8 fsync(4</b>) = 0\n"
        "7 <... renameat resumed>) = 0\n"
    )
    assert list(whole(trace)) == [
        "fsync(4</b>) = 0",
        'renameat(3</a>, "new/x", 3</a>, "x") = 0',
    ]


def position(calls: list[str], *parts: str) -> int:
    """Return where the only call with all of these parts is."""
    found = [number for number, call in enumerate(calls) if all(part in call for part in parts)]
    assert len(found) == 1, f"{parts}: {len(found)} in {calls}"
    return found[0]


@pytest.mark.parametrize("count", [3, 40], ids=["few files", "many files"])
def test_content_is_on_the_disk_before_its_name_and_the_release_before_the_flip(
    origin: Origin, traced: Traced, tmp_path: Path, count: int
) -> None:
    head = origin.publish({f"f{number}": f"{number}\n".encode() for number in range(count)})
    root = tmp_path.resolve() / "srv"

    calls = traced(PUBLISH, origin.path, root)

    store, mirror = f"{root}/.nbpipe/nb/store", f"{root}/nb"
    named = [number for number, call in enumerate(calls) if re.search(r'^renameat.*"new/', call)]
    synced = [
        number
        for number, call in enumerate(calls)
        if re.match(rf"(fsync|syncfs)\(\d+<{re.escape(store)}[/>]", call)
    ]
    built = position(calls, "fsync(", f"<{root}/.nbpipe/nb/building/{head}>")
    moved = position(calls, "rename", f"building/{head}", f"{mirror}/releases/{head}")
    flipped = position(calls, "rename", "current.new", f"{mirror}/current")
    kept = position(calls, "fsync(", f"<{mirror}>")
    assert len(named) == count
    assert len(synced) == (1 if count > 16 else count)
    assert max(synced) < min(named)
    assert max(named) < built < moved < flipped < kept


def test_the_journals_line_and_the_pin_are_on_the_disk(
    origin: Origin, traced: Traced, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    root = tmp_path.resolve() / "srv"
    code = PUBLISH + "from nbpipe.publishing.releases import operations as releases\n"
    code += "releases.rollback(worker.publisher, sys.argv[3])\nworker.publisher.close()\n"

    calls = traced(code, origin.path, root, head)

    state = f"{root}/.nbpipe/nb"
    assert [call for call in calls if re.match(r"f(data)?sync", call) and "journal.jsonl" in call]
    content = position(calls, "fsync(", f"<{state}/pin.json.new>")
    renamed = position(calls, "rename", "pin.json.new")
    assert content < renamed
    assert any(f"<{state}>" in call for call in calls[renamed:])


def test_a_first_copy_is_on_the_disk_before_it_has_its_name(
    origin: Origin, traced: Traced, tmp_path: Path
) -> None:
    origin.publish({"a": b"1", "sub/b": b"2"})
    root, copy = tmp_path.resolve() / "srv", tmp_path.resolve() / "copy"
    traced(PUBLISH, origin.path, root)
    code = "import sys; from nbpipe.cli.getlatest import main; sys.exit(main(sys.argv[1:]))"

    calls = traced(code, copy, "--from", root / "nb")

    synced = position(calls, "syncfs(", ".copy.getlatest")
    manifests = [number for number, call in enumerate(calls) if '"getlatest.json"' in call]
    named = position(calls, "rename(", f'"{copy}"')
    assert manifests[0] < synced < manifests[-1] < named
