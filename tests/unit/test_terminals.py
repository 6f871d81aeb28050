"""Who waits at a terminal: real processes at real pseudo terminals."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from nbpipe.execution import halts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is Linux")

_LOGIN = "import os, sys; os.login_tty(0); os.execvp(sys.argv[1], sys.argv[1:])"


@contextmanager
def at_a_terminal(*command: str) -> Iterator[tuple[int, int]]:
    """Give the process id of a command and the other end of its terminal."""
    keyboard, screen = pty.openpty()
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _LOGIN, *command], stdin=screen)
    os.close(screen)
    try:
        yield process.pid, keyboard
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.02)


def name(process: int) -> str:
    with open(f"/proc/{process}/comm") as file:  # noqa: PTH123
        return file.read().strip()


def asleep(process: int) -> bool:
    """Return whether it has come to rest."""
    with open(f"/proc/{process}/syscall") as file:  # noqa: PTH123
        return name(process) != "python3" and not file.read().startswith("running")


def reader_of(process: int) -> halts.Reader | None:
    """Return who waits at this child's terminal, whatever other tests have left."""
    found = halts.reader(os.getpid())
    leaders = {each.process for each in halts.leaders(os.getpid())}
    assert process in leaders
    return found


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        (["cat"], "cat"),
        (["sh", "-c", "read answer"], "sh"),
        (["bash", "-c", "cat; true"], "cat"),
        (["bash", "-c", "head -c 1 < /dev/tty; true"], "head"),
        (["bash", "-c", "cat | sort; true"], "cat"),
    ],
)
def test_a_program_that_reads_its_terminal_waits(command: list[str], reader: str) -> None:
    with at_a_terminal(*command) as (process, _):
        until(lambda: halts.reader(os.getpid()))
        found = reader_of(process)
    assert found is not None
    assert found.name == reader


def test_the_same_wait_is_the_same_and_another_one_is_not() -> None:
    with at_a_terminal("cat") as (_, keyboard):
        until(lambda: halts.reader(os.getpid()))
        first = halts.reader(os.getpid())
        assert halts.reader(os.getpid()) == first
        os.write(keyboard, b"line\n")
        until(lambda: halts.reader(os.getpid()) not in {None, first})


@pytest.mark.parametrize(
    "command",
    [
        ["sleep", "600"],
        ["bash", "-c", "sleep 600 | cat"],
        ["bash", "-c", "read x < <(sleep 600)"],
        ["bash", "--norc", "--noprofile", "-i"],
    ],
)
def test_who_does_something_else_does_not_wait_for_a_person(command: list[str]) -> None:
    with at_a_terminal(*command) as (process, _):
        until(lambda: asleep(process))
        assert reader_of(process) is None


def test_a_child_without_a_terminal_is_no_leader() -> None:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        assert process.pid not in {each.process for each in halts.leaders(os.getpid())}
    finally:
        process.communicate()


def test_a_leader_that_has_ended_is_none_even_before_it_is_waited_for() -> None:
    with at_a_terminal("true") as (process, _):
        until(lambda: process not in {each.process for each in halts.leaders(os.getpid())})


def test_a_process_that_is_gone_has_nobody() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert halts.reader(process.pid) is None
    assert halts.leaders(process.pid) == frozenset()
