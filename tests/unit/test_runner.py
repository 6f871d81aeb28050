"""Names of runs, and how much of the machine a run may use."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbpipe import runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_run_id_sorts_by_time_and_is_not_given_twice() -> None:
    first = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    later = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert runner.new_run_id(first).startswith("20260102T030405-")
    assert runner.new_run_id(first) < runner.new_run_id(later)
    assert len({runner.new_run_id(first) for _ in range(50)}) == 50


def test_cores_are_those_that_this_process_may_use(need: Callable[[bool, str], None]) -> None:
    need(hasattr(os, "sched_setaffinity"), "sched_setaffinity")
    one = (
        "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])\n"
        "from nbpipe.system import machine; print(machine.cores())"
    )
    done = subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_the_commit_of_a_repository_is_told_and_none_elsewhere(tmp_path: Path) -> None:
    assert runner.head_commit(tmp_path) is None
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    commit = runner.head_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
