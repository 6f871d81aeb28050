"""Make a mirror appear in a user's home, as root, at the mercy of what the user left there.

    <home>/notebooks-latest -> <root>/<collection>/current              method symlink
    <home>/notebooks-latest -> .nbpipe-space/notebooks-latest/current   method bind (`binds`)

Every step goes through the home's open descriptor and follows no link. What was there is swapped
out in one step and kept as `notebooks-latest.before-<date>-N`.

The link belongs to root, not to the user. To give it away, root would have to name it again, and
in that instant the user can have put a hard link to somebody else's file under the name. Nothing
is lost by it: the user's own folder lets them remove the link, and the next sync brings it back.
A link of root's is how a space of ours is known, and is replaced without keeping it.

Where root may do nothing (a home on NFS that squashes root), the same is done as the user
(`impersonation`). The link is the user's then, so it is ours only while it points where it should.
"""

from __future__ import annotations

import itertools
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from nbpipe.system.rename import exchange, exists, move_to_free

if TYPE_CHECKING:
    from datetime import date

    from nbpipe.publishing.spaces.homes import Account

ROOT = 0
TRIES = 100
"""How often a name that the user takes away is tried again."""


class State(StrEnum):
    """How a home stands, or what became of it."""

    PRESENT = "present"
    """The link is there and right."""
    CREATED = "created"
    REPLACED = "replaced"
    """An old link of root's pointed elsewhere."""
    KEPT = "kept"
    """Created; what the user had there has another name now."""
    REMOVED = "removed"
    MISSING = "missing"
    OLD = "old"
    """A link of root's that points elsewhere."""
    OTHER = "other"
    """Something of the user's is there."""
    SKIPPED = "skipped"
    """Nobody's home."""
    FAILED = "failed"
    """It could not be looked at, or not be changed."""


@dataclass(frozen=True, slots=True)
class Space:
    """A home, and how the mirror appears in it."""

    home: str
    account: Account | None
    """None where it is nobody's, or unreachable."""
    state: State
    detail: str = ""
    name: str = ""
    """What the mirror is called in it."""

    @property
    def user(self) -> str:
        """The owner's name; empty where it is skipped."""
        return self.account.name if self.account else ""


def inspect(home: int, name: str, target: str) -> tuple[State, str]:
    """Return how the link in an open home stands, and what is there instead.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        status = os.lstat(name, dir_fd=home)
    except FileNotFoundError:
        return State.MISSING, ""
    if not stat.S_ISLNK(status.st_mode):
        return State.OTHER, _kind(status.st_mode)
    there = os.readlink(name, dir_fd=home)
    if there == target:
        return State.PRESENT, ""
    return (State.OLD if status.st_uid == ROOT else State.OTHER), f"a link to {there!a}"


def link(home: int, name: str, target: str, today: date) -> tuple[State, str]:
    """Make the link in an open home right; return what became of it.

    Args:
        home: The home's descriptor.
        name: The link's name in it.
        target: Where it points.
        today: For the name of what is kept.

    Raises:
        OSError: The home cannot be written, or the user is faster at every try.
    """
    for _ in range(TRIES):
        state, detail = inspect(home, name, target)
        try:
            if state is State.PRESENT:
                return state, detail
            if state is State.MISSING:
                os.symlink(target, name, dir_fd=home)  # atomic, and never in place of anything
                return State.CREATED, ""
            if state is State.OLD:
                return _replace(home, name, target, today, detail)
            kept = _keep(home, name, target, today)
        except (FileExistsError, FileNotFoundError):
            continue  # the user was at work there: look again
        return State.KEPT, f"{detail}, now {kept}"
    raise OSError(f"{name}: changes faster than it can be looked at")


def would(state: State, name: str, today: date) -> tuple[State, str]:
    """Return what `link` would make of a state."""
    results = {
        State.MISSING: (State.CREATED, ""),
        State.OLD: (State.REPLACED, ""),
        State.OTHER: (State.KEPT, f"would be {_kept_name(name, today, 1)}"),
    }
    return results.get(state, (state, ""))


def unlink(
    home: int, name: str, target: str, today: date, *, maker: int = ROOT
) -> tuple[State, str]:
    """Remove our link from an open home; what is the user's own stays.

    Args:
        home: The home's descriptor.
        name: The link's name in it.
        target: Where ours points.
        today: For the name that it has while it is looked at.
        maker: The uid that made it: root, or the user where root may do nothing there.

    Raises:
        OSError: The home cannot be written.
    """
    state, detail = inspect(home, name, target)
    if state not in {State.PRESENT, State.OLD}:
        return state, detail
    if not _made_by(maker, home, name):
        return State.OTHER, "the user's own link"
    aside = _free(home, name, today)
    move_to_free(name, aside, folder=home)
    if _made_by(maker, home, aside):
        os.unlink(aside, dir_fd=home)
        return State.REMOVED, ""
    return State.KEPT, f"made by the user in this instant, now {aside}"


def _replace(home: int, name: str, target: str, today: date, detail: str) -> tuple[State, str]:
    """Swap an old link of root's out and remove it; what the user slipped in is kept."""
    spare = _spare(home, name, target, today)
    if not exchange(spare, name, folder=home):
        os.rename(spare, name, src_dir_fd=home, dst_dir_fd=home)
        return State.REPLACED, f"was {detail}"
    if _made_by(ROOT, home, spare):
        os.unlink(spare, dir_fd=home)
        return State.REPLACED, f"was {detail}"
    return State.KEPT, f"made by the user in this instant, now {spare}"


def _keep(home: int, name: str, target: str, today: date) -> str:
    """Swap what the user has there for the link; return the name it has now.

    The link is made under the name for what is kept, so that the swap leaves nothing half done.
    """
    spare = _spare(home, name, target, today)
    if exchange(spare, name, folder=home):
        return spare
    os.unlink(spare, dir_fd=home)
    move_to_free(name, spare, folder=home)
    os.symlink(target, name, dir_fd=home)
    return spare


def _spare(home: int, name: str, target: str, today: date) -> str:
    """Make the link under the first free name for what is kept; one left by a crash will do."""
    number = 0
    while True:
        number += 1
        spare = _kept_name(name, today, number)
        try:
            os.symlink(target, spare, dir_fd=home)
        except FileExistsError:
            if not (_made_by(ROOT, home, spare) and os.readlink(spare, dir_fd=home) == target):
                continue
        return spare


def _free(home: int, name: str, today: date) -> str:
    """Return the first name for what is kept that is free now."""
    numbers = itertools.count(1)
    names = (_kept_name(name, today, number) for number in numbers)
    return next(each for each in names if not exists(each, folder=home))


def _made_by(maker: int, home: int, name: str) -> bool:
    """Return whether a name is a link of that uid's."""
    status = os.lstat(name, dir_fd=home)
    return stat.S_ISLNK(status.st_mode) and status.st_uid == maker


def _kept_name(name: str, today: date, number: int) -> str:
    return f"{name}.before-{today.isoformat()}-{number}"


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return word
    return "a device"
