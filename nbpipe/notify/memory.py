"""What was told, on which channel, and what still waits to be: one file, for one process at a time.

A file that cannot be read is begun anew: then something may be told twice, and nothing is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nbpipe.notify.events import Event, Occasion  # noqa: TC001  (msgspec reads the annotations)
from nbpipe.system import files, locks, private

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEPT = 400 * 86_400.0
"""Seconds that a key is remembered."""
WAITING = 7 * 86_400.0
"""Seconds that something waits to be told."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be sent."""

    events: tuple[Event, ...]
    occasion: Occasion
    at: float


class Memory(msgspec.Struct, kw_only=True):
    """What is kept."""

    told: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    """Channel -> key -> when, in seconds since the epoch."""
    waiting: dict[str, list[Waiting]] = msgspec.field(default_factory=dict)
    """Channel -> messages, the oldest first."""

    def new(self, channel: str, events: Sequence[Event]) -> list[Event]:
        """Return the events that this channel was neither told nor has waiting."""
        known = set(self.told.get(channel, ()))
        known |= {each.key for one in self.waiting.get(channel, ()) for each in one.events}
        return [each for each in events if each.key not in known]

    def sent(self, channel: str, events: Sequence[Event], now: float) -> None:
        """Remember that they were told; a trouble and its end make each other new again."""
        told = self.told.setdefault(channel, {})
        for each in events:
            for key in [key for key in told if key.startswith(_opposite(each))]:
                del told[key]
            told[each.key] = now

    def open_troubles(self) -> set[str]:
        """Return the keys of what was told of collections and whose end was not."""
        return {key for told in self.told.values() for key in told if key.startswith(_TROUBLES)}

    def forget(self, now: float) -> None:
        """Forget what is old."""
        for told in self.told.values():
            for key in [key for key, at in told.items() if now - at > KEPT]:
                del told[key]
        for channel, messages in self.waiting.items():
            self.waiting[channel] = [each for each in messages if now - each.at <= WAITING]


_TROUBLES = ("refused:", "stale:")


def _opposite(event: Event) -> tuple[str, ...]:
    """Return how the keys begin that an event takes back."""
    if event.kind == "published":
        return tuple(f"{kind}{event.subject}:" for kind in _TROUBLES)
    return (f"ok:{event.subject}:",) if event.key.startswith(_TROUBLES) else ()


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Memory]:
    """Give the memory to one process at a time, and write it when that is done.

    Raises:
        OSError: Its folder cannot be written.
    """
    private.make_folder(file.parent)
    lock_file = file.with_suffix(".lock")
    with open(lock_file, "w", opener=private.opener) as lock:
        locks.take(lock.fileno(), wait=True)
        try:
            memory = msgspec.json.decode(file.read_bytes(), type=Memory)
        except (OSError, msgspec.DecodeError):
            memory = Memory()
        try:
            yield memory
        finally:
            files.replace(file, msgspec.json.encode(memory), mode=private.mode(file))


def default(key: str) -> Path:
    """Return the file of a collection, by its identity, below the user's state directory."""
    import platformdirs  # noqa: PLC0415  (slow)

    name = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return Path(platformdirs.user_state_path("nbpipe")) / "notify" / f"{name}.json"
