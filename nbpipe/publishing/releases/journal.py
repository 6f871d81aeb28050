"""What was published, when and why: one JSON line per event, only ever appended.

The journal is a record for people and for the age of a release, never the source of what is
current: that is the mirror's `current` link alone. No secret enters it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from nbpipe.system import files

if TYPE_CHECKING:
    from pathlib import Path


class Trigger(StrEnum):
    """Why somebody looks at the origin."""

    STARTUP = "startup"
    BEACON = "beacon"
    POLL = "poll"
    RETRY = "retry"
    MANUAL = "manual"
    ROLLBACK = "rollback"
    UNPIN = "unpin"


class Event(StrEnum):
    """What happened to the mirror."""

    PUBLISHED = "published"
    ROLLED_BACK = "rolled-back"
    UNPINNED = "unpinned"
    REFUSED = "refused"
    BRANCH_GONE = "branch-gone"
    REPAIRED = "repaired"
    REMOVED = "removed"
    RENAMED = "renamed"
    """The repository has another name at the forge than in the configuration."""
    REMADE = "remade"
    """The same commit, under other settings."""
    LOSS_ACCEPTED = "loss-accepted"
    """A person wants a commit published that `max-loss` refuses."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line."""

    time: datetime
    """Aware, UTC."""
    event: Event
    commit: str
    previous: str | None = None
    """What was current before."""
    trigger: Trigger
    forced: bool = False
    """The branch was rewritten: the commit before is not an ancestor."""
    delivery: str | None = None
    """The id of the beacon that caused it."""
    reason: str = ""
    """Why it was refused, rolled back, repaired."""
    warnings: tuple[str, ...] = ()
    seconds: float | None = None
    """From the start of the fetch until the release was visible."""
    executed: int = 0
    """Notebooks that are published with the outputs of the gate's run."""


class Journal:
    """The file, which need not exist."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def append(self, entry: Entry) -> None:
        """Write one line and have it on the disk; a line torn by a crash is ended first."""
        files.append_line(self.file, msgspec.json.encode(entry), mode=0o600)

    def entries(self) -> list[Entry]:
        """Return every whole line, the oldest first; torn ones are passed over."""
        try:
            lines = self.file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := _entry(line)) is not None]

    def last(self, *events: Event) -> Entry | None:
        """Return the newest entry of one of these kinds (of any, where none is named)."""
        for entry in reversed(self.entries()):
            if not events or entry.event in events:
                return entry
        return None


def _entry(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError:
        return None


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the epoch, in UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC)
