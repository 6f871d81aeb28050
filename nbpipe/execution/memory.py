"""What the operating system says about processes that it killed for memory.

Sources: proc(5) on /proc/vmstat; the kernel's documentation of cgroup-v2 (`memory.events`) and of
cgroup-v1's memory controller (`memory.oom_control`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from nbpipe.execution import cgroups

_COUNTERS = {2: "memory.events", 1: "memory.oom_control"}


def counter(process: int, root: Path = Path("/")) -> Path:
    """Return the file that counts the processes that are killed for memory beside this one.

    That of the innermost control group that has one: what happens in other containers or jobs of
    the machine does not count. Without one it is the machine's own.
    """
    for version, folder in cgroups.folders(root, str(process)):
        file = folder / _COUNTERS[version]
        if _count(file) is not None:
            return file
    return root / "proc/vmstat"


def kills(file: Path) -> int:
    """Return how many processes a `counter` has counted so far, 0 where nobody counts."""
    return _count(file) or 0


def _count(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None
