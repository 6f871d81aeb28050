"""Which releases may go: those that are neither among the newest nor young.

A release is as old as the time that this machine has really spent since it was last current. The
clock on the wall does not say that: one that is two years ahead once (a machine before NTP), or
goes back, must cost no release. So time is what the system counts since its start, and what
passed while it was off counts for little. Values only, but for `moment`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nbpipe.publishing.releases.journal import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from nbpipe.config.settings import Keep
    from nbpipe.publishing.releases.journal import Entry

_DAY = 86_400.0
_UPTIME = Path("/proc/uptime")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Moment:
    """What the machine knows of the time."""

    boot: str
    """Another one after each start of the system; empty where that is not known."""
    uptime: float
    """Seconds since then, also of sleep."""
    wall: float
    """Seconds since the epoch, as far as the clock can be trusted."""


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """When each release was last seen to be current, in seconds that really passed."""

    boot: str
    uptime: float
    wall: float
    elapsed: float = 0.0
    """Seconds since the first look, whatever the clock on the wall did."""
    current: str | None = None
    last: dict[str, float] = {}
    """By commit, on the scale of `elapsed`."""


def moment() -> Moment:
    """Return what the time is; proc(5), `uptime` and `boot_id`."""
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        uptime = float(_UPTIME.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):  # no Linux
        boot, uptime = "", 0.0
    return Moment(boot, uptime, time.time())


def look(
    before: Ages | None, now: Moment, *, releases: Iterable[str], current: str | None, keep: Keep
) -> Ages:
    """Return the ages at this moment.

    Args:
        before: The last look; None where there was none: then every release is as good as new.
        now: The time it is.
        releases: What is on disk.
        current: Which of them readers see.
        keep: How long releases are kept.
    """
    if before is None:
        before = Ages(boot=now.boot, uptime=now.uptime, wall=now.wall)
    elapsed = before.elapsed + _passed(before, now, most=min(_DAY, keep.days * _DAY / 2))
    # What was current at the last look was so until some moment after that.
    fresh = {current, before.current if before.current != current else None}
    return Ages(
        boot=now.boot,
        uptime=now.uptime,
        wall=now.wall,
        elapsed=elapsed,
        current=current,
        last={
            commit: elapsed if commit in fresh else before.last.get(commit, elapsed)
            for commit in releases
        },
    )


def _passed(before: Ages, now: Moment, *, most: float) -> float:
    """Return how many seconds passed, at most `most` of them on the word of the wall's clock."""
    if now.boot and now.boot == before.boot and now.uptime >= before.uptime:
        return now.uptime - before.uptime
    off = now.wall - before.wall - now.uptime
    return now.uptime + min(max(off, 0.0), most)


def last_current(entries: Iterable[Entry]) -> dict[str, datetime]:
    """Return when each release was last seen to be current, in the order of the journal.

    A release's age counts from when it was superseded: a session that was opened on its last
    day still holds it. The times are those of the clock on the wall, for people; the order is
    true whatever that did.
    """
    last: dict[str, datetime] = {}
    for entry in entries:
        if entry.event in {Event.PUBLISHED, Event.ROLLED_BACK}:
            for commit in (entry.previous, entry.commit):
                if commit:
                    last.pop(commit, None)
                    last[commit] = entry.time
    return last


def expired(
    last: Mapping[str, datetime], *, keep: Keep, spared: Iterable[str], now: datetime
) -> list[str]:
    """Return the releases to remove, the oldest first.

    Args:
        last: Every release on disk, with when it was last current; the newest first, where two
            have the same time.
        keep: How many and how long; only what is beyond both goes.
        spared: Never removed: the current one, a pinned one.
        now: The time it is.
    """
    newest_first = sorted(last, key=lambda commit: last[commit], reverse=True)
    spared = set(spared)
    ordered = [commit for commit in newest_first if commit in spared]
    ordered += [commit for commit in newest_first if commit not in spared]
    limit = now - timedelta(days=keep.days)
    beyond = [commit for commit in ordered[keep.releases :] if commit not in spared]
    return [commit for commit in beyond if last[commit] < limit or not keep.days][::-1]
