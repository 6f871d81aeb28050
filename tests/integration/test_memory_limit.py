"""A run in a control group with little memory: who was killed for it, and who was merely killed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ondisk import Collection

GROUPS = Path("/sys/fs/cgroup")
LIMIT = 400 << 20
EAT = "b = []\nwhile True:\n    b.append(bytearray(b'x' * 10_000_000))"
ENTER = (
    "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2],"
    " sys.argv[2:])"
)


@contextmanager
def group(name: str) -> Iterator[Path]:
    """Make a control group with a limit; skip where nobody lets us, as in most containers."""
    is_v1 = (GROUPS / "memory").is_dir()
    folder = GROUPS / "memory" / name if is_v1 else GROUPS / name
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        limits = ["memory.limit_in_bytes"] if is_v1 else ["memory.max", "memory.swap.max"]
        for file in limits:
            if not (folder / file).exists():
                pytest.skip(f"control groups here have no {file}")
            (folder / file).write_text(str(LIMIT if "swap" not in file else 0))
        yield folder
    finally:
        folder.rmdir()


def test_who_was_killed_for_memory_is_told_by_the_control_group(collection: Collection) -> None:
    collection.notebook("eats.ipynb", "x = 1", EAT)
    collection.notebook("killed.ipynb", "import os\nos.kill(os.getpid(), 9)")
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {EAT!r}])"
    collection.notebook("child.ipynb", child, "import os\nos.kill(os.getpid(), 9)")
    with group(f"nbpipe-test-{os.getpid()}") as folder:
        procs = str(folder / "cgroup.procs")
        done = subprocess.run(
            [sys.executable, "-c", ENTER, procs, *collection.command("-n", "1")],
            cwd=collection.root,
            env=collection.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    ended = collection.ended(done.returncode, done.stdout, done.stderr)
    told = {
        path: (ended[path]["failure"]["category"], ended[path]["failure"]["cell"])
        for path in ("eats.ipynb", "killed.ipynb", "child.ipynb")
    }
    assert told == {
        "eats.ipynb": ("out-of-memory", 1),
        "killed.ipynb": ("kernel-died", 0),
        "child.ipynb": ("kernel-died", 1),
    }
