"""What the operating system says about processes that it killed for memory.

Sources: proc(5) on /proc/vmstat, and the kernel's cgroup-v2 documentation on memory.events.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def kills() -> int:
    """Return how many processes were killed for memory since boot, 0 where nobody counts.

    The machine's own counter includes kills inside of memory-limited control groups.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
