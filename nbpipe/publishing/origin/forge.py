"""Which repository at the forge a collection follows, beyond its name: the id that it keeps there.

A beacon names its repository, and names change: a repository that is renamed or given to another
owner keeps its id. It is learned from verified beacons that carried the configured name, and kept
beside the mirror. It only decides which beacons are heard: what is published comes from the
configured origin, in any case.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import msgspec

from nbpipe.publishing.releases.journal import Entry, Event, Trigger, at
from nbpipe.system import files, private

if TYPE_CHECKING:
    from nbpipe.publishing.releases.mirror import Mirror


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned; a file of the mirror's state."""

    configured: str
    """`ORG/REPO` in the configuration when it was learned; another one there: it counts no more."""
    id: str
    """The forge's own, for ever."""
    now: str
    """What the repository was called in the last beacon."""

    @property
    def renamed(self) -> bool:
        """Whether it has another name than the configuration says."""
        return self.now.casefold() != self.configured.casefold()


def read(mirror: Mirror, configured: str) -> Known | None:
    """Return what is known of the repository with that name in the configuration."""
    try:
        known = msgspec.json.decode((mirror.state / "forge.json").read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError):
        return None
    return known if known.configured.casefold() == configured.casefold() else None


def learn(mirror: Mirror, known: Known, commit: str, *, now: float) -> str:
    """Keep what a verified beacon says; return what a person should hear of it, if anything.

    Args:
        mirror: Where it is kept; a new name goes into its journal, too.
        known: What the beacon says.
        commit: The one that it is about.
        now: Seconds since the epoch.

    Raises:
        OSError: The mirror's state cannot be written.
    """
    before = read(mirror, known.configured)
    if before == known:
        return ""
    mirror.prepare()
    # Two beacons may be handled at once, by threads of one service and by a second process.
    fresh = mirror.state / f"forge.json.{os.getpid()}.{threading.get_ident()}"
    try:
        data = msgspec.json.encode(known)
        files.replace(mirror.state / "forge.json", data, mode=private.FILE, fresh=fresh)
    finally:
        fresh.unlink(missing_ok=True)
    if known.renamed:
        told = advice(known)
        mirror.journal.append(
            Entry(
                time=at(now),
                event=Event.RENAMED,
                commit=commit,
                trigger=Trigger.BEACON,
                reason=told,
            )
        )
        return told
    if before is not None and before.id != known.id:
        return (
            f"the repository {known.now} has a new id: it was created again, or "
            "another owner has the name now; check `origin`"
        )
    return ""


def advice(known: Known) -> str:
    """Return what the operator should do about a repository that was renamed."""
    return (
        f"the repository {known.configured} is called {known.now} now: "
        "set `origin` (and `repository`) to that"
    )
