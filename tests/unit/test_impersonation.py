"""Acting as a user who may stop, kill or slow down what acts as them."""

from __future__ import annotations

import os
import pwd
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from nbpipe.publishing.spaces.homes import Account
from nbpipe.publishing.spaces.impersonation import ActingError, act

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("NBPIPE_REQUIRE") != "all",
    reason="becoming another user needs root",
)

ENTRY = pwd.getpwnam("nobody")
NOBODY = Account("nobody", ENTRY.pw_uid, ENTRY.pw_gid)


def test_the_work_is_done_as_the_user_and_its_result_comes_back() -> None:
    assert act(NOBODY, lambda _: [*os.getresuid(), *os.getresgid()]) == (
        [NOBODY.uid] * 3 + [NOBODY.gid] * 3
    )


def test_what_the_user_may_not_do_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError, match="Permission denied"):
        act(NOBODY, lambda _: (tmp_path / "new").write_text("x"))
    assert list(tmp_path.iterdir()) == []


def stop(_: Callable[[], None]) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_process_that_is_stopped_is_given_up_and_killed() -> None:
    with pytest.raises(ActingError, match=r"did not answer for 0\.2 s"):
        act(NOBODY, stop, silence=0.2)
    statuses = [child.status() for child in psutil.Process().children()]
    assert psutil.STATUS_ZOMBIE not in statuses  # it was reaped
    assert psutil.STATUS_STOPPED not in statuses


def test_a_process_that_is_killed_is_reported() -> None:
    with pytest.raises(ActingError, match="could not act as nobody: the process was killed"):
        act(NOBODY, lambda _: os.kill(os.getpid(), signal.SIGKILL))


def test_signs_of_life_give_time_but_not_for_ever() -> None:
    def steps(alive: Callable[[], None]) -> str:
        for _ in range(10):
            time.sleep(0.1)
            alive()
        return "done"

    assert act(NOBODY, steps, silence=0.9, whole=60) == "done"
    with pytest.raises(ActingError):
        act(NOBODY, steps, silence=60, whole=0.3)


def test_a_long_answer_arrives_whole() -> None:
    assert act(NOBODY, lambda _: "x" * 1_000_000) == "x" * 1_000_000
