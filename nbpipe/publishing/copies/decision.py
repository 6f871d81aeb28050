"""What becomes of one file of a copy: a pure function of three states, and its table.

Nothing here reads a file. The states: what was taken last (`base`), what is there now (`mine`),
what the release has (`new`). "B, run" is a notebook that differs from B in what running it leaves;
"R" one that differs from B only in the outputs of the mirror's own run (`outputs = "executed"`),
which counts as B everywhere but in the first line that names it.

    new     base    mine                       what becomes of it
    -       any     absent                     FORGET
    folder  any     a folder                   FORGET: upstream has gone back to it
    folder  B       B, being written, or B run GIVE_WAY: a folder takes its place
    -       B       B, or being written        PRUNE where asked for, else GONE
    -       any     anything                   GONE: deleted upstream; it stays
    N       -       absent                     ADD
    N       -       the same as N              SAME: adopted
    N       -       N, run                     RAN: adopted
    N       -       anything else              BESIDE: a file of the user's own
    N       B       absent                     STAYS_DELETED, or RESTORE where asked for
    N       B       the same as N              SAME
    R       B       B                          RERUN: upstream has only run it; it stays
    N       B       B, or being written        UPDATE
    N       B = N   B, run                     RAN: not worth a word
    N       B       B, run (or being written)  RENEW: it takes the name, the run one moves beside
    N       B       N, run, and not B, run     RAN
    N       any     a folder of taken files    CLEAR: they and the folder give way
    N       B = N   anything else              KEEP: changed by the user only
    N       B       anything else              BESIDE: changed by both
    N       B = N   behind a link or file      KEEP
    N       any     behind a link or file      BLOCKED

"Being written" is what an earlier run, ended by a crash, was about to write there, or to remove.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
class Substance:
    """What of a notebook is somebody's work; see `substance`."""

    digest: str
    """Empty: it cannot be told, the bytes count."""
    kernel: str = ""
    """The kernel that the notebook names."""
    executed: bool = field(default=False, compare=False)
    """Its outputs are those of the mirror's own run."""

    def same_work(self, before: Substance | None) -> bool:
        """Return whether it is the same work as `before`; a kernel chosen where none was is."""
        return (
            before is not None
            and self.digest == before.digest != ""
            and before.kernel in {self.kernel, ""}
        )


UNKNOWABLE = Substance("")


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file or symbolic link, as git names it."""

    blob: str
    """Git's blob id, hexadecimal; of a link: that of its target's text."""
    kind: Kind = Kind.FILE
    executable: bool = False
    substance: Substance | None = field(default=None, compare=False)
    """Of a notebook, where somebody has looked."""

    def same(self, other: Content | None) -> bool:
        """Return whether both are the same kind with the same bytes; the x bit does not count."""
        return other is not None and (self.kind, self.blob) == (other.kind, other.blob)

    def rerun_of(self, before: Content | None) -> bool:
        """Return whether it is the notebook `before` with new outputs of the mirror's own run."""
        return (
            self.substance is not None
            and self.substance.executed
            and before is not None
            and self.executable == before.executable
            and not self.same(before)
            and self.only_run(before)
        )

    def only_run(self, before: Content | None) -> bool:
        """Return whether it is the notebook `before` with nothing but a run, or a save, since."""
        return (
            before is not None
            and self.kind is before.kind is Kind.FILE
            and self.substance is not None
            and self.substance.same_work(before.substance)
        )


@dataclass(frozen=True, slots=True)
class Mine:
    """What is there now."""

    kind: Kind
    content: Content | None = None
    """Of a file or link."""
    ours: bool = False
    """Of a folder: it holds what was taken, unchanged, and nothing else."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the manifest knows about a path."""

    base: Content | None
    """What was taken last, or placed beside; None where the first taking never ended."""
    writing: Content | None = None
    """What a run that has not ended was about to write there, or to remove from there."""

    def is_ours(self, content: Content | None) -> bool:
        """Return whether these bytes were taken, and are not the user's."""
        return content is not None and any(content.same(each) for each in self._both)

    def was_run(self, content: Content | None) -> bool:
        """Return whether it is what was taken, with nothing but a run since."""
        return content is not None and any(content.only_run(each) for each in self._both)

    @property
    def _both(self) -> tuple[Content | None, Content | None]:
        return self.base, self.writing


