"""What a mirror looked like before a gate ran, so that nothing which the gate did goes unseen.

It is on the disk while the gate runs: a service that is killed meanwhile looks at its next start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.releases import verify
from nbpipe.system import files, private

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.publishing.releases.mirror import Mirror


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Fingerprints of everything that a gate must leave alone."""

    current: str | None
    """Where the link led."""
    releases: dict[str, str]
    """By commit."""
    store: str
    candidate: str


class Witness:
    """Looks at a mirror, and looks again.

    Args:
        mirror: Whose releases and link.
        store: The content that its releases share.
    """

    def __init__(self, mirror: Mirror, store: Path) -> None:
        self._mirror = mirror
        self._store = store
        self._file = mirror.state / "gate.json"

    def look(self, candidate: Path | None = None) -> Seen:
        """Return what is there now."""
        mirror = self._mirror
        try:
            current = mirror.current()
        except MirrorError:  # a gate put something else in its place
            current = None
        return Seen(
            current=current,
            releases={each: verify.fingerprint(mirror.release(each)) for each in mirror.releases()},
            store=verify.fingerprint(self._store),
            candidate=verify.fingerprint(candidate) if candidate else "",
        )

    def remember(self, seen: Seen) -> None:
        """Keep it for after a crash."""
        files.replace(self._file, msgspec.json.encode(seen), mode=private.FILE, durable=True)

    def remembered(self) -> Seen | None:
        """Return what a gate's end was never compared with; mostly None."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Seen)
        except (OSError, msgspec.DecodeError):
            return None

    def forget(self) -> None:
        """Everything is compared."""
        self._file.unlink(missing_ok=True)
