"""What becomes of one file of a copy: a pure function of three states, and its table.

Nothing here reads a file. The states: what was taken last (`base`), what is there now (`mine`),
what the release has (`new`).

    new     base    mine                       what becomes of it
    -       any     absent                     FORGET
    folder  B       the same as B              GIVE_WAY: a folder takes its place
    -       any     anything                   GONE: deleted upstream; it stays
    N       -       absent                     ADD
    N       -       the same as N              SAME: adopted
    N       -       anything else              BESIDE: a file of the user's own
    N       B       absent                     STAYS_DELETED, or RESTORE where asked for
    N       B       the same as N              SAME
    N       B       B, or being written        UPDATE
    N       B = N   anything else              KEEP: changed by the user only
    N       B       anything else              BESIDE: changed by both
    N       B = N   behind a link or file      KEEP
    N       any     behind a link or file      BLOCKED

"Being written" is what an earlier run, ended by a crash, was about to write there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    LINK = "link"
    FOLDER = "folder"
    OTHER = "other"
    """A FIFO, a socket, a device, or what cannot be read."""
    ABSENT = "absent"
    BLOCKED = "blocked"
    """A part of its path is no folder of the copy: a link, a file."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file or symbolic link, as git names it."""

    blob: str
    """Git's blob id, hexadecimal; of a link: that of its target's text."""
    kind: Kind = Kind.FILE
    executable: bool = False

    def same(self, other: Content | None) -> bool:
        """Return whether both are the same kind with the same bytes; the x bit does not count."""
        return other is not None and (self.kind, self.blob) == (other.kind, other.blob)


@dataclass(frozen=True, slots=True)
class Mine:
    """What is there now."""

    kind: Kind
    content: Content | None = None
    """Of a file or link."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the manifest knows about a path."""

    base: Content | None
    """What was taken last, or placed beside; None where the first taking never ended."""
    writing: Content | None = None
    """What a run that has not ended was about to write there."""


class Action(StrEnum):
    """What becomes of one path."""

    ADD = "add"
    UPDATE = "update"
    SAME = "same"
    KEEP = "keep"
    BESIDE = "beside"
    STAYS_DELETED = "stays-deleted"
    RESTORE = "restore"
    GONE = "gone"
    GIVE_WAY = "give-way"
    FORGET = "forget"
    BLOCKED = "blocked"


ABSENT = Mine(Kind.ABSENT)


def decide(
    *,
    taken: Taken | None,
    mine: Mine,
    new: Content | None,
    restore: bool = False,
    folder: bool = False,
) -> Action:
    """Return what becomes of one path.

    Args:
        taken: What the manifest knows.
        mine: What is there now.
        new: What the release has there; None: no file.
        restore: Bring it back where the user deleted it.
        folder: The release has a folder of that name.
    """
    base = taken.base if taken else None
    if new is None:
        return _no_longer(mine, base, folder=folder)
    if mine.kind is Kind.ABSENT:
        back = Action.RESTORE if restore else Action.STAYS_DELETED
        return back if base else Action.ADD
    if mine.kind is Kind.BLOCKED:
        return Action.KEEP if new.same(base) else Action.BLOCKED
    if new.same(mine.content):
        return Action.SAME
    if taken and mine.content and any(mine.content.same(c) for c in (base, taken.writing)):
        return Action.UPDATE
    return Action.KEEP if new.same(base) else Action.BESIDE


def _no_longer(mine: Mine, base: Content | None, *, folder: bool) -> Action:
    """Return what becomes of a path that the release has no file for."""
    if mine.kind is Kind.ABSENT:
        return Action.FORGET
    unchanged = base is not None and base.same(mine.content)
    return Action.GIVE_WAY if folder and unchanged else Action.GONE


def executable(*, base: Content | None, mine: Content | None, new: Content) -> bool:
    """Return the x bit that a file gets: the release's, unless only the user changed it."""
    if base is None or mine is None or mine.executable == base.executable:
        return new.executable
    return mine.executable


def beside(name: str, commit: str, number: int = 1) -> str:
    """Return the name under which a release's file lands beside the user's own.

    Cut where the whole would be longer than the 255 bytes that file systems take.
    """
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    tail = f"__{commit[:7]}" + (f"-{number}" if number > 1 else "") + dot + suffix
    room = max(1, 255 - len(tail.encode(errors="surrogateescape")))
    cut = stem.encode(errors="surrogateescape")[:room].decode(errors="ignore")
    return (stem if len(stem.encode(errors="surrogateescape")) <= room else cut) + tail
