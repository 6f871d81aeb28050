"""A home for a process that has none: Jupyter, IPython and the platform's folders ask for it.

As in a container that is started under any user's number: HOME is not set, and the number has no
entry in the passwd file.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from nbpipe.errors import UsageError


def ensure() -> None:
    """Have HOME name a private folder where this user has no home; say so on standard error.

    Kernels inherit it: IPython does not start without one.

    Raises:
        UsageError: The folder cannot be created.
    """
    if os.path.expanduser("~") != "~":  # noqa: PTH111  (pathlib raises; HOME, else the passwd file)
        return
    import tempfile  # noqa: PLC0415  (rarely needed)

    who = f"HOME is not set, and user {os.getuid()} has no entry in the passwd file"
    try:
        folder = _private(Path(tempfile.gettempdir()) / f"nbpipe-home-{os.getuid()}")
    except OSError as error:
        raise UsageError(
            f"no home directory: {who}; and none can be made for temporary use: {error}",
            hint="Set HOME to a folder that can be written.",
        ) from error
    os.environ["HOME"] = str(folder)
    sys.stderr.write(f"nbpipe: warning: no home directory: {who}; using HOME={folder}\n")


def _private(folder: Path) -> Path:
    """Make a folder that nobody else can use, or take the one that is there and such."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
        if not own or stat.S_IMODE(status.st_mode) & 0o077:
            import tempfile  # noqa: PLC0415

            return Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    return folder
