"""Prove it: as the user, what the space shows is the current release, and no write succeeds.

A child process becomes the user (`impersonation`), reads through the link and then tries in
earnest to create, open for writing, change the mode, rename and delete. Whatever succeeds is
undone where it can be, and reported; a delete is tried only where a rename was refused, so a
broken mirror is not damaged further. Only a *refusal* proves anything: any other error is
reported as well.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.publishing.spaces.impersonation import ActingError, act

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.publishing.spaces.homes import Account

REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
PROBE = ".nbpipe-write-probe"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write that was tried."""

    what: str
    """`create a file`, `open for writing`, ..."""
    path: str
    error: str
    """The errno's name; empty where the write *succeeded*."""

    @property
    def refused(self) -> bool:
        """Whether it was refused, which is what is wanted."""
        return self.error in {errno.errorcode[number] for number in REFUSALS}


@dataclass(frozen=True, slots=True)
class Proof:
    """What one user sees and may do."""

    attempts: tuple[Attempt, ...]
    problems: tuple[str, ...]
    """What the user cannot read, or reads wrongly."""

    @property
    def holds(self) -> bool:
        """Whether everything is readable and right, and every write was refused."""
        refused = all(attempt.refused for attempt in self.attempts)
        return bool(self.attempts) and refused and not self.problems


def prove(
    space: str, account: Account, *, release: os.stat_result, expected: Mapping[str, str]
) -> Proof:
    """Become the user in a child process; read, and try to write.

    Args:
        space: The link's path, such as `/home/ann/notebooks-latest`.
        account: Who to become.
        release: The current release's folder.
        expected: Files of it with the SHA-256 of their bytes.

    Raises:
        OSError: The child could not be started.
    """
    try:
        table = act(account, lambda alive: _examine(space, release, expected, alive))
    except ActingError as error:
        return Proof((), (str(error),))
    attempts = tuple(Attempt(*attempt) for attempt in table["attempts"])
    return Proof(attempts, tuple(table["problems"]))


def _examine(
    space: str, release: os.stat_result, expected: Mapping[str, str], alive: Callable[[], None]
) -> dict[str, Any]:
    try:
        here = os.path.realpath(space, strict=True)
        if not os.path.samestat(Path(here).stat(), release):
            return {"attempts": [], "problems": [f"{space}: leads to {here}, another folder"]}
    except OSError as error:
        return {"attempts": [], "problems": [f"{space}: {error.strerror}"]}
    problems = [_wrong(here, path, digest, alive) for path, digest in expected.items()]
    return {
        "attempts": _attempts(here, next(iter(expected), None)),
        "problems": [problem for problem in problems if problem],
    }


def _wrong(release: str, path: str, digest: str, alive: Callable[[], None]) -> str | None:
    """Return what is wrong with a file as the user sees it, None where nothing is."""
    try:
        with open(os.path.join(release, path), "rb") as file:  # noqa: PTH118, PTH123
            found = hashlib.sha256()
            while chunk := file.read(CHUNK):
                found.update(chunk)
                alive()
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None if found.hexdigest() == digest else f"{path}: is not what was published"


def _attempts(release: str, file: str | None) -> list[tuple[str, str, str]]:
    releases = os.path.dirname(release)  # noqa: PTH120
    mirror = os.path.dirname(releases)  # noqa: PTH120
    tried = [_create(folder) for folder in (release, releases, mirror)]
    tried.append(_try("change the mode", release, lambda: _chmod(release)))
    if file is None:
        return tried
    path = os.path.join(release, file)  # noqa: PTH118
    tried.append(_try("open for writing", path, lambda: os.close(os.open(path, os.O_WRONLY))))
    tried.append(_try("change the mode", path, lambda: _chmod(path)))
    aside = os.path.join(os.path.dirname(path), PROBE)  # noqa: PTH118, PTH120
    renamed = _try("rename", path, lambda: _rename(path, aside))
    tried.append(renamed)
    if renamed[2]:
        tried.append(_try("delete", path, lambda: os.unlink(path)))  # noqa: PTH108
    return tried


def _create(folder: str) -> tuple[str, str, str]:
    path = os.path.join(folder, PROBE)  # noqa: PTH118

    def create() -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(path)  # noqa: PTH108

    return _try("create a file", folder, create)


def _chmod(path: str) -> None:
    """Set the mode that it has: an owner may, and nothing is changed by it."""
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))  # noqa: PTH101, PTH116


def _rename(path: str, aside: str) -> None:
    os.rename(path, aside)  # noqa: PTH104
    os.rename(aside, path)  # noqa: PTH104


def _try(what: str, path: str, write: Callable[[], None]) -> tuple[str, str, str]:
    try:
        write()
    except OSError as error:
        return what, path, errno.errorcode.get(error.errno or 0, str(error))
    return what, path, ""
