"""How many processors and how much memory this machine, or the container that it is, has.

Sources: sched_setaffinity(2); proc(5) on /proc/meminfo; the kernel's documentation of cgroup-v2
(`cpu.max`, `memory.max`, `memory.current`, `memory.stat`), of CFS (`cpu.cfs_quota_us`) and of
cgroup-v1's memory controller.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.execution import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version of cgroups: the limit, what is in use, and what of that would be given back."""


def cores(root: Path = Path("/")) -> int:
    """Return how many processors this process may use, the quotas of its groups included."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([count or 1, *(round(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many processors each control group that this process is in may use."""
    for version, folder in cgroups.folders(root, controller="cpu"):
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
    for version, folder in cgroups.folders(root):
        limit, used, spare = _NAMES[version]
        with contextlib.suppress(OSError, ValueError):  # `max` means unlimited
            most = int((folder / limit).read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii")
            cached = [int(each) for each in re.findall(rf"^{spare} (\d+)$", stat, re.MULTILINE)]
            yield most, int((folder / used).read_text(encoding="ascii")) - sum(cached)
