"""What is opened in a repository is seen, whoever opens it; for real, with files and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe.impact.openings import CannotWatchError, Opened, Openings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "data/below").mkdir(parents=True)
    for name in ("data/a.bin", "data/b.bin", "data/below/c.bin", "README.md"):
        (folder / name).write_bytes(b"1")
    return folder


@pytest.fixture
def openings(top: Path) -> Iterator[Openings]:
    found = Openings(top)
    yield found
    found.close()


def opened(openings: Openings, code: str, top: Path) -> Opened:
    """Return what happened while a process ran."""
    openings.begin("it")
    subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=top, check=True)
    found = openings.end("it")
    assert found is not None
    return found


def test_what_another_process_reads_is_seen(openings: Openings, top: Path) -> None:
    found = opened(openings, "open('data/a.bin').read(); open('data/below/c.bin')", top)
    assert found.read == {"data/a.bin", "data/below/c.bin"}
    assert (found.written, found.fresh, found.shared, found.lost) == (set(), set(), False, "")


def test_a_mapping_that_outlives_its_descriptor_is_seen(openings: Openings, top: Path) -> None:
    code = (
        "import mmap, os\nfile = os.open('data/a.bin', os.O_RDONLY)\n"
        "it = mmap.mmap(file, 1, prot=mmap.PROT_READ)\nos.close(file)\nos._exit(0 * it[0])"
    )
    assert opened(openings, code, top).read == {"data/a.bin"}


def test_what_is_written_is_told_apart(openings: Openings, top: Path) -> None:
    code = (
        "open('data/new.bin', 'w').write('1')\n"
        "open('data/a.bin', 'w').write('1')\n"
        "with open('data/b.bin', 'r+') as file: file.read(); file.write('2')\n"
        "import os; open('t', 'w').close(); os.rename('t', 'data/moved.bin')"
    )
    found = opened(openings, code, top)
    names = {"data/new.bin", "data/a.bin", "data/b.bin", "data/moved.bin", "t"}
    assert found.written == names
    assert found.fresh == names - {"data/b.bin"}
    assert found.read == set()


def test_a_folder_that_comes_is_watched(openings: Openings, top: Path) -> None:
    opened(openings, "import os; os.makedirs('new/er'); open('new/er/x', 'w').close()", top)
    assert opened(openings, "open('new/er/x')", top).read == {"new/er/x"}
    (top / "new").rename(top / "data/old")
    assert opened(openings, "open('data/old/er/x')", top).read == {"data/old/er/x"}


def test_what_happens_before_and_after_does_not_count(openings: Openings, top: Path) -> None:
    (top / "data/b.bin").read_bytes()
    assert opened(openings, "open('data/a.bin')", top).read == {"data/a.bin"}
    (top / "data/b.bin").read_bytes()
    assert opened(openings, "", top).read == set()
    assert openings.end("nobody") is None


def test_who_runs_at_the_same_time_shares(openings: Openings, top: Path) -> None:
    openings.begin("first")
    (top / "data/a.bin").read_bytes()
    openings.begin("second")
    (top / "data/b.bin").read_bytes()
    first, second = openings.end("first"), openings.end("second")
    assert first is not None
    assert second is not None
    assert (first.read, second.read) == ({"data/a.bin", "data/b.bin"}, {"data/b.bin"})
    assert first.shared
    assert second.shared


def test_what_is_reached_through_a_link_has_its_own_name(top: Path) -> None:
    (top / "link").symlink_to("data")
    openings = Openings(top)
    found = opened(openings, "open('link/a.bin')", top)
    openings.close()
    assert openings.links == {"link"}
    assert found.read == {"data/a.bin"}


def test_environments_caches_and_the_runners_own_folder_are_not_watched(top: Path) -> None:
    names = (".git/x", "env/pyvenv.cfg", "env/lib/x", "out/x", "data/__pycache__/x")
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("")
    openings = Openings(top, top / "out")
    code = "".join(f"open('{name}')\n" for name in names if name != "env/pyvenv.cfg")
    found = opened(openings, code, top)
    openings.close()
    assert found.read == set()


def test_more_than_the_system_notes_is_told(openings: Openings, top: Path) -> None:
    """The reader waits for the lock, as it would for a processor."""
    for number in range(4):
        (top / f"data/{number}.bin").write_bytes(b"1")
    openings.begin("it")
    with openings._lock:
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for number in range(limit + 10):
            os.close(os.open(top / f"data/{number % 4}.bin", os.O_RDONLY))
    found = openings.end("it")
    assert found is not None
    assert found.lost == "more files were opened at the same time than the system records"


def test_a_repository_that_cannot_be_watched_is_an_error_with_the_reason(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbpipe.impact.openings._MOST_FOLDERS", 2)
    with pytest.raises(CannotWatchError, match="it has more than 2 folders"):
        Openings(top)


def test_without_a_thread_to_spare_nothing_is_watched_and_nothing_stays_open(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(CannotWatchError, match="can't start new thread"):
        Openings(top)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_without_a_file_to_spare_nothing_is_watched_and_nothing_stays_open(top: Path) -> None:
    code = (
        "import os, resource, sys; from pathlib import Path\n"
        "from nbpipe.impact.openings import CannotWatchError, Openings\n"
        "most = max(map(int, os.listdir('/proc/self/fd')))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most + 1, most + 1))\n"
        "for _ in range(9):\n"
        "    try:\n        Openings(Path(sys.argv[1]))\n"
        "    except CannotWatchError as error:\n        why = error\n"
        "os.close(os.open(sys.argv[1], os.O_RDONLY)); print(why)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, top], capture_output=True, text=True, check=False
    )
    assert "Too many open files" in done.stdout, done.stderr
