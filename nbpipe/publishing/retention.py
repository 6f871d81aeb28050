"""Which releases may go: those that are neither among the newest nor young. Values only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from nbpipe.publishing.journal import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from nbpipe.publishing.journal import Entry
    from nbpipe.settings import Keep


def last_current(entries: Iterable[Entry]) -> dict[str, datetime]:
    """Return when each release was last seen to be current.

    A release's age counts from when it was superseded: a session that was opened on its last
    day still holds it.
    """
    last: dict[str, datetime] = {}
    for entry in entries:
        if entry.event in {Event.PUBLISHED, Event.ROLLED_BACK}:
            last[entry.commit] = entry.time
            if entry.previous:
                last[entry.previous] = entry.time
    return last


def expired(
    last: Mapping[str, datetime], *, keep: Keep, spared: Iterable[str], now: datetime
) -> list[str]:
    """Return the releases to remove, the oldest first.

    Args:
        last: Every release on disk, with when it was last current.
        keep: How many and how long; only what is beyond both goes.
        spared: Never removed: the current one, a pinned one.
        now: The time it is.
    """
    newest_first = sorted(last, key=lambda commit: (last[commit], commit), reverse=True)
    spared = set(spared)
    ordered = [commit for commit in newest_first if commit in spared]
    ordered += [commit for commit in newest_first if commit not in spared]
    limit = now - timedelta(days=keep.days)
    old = [c for c in ordered[keep.releases :] if last[c] < limit and c not in spared]
    return old[::-1]
