"""Names of accounts, also where the system knows none (containers, other machines' files)."""

from __future__ import annotations

import getpass
import os
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def user_name() -> str:
    """Return who this process is; `uid 1000` where nobody has a name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"


def account() -> str:
    """Return the account that jobs run under, as a scheduler's programs take it: name or number."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def owner_of(path: Path) -> str:
    """Return whose a file or folder is, or what is nearest above it; "its owner" where unknown."""
    for each in (path, *path.parents):
        try:
            owner = each.lstat().st_uid
        except OSError:
            continue
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"uid {owner}"
    return "its owner"
