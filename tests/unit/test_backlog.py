from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest
import zmq

from nbpipe.execution.kernels.sockets import FREE, MORE, Backlog

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Kernel:
    process: int


@dataclass
class Side:
    """A process that stands for a kernel, a socket, and how much memory there seems to be."""

    process: psutil.Process
    waiting: bool = True
    memory: int = 100_000_000

    def get(self, option: int) -> int:
        assert option == zmq.EVENTS
        return zmq.POLLIN if self.waiting else 0

    def backlog(self) -> Backlog:
        kernel = Kernel(self.process.pid)
        return Backlog(cast("Any", self), cast("Any", kernel), memory=lambda: self.memory)

    def becomes(self, *, stopped: bool) -> bool:
        """Wait for a signal to have its effect."""
        for _ in range(600):
            if (self.process.status() == psutil.STATUS_STOPPED) == stopped:
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def side() -> Iterator[Side]:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Side(psutil.Process(process.pid))
        process.kill()


def test_a_kernel_waits_while_too_much_is_held_and_goes_on_when_it_is_taken(side: Side) -> None:
    backlog = side.backlog()
    side.memory += MORE + 1
    backlog.took(FREE + 1)
    assert side.becomes(stopped=True)
    backlog.took(1)
    assert side.becomes(stopped=True)
    side.waiting = False
    backlog.took(1)
    assert side.becomes(stopped=False)


def test_a_kernel_whose_messages_are_taken_as_they_come_is_never_stopped(side: Side) -> None:
    backlog = side.backlog()
    side.memory += MORE + 1
    side.waiting = False
    backlog.took(FREE + 1)
    assert side.becomes(stopped=False)


def test_a_kernel_that_has_said_little_is_never_stopped(side: Side) -> None:
    backlog = side.backlog()
    side.memory += MORE + 1
    backlog.took(FREE - 1)
    assert side.becomes(stopped=False)


def test_a_kernel_goes_on_when_nobody_listens_any_more(side: Side) -> None:
    backlog = side.backlog()
    side.memory += MORE + 1
    backlog.took(FREE + 1)
    backlog.release()
    assert side.becomes(stopped=False)


def test_a_kernel_that_is_gone_is_no_error(side: Side) -> None:
    backlog = side.backlog()
    side.memory += MORE + 1
    side.process.kill()
    side.process.wait(timeout=60)
    backlog.took(FREE + 1)
    backlog.release()
