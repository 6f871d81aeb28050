"""The control groups that a process is in, as far as they account for memory or processors.

Sources: cgroups(7); the kernel's documentation of cgroup-v2 and of cgroup-v1's memory controller.
"""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def folders(
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
