"""What git starts is watched, given up when it is silent, and ended with everything below it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from nbpipe.publishing.origin import processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 60.0
"""Seconds; generous, nothing depends on it."""


def start(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def supervised(
    process: subprocess.Popen[bytes],
    *,
    silence: float = 600.0,
    stop: threading.Event | None = None,
    heard: int | None = None,
) -> processes.Supervised:
    pulse = processes.Pulse(process.pid, silence=silence, objects=False)
    return processes.Supervised(process, pulse=pulse, stop=stop or threading.Event(), heard=heard)


def running(session: int) -> list[int]:
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def gone(session: int) -> bool:
    end = time.monotonic() + LIMIT
    while running(session):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_output_complaints_and_code_come_back() -> None:
    process = start("cat; echo 'not good' >&2; exit 3")
    with supervised(process) as git:
        git.tell(b"a question")
        said, code = git.read(), git.wait()

    assert (said, git.said, code) == (b"a question", "not good", 3)
    assert (git.given_up, git.stopped) == ("", False)


def test_only_the_end_of_endless_complaints_is_kept() -> None:
    process = start("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo the end >&2")
    with supervised(process) as git:
        git.read()
        git.wait()

    assert len(git.said) <= 64 * 1024
    assert git.said.endswith("xthe end")


def test_what_it_leaves_behind_ends_with_it_though_it_holds_the_output_open() -> None:
    process = start("sleep 1000 & echo begun")
    with supervised(process) as git:
        said, code = git.read(), git.wait()

    assert (said, code) == (b"begun\n", 0)
    assert gone(process.pid)


def test_what_does_nothing_is_given_up() -> None:
    process = start("sleep 1000; true")
    with supervised(process, silence=0.5) as git:
        git.read()
        code = git.wait()

    assert code != 0
    assert git.given_up == "nothing arrived for 0.5 s"
    assert gone(process.pid)


def test_a_stop_ends_what_does_not_want_to_end() -> None:
    stop = threading.Event()
    process = start("trap '' TERM; echo begun; sleep 1000; sleep 1000")
    with supervised(process, stop=stop) as git:
        assert git.read(6) == b"begun\n"
        stop.set()
        git.read()
        git.wait()

    assert git.stopped
    assert gone(process.pid)


def test_whoever_is_interrupted_leaves_nothing() -> None:
    process = start("sleep 1000 & sleep 1000")
    with pytest.raises(KeyboardInterrupt), supervised(process):
        raise KeyboardInterrupt

    assert process.returncode is not None
    assert gone(process.pid)


def test_what_the_other_side_says_is_kept_apart() -> None:
    ear, mouth = os.pipe()
    os.set_inheritable(mouth, True)  # noqa: FBT003  (its only argument)
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'echo here >&2; echo there > "/dev/fd/{mouth}"'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=(mouth,),
    )
    os.close(mouth)
    with supervised(process, heard=ear) as git:
        git.read()
        git.wait()

    assert (git.said, git.heard) == ("here", "there")


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    yield process
    process.kill()
    process.communicate()


def test_an_orphan_is_known_by_its_start_and_ended(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    processes.note(tmp_path / "pid", orphan.pid)
    processes.end_orphan(tmp_path / "pid")

    assert gone(orphan.pid)
    assert not (tmp_path / "pid").exists()


def test_another_process_of_the_same_number_is_left_alone(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    processes.note(tmp_path / "pid", orphan.pid)
    pid, began = (tmp_path / "pid").read_text().split()
    (tmp_path / "pid").write_text(f"{pid} {float(began) - 100}")
    processes.end_orphan(tmp_path / "pid")

    assert orphan.poll() is None


def test_what_cannot_be_guarded_is_ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: int) -> subprocess.Popen[bytes]:
        raise BlockingIOError

    monkeypatch.setattr(processes, "_guard", none_left)
    hearing, saying = os.pipe()
    os.close(saying)
    with start("sleep 600 & sleep 600") as process:
        with pytest.raises(BlockingIOError):
            supervised(process, heard=hearing)

        assert process.returncode is not None
        assert gone(process.pid)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(hearing)
