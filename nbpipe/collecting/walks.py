"""The one walk over the folders: every file that could be a notebook, each real folder once.

It goes into excluded folders too, so that what is excluded can be told; which files are wanted is
decided later. Folders are identified by device and inode: a link never leads in a circle, and a
folder that is reached both ways is listed under its real path.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.collecting.scopes import is_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RUN_MARK = ".nbpipe-run.json"
"""A folder that holds it was made by a run, and may be written again by another."""

MARKS = {
    "pyvenv.cfg": "a virtual environment",  # venv, virtualenv
    "conda-meta": "a virtual environment",
    RUN_MARK: "the output directory of a run",
}
"""What a folder is in which nobody writes notebooks, by the entry that tells it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file with the ending of a notebook."""

    path: str
    """Absolute."""
    generated: str = ""
    """Why nobody wrote it here: `venv/ is a virtual environment`; empty where somebody did."""


@dataclass(slots=True)
class Walk:
    """What a walk has seen."""

    files: list[Found] = field(default_factory=list)
    unreadable: list[tuple[Found, OSError]] = field(default_factory=list)
    """Folders that could not be listed."""
    aliases: list[tuple[str, str]] = field(default_factory=list)
    """Links to folders that were listed under their real path: (link, real path)."""


def walk(
    starts: Iterable[str],
    *,
    descend: Callable[[str], bool],
    is_candidate: Callable[[str], bool],
    exempt: frozenset[str],
) -> Walk:
    """Return every file below the starts whose name is a candidate's.

    Args:
        starts: Absolute folders.
        descend: Whether it is worth looking into an (absolute) folder.
        is_candidate: Whether a file's name is of interest.
        exempt: Folders whose marks do not count.
    """
    seen = Walk()
    real, linked = _tops(starts)
    visited = _above([*real, *linked])
    around = {top: _generated_around(top, exempt) for top in (*real, *linked)}
    queue = deque((top, around[top]) for top in real)
    later = deque((top, around[top]) for top in linked)
    while queue or later:
        folder, generated = queue.popleft() if queue else later.popleft()
        entries = _enter(folder, generated, visited, seen)
        if not generated and folder not in exempt:
            generated = _told(folder, {entry.name for entry in entries})
        for entry in sorted(entries, key=lambda entry: entry.name):
            if _is_folder(entry):
                if descend(entry.path):
                    (later if entry.is_symlink() else queue).append((entry.path, generated))
            elif is_candidate(entry.name):
                seen.files.append(Found(entry.path, generated))
    return seen


def _tops(starts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the starts that are not below another one: the real ones, and the links."""
    tops: list[str] = []
    for start in sorted(set(starts), key=len):
        if not any(is_below(start, top) for top in tops):
            tops.append(start)
    real = [top for top in sorted(tops) if os.path.realpath(top) == top]
    return real, [top for top in sorted(tops) if top not in real]


def _above(tops: list[str]) -> dict[tuple[int, int], str]:
    """Return the folders above the starts: a link to one of them leads in a circle.

    Without this a link to `/` would bring the whole machine in.
    """
    above: dict[tuple[int, int], str] = {}
    for top in tops:
        for folder in Path(os.path.realpath(top)).parents:
            above[_identity(folder)] = os.fspath(folder)
    for top in tops:
        above.pop(_identity(top), None)
    return above


def _identity(folder: str | Path) -> tuple[int, int]:
    """Return device and inode; of something that is gone, what nothing has."""
    try:
        status = os.stat(folder)  # noqa: PTH116  (a Path for each of 10,000 folders costs)
    except FileNotFoundError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def _enter(
    folder: str, generated: str, visited: dict[tuple[int, int], str], seen: Walk
) -> list[os.DirEntry[str]]:
    """Return what is in a folder; nothing where it has been visited or has vanished."""
    try:
        identity = _identity(folder)
        if identity in visited:
            seen.aliases.append((folder, visited[identity]))
            return []
        visited[identity] = folder
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        seen.unreadable.append((Found(folder, generated), error))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle, or into a folder that is closed
        return False


def _told(folder: str, names: set[str]) -> str:
    """Return what a folder is by what it holds, empty for one that people write notebooks in."""
    for mark, kind in MARKS.items():
        if mark in names:
            return f"{os.path.basename(folder)}/ is {kind}"  # noqa: PTH119
    return ""


def _generated_around(folder: str, exempt: frozenset[str]) -> str:
    """Return what the folders above a start, and itself, tell about it."""
    current = folder
    while current not in exempt and current != "/":
        there = {mark for mark in MARKS if os.path.lexists(f"{current}/{mark}")}
        if there:
            return _told(current, there)
        current = os.path.dirname(current)  # noqa: PTH120
    return ""
