"""What the patterns ask for: single files, and scopes (a folder, a glob, the configuration).

A scope knows its folder, whether a file is in it, and whether looking into a folder can be worth
while. Names that a shell put in the place of a glob mean what the quoted glob means. Nothing here
walks: `nbpipe.collecting.walks` does.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from nbpipe.collecting.paths import GitLines, anchored, comparable, is_wild, printable
from nbpipe.errors import UsageError


class Scope(Protocol):
    """A set of files below one folder, `base` (absolute)."""

    @property
    def base(self) -> str:
        """The folder."""

    @property
    def label(self) -> str:
        """What a person wrote."""

    def why(self, path: str) -> str | None:
        """Return why the file is in it; None: it is not."""

    def reaches(self, folder: str) -> bool:
        """Return whether a file below `folder` (below `base`) can be in it."""


@dataclass(frozen=True)
class Folder:
    """Everything below a folder."""

    base: str
    label: str
    reason: str

    def why(self, path: str) -> str | None:
        """Return why the file is in it; None: it is not."""
        return self.reason if is_below(path, self.base) else None

    def reaches(self, folder: str) -> bool:
        """Return whether a file below `folder` can be in it."""
        return is_below(folder, self.base)


class Glob:
    """A pattern of the command line, anchored at its folder."""

    def __init__(
        self, base: str, segments: list[str], label: str, *, folders_only: bool = False
    ) -> None:
        """Compile the segments; `folders_only`: they match folders alone, as `*/` does."""
        self.base = base
        self.label = label
        fixed = segments.index("**") if "**" in segments else len(segments)
        where = f"pattern {label!r}"
        end = "/" if folders_only else ""
        self._all = GitLines([anchored(f"/{'/'.join(segments)}{end}")], where=where)
        self._heads = [
            GitLines([anchored(f"/{'/'.join(segments[:depth])}")], where=where)
            for depth in range(1, fixed + 1)
        ]

    def why(self, path: str) -> str | None:
        """Return why the file is in it; None: it is not."""
        if is_below(path, self.base) and self._all.take(_relative(path, self.base)):
            return f"matches {printable(self.label)!r}"
        return None

    def reaches(self, folder: str) -> bool:
        """Return whether a file below `folder` can be in it: its first segments match."""
        if not is_below(folder, self.base):
            return False
        if not self._heads or folder == self.base:
            return True
        relative = _relative(folder, self.base)
        depth = min(relative.count("/") + 1, len(self._heads))
        return self._heads[depth - 1].take(f"{relative}/")


class Included:
    """The configuration's `include`."""

    def __init__(self, root: str, lines: tuple[str, ...], file: str) -> None:
        self.base = root
        self.label = f"include of {file}"
        self._lines = GitLines(lines, where=f"{file}: test.include")

    def why(self, path: str) -> str | None:
        """Return why the file is in it; None: it is not."""
        if not is_below(path, self.base):
            return None
        taken, line = self._lines.decide(_relative(path, self.base))
        return f"{self.label}: {line!r}" if taken else None

    def reaches(self, folder: str) -> bool:
        """Return whether a file below `folder` can be in it; any may."""
        return is_below(folder, self.base)


def interpret(patterns: tuple[str, ...], cwd: str) -> tuple[list[str], list[Scope]]:
    """Return the files that the patterns name (absolute), and the scopes.

    Raises:
        UsageError: A pattern without wildcards names nothing that exists or can be reached.
    """
    files: list[str] = []
    scopes: list[Scope] = []
    for pattern in patterns:
        if not pattern:
            raise UsageError("a pattern is empty", hint="Is a variable of the shell not set?")
        path = normal(pattern, cwd)
        mode = _mode(path)
        if mode is None:
            scopes.append(_glob(pattern, path, cwd))
        elif stat.S_ISDIR(mode):
            scopes.append(Folder(path, pattern, f"in the folder {printable(pattern)!r}"))
        else:
            files.append(path)
    return files, scopes


def normal(pattern: str, cwd: str) -> str:
    """Return the pattern as an absolute one without `.`, `..`, `//` and a last `/`.

    A `..` goes to the real parent, as it does for the operating system: the folder before it may
    be a link.
    """
    path = os.path.join(cwd, pattern)  # noqa: PTH118  (a Path would lose what a pattern is)
    head, dots, tail = path.rpartition("/..")
    if dots and (tail == "" or tail.startswith("/")) and not is_wild(head):
        path = os.path.realpath(head + dots) + tail
    path = os.path.abspath(path)  # noqa: PTH100  (likewise)
    return path[1:] if path.startswith("//") else path  # POSIX lets two slashes mean more


