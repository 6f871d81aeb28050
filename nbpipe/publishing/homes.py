"""Which folders are users' homes, opened without following anything that a user made.

The part of a pattern before its first wildcard is the administrator's word and is opened as it
stands. Everything from there on may be in a user's hands: one folder at a time, by descriptor,
with O_NOFOLLOW. Nothing here writes.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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


@dataclass(frozen=True, slots=True)
class Skipped:
    """A folder that a pattern matched and that is nobody's home."""

    path: str
    reason: str


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
) -> Iterator[tuple[Home | Skipped, int]]:
    """Yield every home that a pattern matches, once, with its descriptor.

    The descriptor is open until the next one is asked for; -1 where it is skipped.

    Args:
        patterns: Absolute, with `*`, `?` and `[...]` within a component.
        exclude: Patterns of paths to leave out without a word.
        accounts: Whom a uid belongs to.
    """
    excluded = tuple(exclude)
    seen: set[str] = set()
    for pattern in patterns:
        for path, opening in _matches(pattern):
            if path in seen or any(fnmatchcase(path, other) for other in excluded):
                continue
            seen.add(path)
            with _opened(opening) as (descriptor, problem):
                if problem:
                    yield Skipped(path, problem), -1
                    continue
                owner = _owner(descriptor, accounts)
                if isinstance(owner, str):
                    yield Skipped(path, owner), -1
                else:
                    yield Home(path, owner), descriptor


def _owner(descriptor: int, accounts: Callable[[int], Account | None]) -> Account | str:
    """Return whose home an open folder is, or why it is nobody's."""
    uid = os.fstat(descriptor).st_uid
    if uid == 0:
        return "belongs to root"
    return accounts(uid) or f"belongs to uid {uid}, which no account has"


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _matches(pattern: str) -> Iterator[tuple[str, tuple[int, str]]]:
    """Yield the paths that a pattern matches, each with the open folder above and its name."""
    parts = [part for part in pattern.split("/") if part]
    fixed = 0
    while fixed < len(parts) - 1 and not _WILD & set(parts[fixed]):
        fixed += 1
    top = "/" + "/".join(parts[:fixed])
    try:
        folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        yield from _below(folder, top.rstrip("/"), parts[fixed:])
    finally:
        os.close(folder)


def _below(folder: int, path: str, parts: list[str]) -> Iterator[tuple[str, tuple[int, str]]]:
    for name in _names(folder, parts[0]):
        if len(parts) == 1:
            yield f"{path}/{name}", (folder, name)
            continue
        try:
            below = os.open(name, OPEN_FOLDER, dir_fd=folder)
        except OSError:
            continue  # a link, a file, another one's folder: no homes below
        try:
            yield from _below(below, f"{path}/{name}", parts[1:])
        finally:
            os.close(below)


def _names(folder: int, part: str) -> list[str]:
    if not _WILD & set(part):
        return [part] if _there(folder, part) else []
    names = os.listdir(folder)
    hidden = part.startswith(".")
    return sorted(n for n in names if (hidden or n[0] != ".") and fnmatchcase(n, part))


def _there(folder: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except OSError:
        return False
    return True


@contextmanager
def _opened(opening: tuple[int, str]) -> Iterator[tuple[int, str]]:
    """Open a home; yield its descriptor and, where that fails, why."""
    folder, name = opening
    try:
        descriptor = os.open(name, OPEN_FOLDER, dir_fd=folder)
    except OSError as error:
        yield -1, _why(error, folder, name)
        return
    try:
        yield descriptor, ""
    finally:
        os.close(descriptor)


def _why(error: OSError, folder: int, name: str) -> str:
    if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
        return f"cannot be opened: {error.strerror}"
    try:
        link = stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode)
    except OSError:
        return "vanished"
    return "is a link; name the folder itself in `homes`" if link else "is not a folder"
