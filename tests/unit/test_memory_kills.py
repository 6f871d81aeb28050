"""Which counter tells that a kernel was killed for memory: files as Linux writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbpipe.system import machine as memory

VMSTAT = "nr_free_pages 1\noom_kill 7\n"
EVENTS = "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the root of a machine whose process 12 is in no group yet."""
    (tmp_path / "proc/12").mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text(VMSTAT)
    return tmp_path


def put(machine: Path, file: str, text: str) -> Path:
    path = machine / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_groups_the_machine_counts(machine: Path) -> None:
    assert memory.kill_counter(12, machine) == machine / "proc/vmstat"
    assert memory.kills(memory.kill_counter(12, machine)) == 7


def test_a_group_of_version_2_counts_for_itself(machine: Path) -> None:
    put(machine, "proc/12/cgroup", "0::/jobs/a\n")
    put(machine, "sys/fs/cgroup/jobs/memory.events", EVENTS)
    own = put(machine, "sys/fs/cgroup/jobs/a/memory.events", "oom 0\noom_kill 0\n")
    assert memory.kill_counter(12, machine) == own
    assert memory.kills(own) == 0


def test_a_group_of_version_1_counts_for_itself(machine: Path) -> None:
    put(machine, "proc/12/cgroup", "4:memory:/jobs/a\n3:cpu:/jobs\n0::/\n")
    own = put(machine, "sys/fs/cgroup/memory/jobs/a/memory.oom_control", CONTROL)
    assert memory.kill_counter(12, machine) == own
    assert memory.kills(own) == 4


def test_in_a_container_the_group_that_is_mounted_counts(machine: Path) -> None:
    put(machine, "proc/12/cgroup", "0::/docker/0123456789ab\n")
    own = put(machine, "sys/fs/cgroup/memory.events", EVENTS)
    assert memory.kill_counter(12, machine) == own
    assert memory.kills(own) == 2


def test_a_counter_of_an_old_linux_does_not_count(machine: Path) -> None:
    put(machine, "proc/12/cgroup", "4:memory:/a\n")
    put(machine, "sys/fs/cgroup/memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n")
    assert memory.kills(memory.kill_counter(12, machine)) == 7


def test_a_group_that_is_gone_counts_nothing_more(machine: Path) -> None:
    assert memory.kills(machine / "sys/fs/cgroup/gone/memory.events") == 0


def test_this_machine_has_a_counter() -> None:
    if not Path("/proc/vmstat").exists():
        pytest.skip("proc(5) is Linux")
    assert memory.kills(memory.kill_counter(os.getpid())) >= 0
