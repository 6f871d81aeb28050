"""How much memory a machine or a container has, by what its files say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil
import pytest

from nbpipe.system import machine as capacity

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the root of a machine of 1000 KiB, 400 of them free."""
    info = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n"
    write(tmp_path, proc__meminfo=info)
    return tmp_path


def group(folder: Path, *numbers: str, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in zip(names, numbers, strict=True):
        (folder / name).write_text(number)


V2 = ("memory.max", "memory.current", "memory.stat")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")


def test_a_machine_without_groups_is_its_own_limit(machine: Path) -> None:
    assert (capacity.total(machine), capacity.available(machine)) == (1_024_000, 409_600)


def test_a_group_of_version_2_limits(machine: Path) -> None:
    (machine / "proc/self").mkdir()
    (machine / "proc/self/cgroup").write_text("0::/a/b\n")
    base = machine / "sys/fs/cgroup"
    group(base / "a/b", "max\n", "1\n", "inactive_file 0\n", names=V2)
    group(base / "a", "100000\n", "70000\n", "anon 9\ninactive_file 20000\n", names=V2)
    assert (capacity.total(machine), capacity.available(machine)) == (100_000, 50_000)


def test_a_group_of_version_1_limits(machine: Path) -> None:
    (machine / "proc/self").mkdir()
    (machine / "proc/self/cgroup").write_text("5:cpu:/x\n4:memory:/x\n")
    stat = "inactive_file 1\ntotal_inactive_file 500\n"
    group(machine / "sys/fs/cgroup/memory/x", "2000\n", "2600\n", stat, names=V1)
    assert (capacity.total(machine), capacity.available(machine)) == (2000, 0)


def test_a_machine_that_says_nothing_is_not_known(tmp_path: Path) -> None:
    assert (capacity.total(tmp_path), capacity.available(tmp_path)) == (None, None)


def test_this_machine_has_memory() -> None:
    total, available = capacity.total(), capacity.available()
    assert total is not None
    assert available is not None
    assert 0 < available <= total <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("groups", "files", "share"),
    [
        ("0::/\n", {}, 1.0),
        ("0::/a/b\n", {"a/cpu.max": "max 100000\n"}, 1.0),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.0),
        ("0::/a/b\n", {"cpu.max": "100000 100000\n"}, 0.0),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1\n"}, 1.0),
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "90000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            0.0,
        ),
        ("0::/\n", {"cpu.max": "what is this\n"}, 1.0),
    ],
)
def test_the_quotas_of_groups_limit_the_cores(
    tmp_path: Path, groups: str, files: dict[str, str], share: float
) -> None:
    """Each quota here is one processor or less."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    everything = len(os.sched_getaffinity(0))
    assert capacity.cores(tmp_path) == (everything if share else 1)