def is_below(path: str, folder: str) -> bool:
    """Return whether the path is that folder or lies in it; both are absolute."""
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def split_wild(path: str) -> tuple[str, list[str]]:
    """Return the folder that an absolute pattern starts from, and its other segments.

    A folder that exists under that very name is no wildcard, whatever brackets it has.
    """
    segments = path.split("/")[1:]
    base = ""
    for position, segment in enumerate(segments[:-1]):
        if is_wild(segment) and not os.path.isdir(f"{base}/{segment}"):  # noqa: PTH112
            return base or "/", segments[position:]
        base = f"{base}/{segment}"
    return base or "/", segments[-1:]


def _relative(path: str, base: str) -> str:
    return comparable(path[len(base) :].lstrip("/"))


def _mode(path: str) -> int | None:
    """Return the mode of what exists there (a dangling link exists), None for nothing."""
    for status in (os.stat, os.lstat):
        try:
            return status(path).st_mode
        except PermissionError as error:
            raise UsageError(
                f"{printable(path)}: cannot be reached: {error.strerror}",
                hint="A folder above it is closed to this user.",
            ) from error
        except (OSError, ValueError):
            continue
    return None


def _glob(pattern: str, path: str, cwd: str) -> Scope:
    if not is_wild(pattern) and not _other_spelling(path):
        raise _missing(pattern, path, cwd)
    base, segments = split_wild(path)
    return Glob(base, segments, pattern, folders_only=pattern.endswith("/"))


def _other_spelling(path: str) -> bool:
    """Return whether the name exists in another normalisation of its letters."""
    folder, name = os.path.split(path)
    return comparable(name) in {comparable(other) for other in _names(folder)}


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except (OSError, ValueError):
        return []


def _missing(pattern: str, path: str, cwd: str) -> UsageError:
    """Return the error for a name that does not exist, with what is nearest to it."""
    folder, name = os.path.split(path)
    while not _mode(folder):
        folder, name = os.path.split(folder)
    near = get_close_matches(name, _names(folder), n=3, cutoff=0.6)
    shown = [printable(os.path.relpath(f"{folder}/{other}", cwd)) for other in near]
    hint = f"Did you mean {' or '.join(shown)}?" if shown else f"It was looked for in {folder}."
    return UsageError(f"{printable(pattern)}: no such file or folder", hint=printable(hint))


def expanded_by_a_shell(files: list[str], folders: list[str]) -> set[str]:
    """Return the files that a shell's glob seems to have named.

    They are *all* the files of one ending in their folder, at least two of them; where that holds
    for one folder, a single file that is all of another named folder counts too, as in
    `*/*.ipynb`. Or they are, with the named folders, all there is in their folder, as in `*`.

    Args:
        files: The named files, absolute.
        folders: The named folders, absolute.
    """
    named: dict[str, set[str]] = defaultdict(set)
    for path in (*files, *folders):
        folder, name = os.path.split(path)
        named[folder].add(name)
    wanted = set(files)
    expanded: set[str] = set()
    by_ending: dict[str, list[set[str]]] = defaultdict(list)
    if len(files) + len(folders) > 1:
        for folder, names in named.items():
            there = _visible(folder)
            if len(names) > 1 and names >= there:
                expanded |= {f"{folder}/{name}" for name in names}
            for ending, complete in _complete(names, there).items():
                paths = {f"{folder}/{name}" for name in complete} & wanted
                by_ending[ending].append(paths)
    for groups in by_ending.values():
        if any(len(group) > 1 for group in groups):
            expanded.update(*groups)
    return expanded & wanted


def _complete(names: set[str], there: set[str]) -> dict[str, set[str]]:
    """Return the named ones by their ending, where all of that ending are named."""
    mine, all_of = _by_ending(names), _by_ending(there)
    return {ending: group for ending, group in mine.items() if group >= all_of[ending]}


def _by_ending(names: set[str]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[os.path.splitext(name)[1]].add(name)  # noqa: PTH122
    return groups


def _visible(folder: str) -> set[str]:
    """Return what a shell's `*` names in a folder; nothing where it cannot be listed."""
    try:
        return {name for name in os.listdir(folder) if not name.startswith(".")}  # noqa: PTH208
    except OSError:
        return set()
