"""What nbpipe keeps of its own, which nobody else on the machine may read: 0700 and 0600.

History, logs, executed copies and their tracebacks hold what a notebook saw, secrets too. That is
so for what lies in nbpipe's own folders below the user's state and data directories. What a person
names (`--output-dir`, `--report KIND=PATH`, `[history] url`) follows the umask, as every file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

FOLDER = 0o700
FILE = 0o600
_ANY = 0o666
"""What the umask is taken off."""


def is_ours(path: Path | str) -> bool:
    """Return whether that is, or would be, in a folder of nbpipe's own."""
    return _top(path) is not None


def make_folder(folder: Path) -> None:
    """Make a folder with what is missing above it; where it is ours, for its owner alone.

    One that an earlier version left open to others is closed, and so is all that is in it.

    Raises:
        OSError: It cannot be made.
    """
    top = _top(folder)
    if top is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    for each in [*reversed([above for above in folder.parents if is_ours(above)]), folder]:
        each.mkdir(FOLDER, parents=True, exist_ok=True)
    close(top)


def close(path: Path) -> None:
    """Take a folder or file of this user's away from all others; a missing one is no matter."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        wide = stat.S_IMODE(status.st_mode) & 0o077
        if wide and status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode):
            path.chmod(stat.S_IMODE(status.st_mode) & 0o700)


def close_all(folder: Path) -> None:
    """Take a folder of ours, and everything in it, away from all others."""
    if is_ours(folder):
        for here, _, files in os.walk(folder):
            close(Path(here))
            for name in files:
                close(Path(here, name))


def mode(path: Path | str) -> int:
    """Return the mode with which a new file is made there; the umask is still to be taken off."""
    return FILE if is_ours(path) else _ANY


def opener(path: str, flags: int) -> int:
    """Open a file, for `open(..., opener=opener)`; a new one of ours is for its owner alone."""
    return os.open(path, flags, mode(path))


def write(file: Path, data: bytes) -> None:
    """Write a file's content; a new one of ours is for its owner alone."""
    with open(file, "wb", opener=opener) as stream:
        stream.write(data)


def _top(path: Path | str) -> Path | None:
    """Return the folder of ours that holds the path, None where it is in none."""
    import platformdirs  # noqa: PLC0415  (only where something is written)

    there = Path(os.path.realpath(path))
    for own in (platformdirs.user_state_path("nbpipe"), platformdirs.user_data_path("nbpipe")):
        if there.is_relative_to(os.path.realpath(own)):
            return own
    return None