class Role(StrEnum):
    """Why getlatest put a file beside one of the user's."""

    NEWER = "newer"
    """The release's file, where the user's own has the name."""
    EXECUTED = "executed"
    """The user's run of a notebook, where the release's has the name."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that getlatest put beside another one."""

    of: str
    """The path of that other one."""
    role: Role
    taken: Taken


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
    CLEAR = "clear"
    PRUNE = "prune"
    RAN = "ran"
    RERUN = "rerun"
    RENEW = "renew"
    FORGET = "forget"
    BLOCKED = "blocked"


ABSENT = Mine(Kind.ABSENT)


def decide(  # noqa: PLR0911, PLR0913  (the table's lines, and its columns)
    *,
    taken: Taken | None,
    mine: Mine,
    new: Content | None,
    restore: bool = False,
    folder: bool = False,
    prune: bool = False,
) -> Action:
    """Return what becomes of one path.

    Args:
        taken: What the manifest knows.
        mine: What is there now.
        new: What the release has there; None: no file.
        restore: Bring it back where the user deleted it.
        folder: The release has a folder of that name.
        prune: Remove what the release has no more and the user has not changed.
    """
    taken = taken or Taken(None)
    if new is None:
        return _no_longer(mine, taken, folder=folder, prune=prune)
    if mine.kind is Kind.ABSENT:
        back = Action.RESTORE if restore else Action.STAYS_DELETED
        return back if taken.base else Action.ADD
    rerun = new.rerun_of(taken.base)
    unchanged = rerun or new.same(taken.base)
    if mine.kind is Kind.BLOCKED:
        return Action.KEEP if unchanged else Action.BLOCKED
    if new.same(mine.content):
        return Action.SAME
    if rerun and mine.content and mine.content.same(taken.base):
        return Action.RERUN
    if taken.is_ours(mine.content):
        return Action.UPDATE
    if mine.kind is Kind.FOLDER and mine.ours:
        return Action.CLEAR
    if mine.content and mine.content.only_run(new):
        again = mine.content.only_run(taken.base) and not unchanged
        return Action.RENEW if again else Action.RAN
    if taken.was_run(mine.content):
        return Action.RENEW
    return Action.KEEP if unchanged else Action.BESIDE


def _no_longer(mine: Mine, taken: Taken, *, folder: bool, prune: bool) -> Action:
    """Return what becomes of a path that the release has no file for."""
    if mine.kind is Kind.ABSENT or (folder and mine.kind is Kind.FOLDER):
        return Action.FORGET
    unchanged = taken.is_ours(mine.content)
    if folder and (unchanged or taken.was_run(mine.content)):
        return Action.GIVE_WAY
    return Action.PRUNE if prune and unchanged and not folder else Action.GONE


def executable(*, base: Content | None, mine: Content | None, new: Content) -> bool:
    """Return the x bit that a file gets: the release's, unless only the user changed it."""
    if base is None or mine is None or mine.executable == base.executable:
        return new.executable
    return mine.executable


def beside(name: str, mark: str, number: int = 1) -> str:
    """Return the name under which a file lands beside another: with a mark, and a number from 2.

    Cut where the whole would be longer than the 255 bytes that file systems take.
    """
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    tail = f"__{mark}" + (f"-{number}" if number > 1 else "") + dot + suffix
    room = max(1, 255 - len(tail.encode(errors="surrogateescape")))
    cut = stem.encode(errors="surrogateescape")[:room].decode(errors="ignore")
    return (stem if len(stem.encode(errors="surrogateescape")) <= room else cut) + tail
