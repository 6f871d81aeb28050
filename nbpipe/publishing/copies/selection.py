"""Which paths of a release a run is about, and which a copy never holds. Values in, values out."""

from __future__ import annotations

import posixpath
import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.publishing.copies.manifest import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def below(path: str, folder: str) -> bool:
    """Return whether a path is that folder (or file), or lies below it; "" is everything."""
    return not folder or path == folder or path.startswith(folder + "/")


def cleaned(names: Sequence[str], known: Iterable[str], option: str) -> list[str]:
    """Return folders as typed (`./a/`, `a//b`) the way paths are written.

    Raises:
        UsageError: Nothing in `known` is or lies below one of them.
    """
    paths = list(known)
    result = []
    for name in names:
        wanted = posixpath.normpath(name.replace("\\", "/")).strip("/") if name else ""
        wanted = "" if wanted == "." else wanted
        if not any(below(path, wanted) for path in paths):
            near = get_close_matches(wanted, sorted(folders(paths) | set(paths)), n=1, cutoff=0.6)
            raise UsageError(
                f"{option} {name}: no such folder or file in this release",
                hint=f"Did you mean `{near[0]}`?" if near else "`getlatest --list` shows them.",
            )
        result.append(wanted)
    return result


def widest(names: Iterable[str]) -> tuple[str, ...]:
    """Return folders without those that lie below another one, in order."""
    result: list[str] = []
    for name in sorted(set(names)):
        if not any(below(name, folder) for folder in result):
            result.append(name)
    return tuple(result)


def refused(path: str, target: str | None) -> str | None:
    """Return why a copy never holds this file, None where it may; `target`: where a link points."""
    if below(path, FOLDER):
        return "its name is kept for getlatest's own notes"
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" or "\0" in part for part in parts):
        return "not a name that a copy may hold"
    if target is not None:
        end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith("/") or end == ".." or end.startswith("../"):
            return f"a link out of the collection, to {target}"
    return None


def same_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the paths that a file system without case cannot hold beside another, with that one.

    The first in order keeps the name.
    """
    first: dict[str, str] = {}
    later: dict[str, str] = {}
    for path in sorted(paths):
        key = unicodedata.normalize("NFC", path).casefold()
        if first.setdefault(key, path) != path:
            later[path] = first[key]
    return later


def folders(paths: Iterable[str]) -> set[str]:
    """Return every folder that these paths lie in."""
    above: set[str] = set()
    for path in paths:
        folder = posixpath.dirname(path)
        while folder and folder not in above:
            above.add(folder)
            folder = posixpath.dirname(folder)
    return above
