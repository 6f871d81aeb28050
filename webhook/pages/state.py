"""What the service keeps for its pages, below `root`: the token made for them, rendered copies.

    <root>/.nbpipe/.pages/          0700; no collection's name begins with a dot
    <root>/.nbpipe/.pages/token     0600; made at the first start where none is configured
    <root>/.nbpipe/.pages/copies/   executed copies as HTML

Only the service's own user may look in here.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from nbpipe.errors import ConfigError
from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.releases.mirror import STATE, make_root
from nbpipe.system import files

if TYPE_CHECKING:
    from pathlib import Path

NAME = ".pages"
_OTHERS = 0o077


def own_folder(root: Path) -> Path:
    """Return the pages' folder below that root, made if need be.

    Raises:
        ConfigError: What lies in its place is a link, or another user's.
        MirrorError: It cannot be made.
    """
    folder = root / STATE / NAME
    try:
        make_root(root)
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ConfigError(
                f"{folder}: must be a folder of the service's own user",
                hint="Remove it; the service makes it anew.",
            )
        if found.st_mode & _OTHERS:
            folder.chmod(0o700)
    except OSError as error:
        raise MirrorError(
            f"{folder}: cannot be made: {error.strerror}",
            hint="The service's own user must be able to write below `root`.",
        ) from error
    return folder


def token_file(folder: Path) -> tuple[Path, bool]:
    """Return the file with the pages' token, and whether it has just been made.

    Of two services that start at once on the same `root`, one makes it and both use it.

    Raises:
        ConfigError: Other users can read the file, or it is not a file of the service's own user.
        MirrorError: It cannot be made or opened.
    """
    file = folder / "token"
    try:
        made = not os.path.lexists(file) and _make(file)
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MirrorError(
            f"{file}: the token of the pages cannot be used: {error.strerror}",
            hint="Remove the file; the next start makes a new token.",
        ) from error
    private = found.st_uid == os.geteuid() and not found.st_mode & _OTHERS
    if not private or not stat.S_ISREG(found.st_mode):
        raise ConfigError(
            f"{file}: other users may know the token of the pages",
            hint="Remove the file; the next start makes a new, private token.",
        )
    return file, made


def _make(file: Path) -> bool:
    """Write a new token; False where another process was first."""
    return files.create(file, f"{secrets.token_urlsafe(32)}\n".encode(), mode=0o600)
