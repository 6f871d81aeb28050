"""What this machine (or the container that it is) has: processors, memory, kills for memory.

The only module that asks how much there is. Sources: sched_setaffinity(2); cgroups(7); proc(5) on
/proc/meminfo and /proc/vmstat; the kernel's documentation of cgroup-v2 (`cpu.max`, `memory.max`,
`memory.current`, `memory.stat`, `memory.events`), of CFS (`cpu.cfs_quota_us`) and of cgroup-v1's
memory controller (`memory.oom_control`).
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version of cgroups: the limit, what is in use, and what of that would be given back."""
_KILLS = {2: "memory.events", 1: "memory.oom_control"}
"""By version of cgroups: where the processes are counted that were killed for memory."""


def cores(root: Path = Path("/")) -> int:
    """Return how many processors this process may use, the quotas of its groups included."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([count or 1, *(round(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many processors each control group that this process is in may use."""
    for version, folder in _groups_of(root, controller="cpu"):
        with contextlib.suppress(OSError, ValueError):  # `max` means unlimited
            if version == 2:  # noqa: PLR2004  (of cgroups)
                limit, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                limit = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(limit) > 0:
                yield int(limit) / int(period)


def total(root: Path = Path("/")) -> int | None:
    """Return how much memory this process may use, in bytes; None where nobody says."""
    limits = [limit for limit, _ in _groups(root)]
    return min([*_meminfo(root, "MemTotal"), *limits], default=None)


def available(root: Path = Path("/")) -> int | None:
    """Return how much more memory can be used in this moment, in bytes; None: nobody says."""
    left = [max(0, limit - used) for limit, used in _groups(root)]
    return min([*_meminfo(root, "MemAvailable"), *left], default=None)


def _meminfo(root: Path, name: str) -> list[int]:
    with contextlib.suppress(OSError):
        text = (root / "proc/meminfo").read_text(encoding="ascii")
        return [int(kib) * 1024 for kib in re.findall(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)]
    return []


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of every control group that this process is in and that has a limit."""
    for version, folder in _groups_of(root):
        limit, used, spare = _NAMES[version]
        with contextlib.suppress(OSError, ValueError):  # `max` means unlimited
            most = int((folder / limit).read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii")
            cached = [int(each) for each in re.findall(rf"^{spare} (\d+)$", stat, re.MULTILINE)]
            yield most, int((folder / used).read_text(encoding="ascii")) - sum(cached)


def kill_counter(process: int, root: Path = Path("/")) -> Path:
    """Return the file that counts the processes that are killed for memory beside this one.

    That of the innermost control group that has one: what happens in other containers or jobs of
    the machine does not count. Without one it is the machine's own.
    """
    for version, folder in _groups_of(root, str(process)):
        file = folder / _KILLS[version]
        if _count(file) is not None:
            return file
    return root / "proc/vmstat"


def kills(file: Path) -> int:
    """Return how many processes a `kill_counter` has counted so far, 0 where nobody counts."""
    return _count(file) or 0


def _count(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def _groups_of(
    root: Path = Path("/"), process: str = "self", controller: str = "memory"
) -> Iterator[tuple[int, Path]]:
    """Yield version (1 or 2) and folder of the groups a process is in, the innermost first.

    In a container the path that the process is told may not exist; the group that is mounted, the
    last of each version, is the container's own then.
    """
    with contextlib.suppress(OSError):
        text = (root / "proc" / process / "cgroup").read_text(encoding="utf-8")
        for line in text.splitlines():
            number, controllers, name = line.split(":", 2)
            if number == "0":
                version, base = 2, root / "sys/fs/cgroup"
            elif controller in controllers.split(","):
                version, base = 1, root / "sys/fs/cgroup" / controller
            else:
                continue
            path = PurePosixPath(name.lstrip("/"))
            for part in (path, *path.parents):
                yield version, base / part
