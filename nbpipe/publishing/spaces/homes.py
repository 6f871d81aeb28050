"""Which folders are users' homes, opened without following anything that a user made.

The part of a pattern before its first wildcard is the administrator's word and is opened as it
stands. Everything from there on may be in a user's hands: one folder at a time, by descriptor,
with O_NOFOLLOW. Nothing here writes.

A folder that is nobody's home is skipped. One that cannot be looked at is not: a home on NFS that
squashes root (exports(5), root_squash) is a home all the same, which only its user may open, and a
file server that does not answer hides homes. Both must reach whoever runs the command.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from nbpipe.system.rename import exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
REFUSED = frozenset({errno.EACCES, errno.EPERM})
"""Answers that another user may not get."""
NO_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP, errno.ENOENT})
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Account:
    """Who a home belongs to."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Home:
    """A user's home."""

    path: str
    account: Account
    closed: str = ""
    """Why this process may not open it, though its owner may; empty where it is open."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A folder that a pattern matched and that is nobody's home."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A folder that may be a home, or hold some, and cannot be looked at."""

    path: str
    reason: str


Place = Home | Skipped | Unreachable


class Accounts:
    """The accounts of this machine: all of the local ones at once, others when asked for."""

    def __init__(self) -> None:
        self._known = {entry.pw_uid: _account(entry) for entry in pwd.getpwall()}
        self._asked: set[int] = set()

    def __call__(self, uid: int) -> Account | None:
        """Return the account with that uid, None where there is none."""
        if uid not in self._known and uid not in self._asked:
            self._asked.add(uid)
            try:
                self._known[uid] = _account(pwd.getpwuid(uid))
            except KeyError:
                return None
        return self._known.get(uid)


def find(
    patterns: Sequence[str],
    *,
    exclude: Iterable[str],
    accounts: Callable[[int], Account | None],
) -> Iterator[tuple[Place, int]]:
    """Yield every home that a pattern matches, once, with its descriptor.

    The descriptor is open until the next one is asked for; -1 where the place could not be opened.

    Args:
        patterns: Absolute, with `*`, `?` and `[...]` within a component.
        exclude: Patterns of paths to leave out without a word.
        accounts: Whom a uid belongs to.
    """
    excluded = tuple(exclude)
    seen: set[str] = set()
    for pattern in patterns:
        for found in _matches(pattern):
            path = found.path if isinstance(found, Unreachable) else found[0]
            if path in seen or any(fnmatchcase(path, other) for other in excluded):
                continue
            seen.add(path)
            if isinstance(found, Unreachable):
                yield found, -1
                continue
            with _opened(*found[1]) as (descriptor, error):
                if error is None:
                    yield _place(path, os.fstat(descriptor), accounts, ""), descriptor
                else:
                    yield _unopened(path, *found[1], error, accounts), -1


def _place(
    path: str, status: os.stat_result, accounts: Callable[[int], Account | None], closed: str
) -> Home | Skipped:
    """Return whose home a folder is, or why it is nobody's."""
    if status.st_uid == 0:
        return Skipped(path, "belongs to root")
    owner = accounts(status.st_uid)
    if owner is None:
        return Skipped(path, f"belongs to uid {status.st_uid}, which no account has")
    return Home(path, owner, closed)


def _unopened(
    path: str, folder: int, name: str, error: OSError, accounts: Callable[[int], Account | None]
) -> Place:
    """Return what a place is that could not be opened."""
    reason = f"cannot be opened: {error.strerror}"
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return Skipped(path, "vanished")
    except OSError:
        return Unreachable(path, reason)
    if stat.S_ISLNK(status.st_mode):
        return Skipped(path, "is a link; name the folder itself in `homes`")
    if not stat.S_ISDIR(status.st_mode):
        return Skipped(path, "is not a folder")
    if error.errno in REFUSED:
        return _place(path, status, accounts, reason)
    return Unreachable(path, reason)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _matches(pattern: str) -> Iterator[tuple[str, tuple[int, str]] | Unreachable]:
    """Yield the paths that a pattern matches, each with the open folder above and its name."""
    parts = [part for part in pattern.split("/") if part]
    fixed = 0
    while fixed < len(parts) - 1 and not _WILD & set(parts[fixed]):
        fixed += 1
    top = "/" + "/".join(parts[:fixed])
    try:
        folder = os.open(top, _to_read(parts[fixed]) | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Unreachable(top, f"cannot be opened: {error.strerror}")
        return
    try:
        yield from _below(folder, top.rstrip("/"), parts[fixed:])
    finally:
        os.close(folder)


def _below(
    folder: int, path: str, parts: list[str]
) -> Iterator[tuple[str, tuple[int, str]] | Unreachable]:
    try:
        names = _names(folder, parts[0])
    except OSError as error:
        yield Unreachable(path, f"cannot be listed: {error.strerror}")
        return
    for name in names:
        if len(parts) == 1:
            yield f"{path}/{name}", (folder, name)
            continue
        flags = _to_read(parts[1]) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            below = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if error.errno not in NO_FOLDER:  # a link or a file: no homes below
                yield Unreachable(f"{path}/{name}", f"cannot be opened: {error.strerror}")
            continue
        try:
            yield from _below(below, f"{path}/{name}", parts[1:])
        finally:
            os.close(below)


def _to_read(part: str) -> int:
    """Return how a folder is opened below which `part` is looked for: listed only where wild."""
    return os.O_RDONLY if _WILD & set(part) else os.O_PATH


def _names(folder: int, part: str) -> list[str]:
    if not _WILD & set(part):
        return [part] if exists(part, folder=folder) else []
    names = os.listdir(folder)
    hidden = part.startswith(".")
    return sorted(n for n in names if (hidden or n[0] != ".") and fnmatchcase(n, part))


@contextmanager
def _opened(folder: int, name: str) -> Iterator[tuple[int, OSError | None]]:
    """Open a home; yield its descriptor or, where that fails, the error."""
    try:
        descriptor = os.open(name, OPEN_FOLDER, dir_fd=folder)
    except OSError as error:
        yield -1, error
        return
    try:
        yield descriptor, None
    finally:
        os.close(descriptor)
