"""Processes that this one starts in groups of their own, and how they end, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_GRACE = 5.0
"""Seconds for git to clean up behind itself before it is killed."""


def end(process: subprocess.Popen[bytes]) -> None:
    """End a git that is still there, with everything that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        try:
            os.killpg(process.pid, number)
            process.communicate(timeout=_GRACE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def forget(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a process that ended; those of one that was ended early are open still."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it never read
                pipe.close()


def note(file: Path, pid: int) -> None:
    """Remember a child that would survive a kill of this process."""
    import psutil  # noqa: PLC0415  (slow)

    try:
        file.write_text(f"{pid} {psutil.Process(pid).create_time()}", "ascii")
    except psutil.NoSuchProcess:
        return


def end_orphan(file: Path) -> None:
    """End the fetch of a process that was killed; the lock says that its owner is dead."""
    try:
        pid, created = file.read_text("ascii").split()
    except (FileNotFoundError, ValueError):
        return
    import psutil  # noqa: PLC0415  (slow)

    try:
        process = psutil.Process(int(pid))
        # The same number may be another process by now.
        if process.create_time() == float(created):
            os.killpg(int(pid), signal.SIGKILL)
            process.wait(_GRACE)
    except (psutil.Error, ProcessLookupError, PermissionError, ValueError):
        pass
    file.unlink(missing_ok=True)
