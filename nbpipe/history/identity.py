"""Which collection a folder holds, so that another clone of it shares its history.

A folder has one or several keys, the most reliable first; folders with a key in common hold the
same collection:

1. `[history] collection`, where it is set: then nothing else counts;
2. the repository's root commits and the folder within it: the same in every full clone and fork
   (a shallow clone does not have them);
3. the origin's address, without user and password, and the folder within the repository;
4. outside of a repository: the folder's real path.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from nbpipe.system import git

if TYPE_CHECKING:
    from pathlib import Path

_SCP = re.compile(r"^(?:[^@/:]+@)?([^/:]+):(?!//)(.+)$")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^@/]*@)?([^/]*)/(.*)$", re.IGNORECASE)


def keys(root: Path, *, name: str | None = None) -> tuple[str, ...]:
    """Return the keys of the collection in `root`, the most reliable first; at least one."""
    if name is not None:
        return (f"name:{name}",)
    prefix = _git(root, "rev-parse", "--show-prefix")
    if prefix is None:
        return (f"path:{_text(os.path.realpath(root))}",)
    found = []
    if _git(root, "rev-parse", "--is-shallow-repository") == "false":
        commits = _git(root, "rev-list", "--max-parents=0", "HEAD")
        found += [f"root:{commit}:{prefix}" for commit in sorted((commits or "").split())]
    if origin := _git(root, "config", "--get", "remote.origin.url"):
        found.append(f"origin:{address(origin)}:{prefix}")
    return tuple(found) or (f"path:{_text(os.path.realpath(root))}",)


def address(origin: str) -> str:
    """Return `host/org/repo` for every way to write the same origin; without a password."""
    for shape in (_URL, _SCP):
        if match := shape.match(origin):
            origin = f"{match[1].lower()}/{match[2]}"
            break
    return origin.rstrip("/").removesuffix(".git").removeprefix("/").lower()


def _git(root: Path, *arguments: str) -> str | None:
    with contextlib.suppress(*git.GitError):
        return _text(git.output(root, *arguments).decode("utf-8", "surrogateescape").strip("\n"))
    return None


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
