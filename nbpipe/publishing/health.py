"""Whether a collection is kept up, readable by any process: the worker writes, pages read.

`ok`: the origin was reached lately and what it has is published.
`pinned`: nothing is wrong, and somebody holds a release: new commits are not published.
`stale`: the origin is not reached, for longer than the settings allow.
`failing`: it needs a person: a refused commit, a branch that is gone, a full disk.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from nbpipe.system import files, private

if TYPE_CHECKING:
    from nbpipe.config.settings import CollectionSettings
    from nbpipe.publishing.releases.mirror import Mirror


class State(StrEnum):
    """In one word, the best first."""

    OK = "ok"
    PINNED = "pinned"
    STALE = "stale"
    FAILING = "failing"

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong: everything is published, or what a person holds is."""
        return self in {State.OK, State.PINNED}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker knows, kept in a file; times are seconds since the epoch."""

    attempt: float = 0.0
    """When it last tried."""
    fetched: float | None = None
    """When the origin last answered."""
    wanted: str | None = None
    """The branch's head, as last seen."""
    error: str | None = None
    """Why the last attempt failed; no secrets."""
    unreachable: bool = False
    """The last attempt failed because of the origin or the way to it."""
    since: float | None = None
    """When the present row of failures began."""
    failures: int = 0
    """How many in that row."""
    refused: str | None = None
    """The commit that will not be tried again."""
    reason: str = ""
    """Why it was refused."""
    rules: str = ""
    """Fingerprint of the settings it was refused under; other settings, another try."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, ready to be JSON."""

    collection: str
    state: State
    current: str | None
    wanted: str | None
    pinned: str | None
    since: float | None
    """When the present trouble began, seconds since the epoch; None where there is none."""
    error: str | None
    fetched: float | None
    """When the origin last answered, seconds since the epoch."""
    attempt: float | None
    failures: int
    note: str = ""
    """What the operator should know though nothing is wrong, such as a new name at the forge."""


def judge(  # noqa: PLR0913  (what is told of a collection comes from several places)
    record: Record,
    *,
    settings: CollectionSettings,
    current: str | None,
    pinned: str | None,
    now: float,
    note: str = "",
) -> Health:
    """Return the health at `now` (seconds since the epoch) of what the worker has recorded."""
    silent = now - record.fetched if record.fetched is not None else None
    if silent is not None and record.unreachable:
        # A clock that was ahead when the origin last answered must not hide that for years.
        silent = abs(silent)
    patience = max(settings.stale_after, 3 * settings.poll)
    if silent is not None and silent < -patience:
        silent = None  # written while the clock was ahead: it says nothing of how long ago
    state, since = State.OK, record.since
    if record.error and not record.unreachable:
        state = State.FAILING
    elif silent is None or (record.unreachable and silent > settings.stale_after):
        state = State.STALE
    elif settings.poll and silent > patience:
        state, since = State.STALE, record.fetched
    elif pinned:
        state = State.PINNED
    return Health(
        collection=settings.name,
        state=state,
        current=current,
        wanted=record.wanted,
        pinned=pinned,
        since=since,
        error=record.error,
        fetched=record.fetched,
        attempt=record.attempt or None,
        failures=record.failures,
        note=note,
    )


def read(mirror: Mirror) -> Record:
    """Return what the worker wrote last; an empty record where there is nothing readable."""
    try:
        return msgspec.json.decode((mirror.state / "health.json").read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return Record()


def write(mirror: Mirror, record: Record) -> None:
    """Keep what the worker knows, for other processes."""
    file = mirror.state / "health.json"
    files.replace(file, msgspec.json.encode(record), mode=private.FILE)
