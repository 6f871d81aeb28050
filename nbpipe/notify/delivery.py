"""Events to every channel, each event once; what is not taken waits for the next time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.errors import NbpipeError
from nbpipe.notify import memory as memories
from nbpipe.notify.memory import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nbpipe.config.notify import Occasion as Wanted
    from nbpipe.notify.channels import Channel
    from nbpipe.notify.events import Event, Occasion
    from nbpipe.notify.memory import Memory

_NEVER_OFF = {"published", "test"}


def wanted(events: Sequence[Event], on: Sequence[Wanted]) -> list[Event]:
    """Return the events that the settings ask for."""
    return [each for each in events if each.kind in on or each.kind in _NEVER_OFF]


def tell(
    find: Callable[[Memory], Sequence[Event]],
    occasion: Occasion,
    channels: Sequence[Channel],
    *,
    file: Path,
    now: float,
) -> tuple[int, list[str]]:
    """Tell every channel what it was not told yet; return how many events, and what went wrong.

    Args:
        find: Returns what has happened.
        occasion: What the events have in common.
        channels: The ways to people.
        file: The memory's.
        now: Seconds since the epoch.
    """
    problems: list[str] = []
    told: set[str] = set()
    try:
        with memories.opened(file) as memory:
            memory.forget(now)
            events = find(memory)
            for channel in channels:
                new = memory.new(channel.name, events)
                if new:
                    message = Waiting(events=tuple(new), occasion=occasion, at=now)
                    memory.waiting.setdefault(channel.name, []).append(message)
                told |= _deliver(channel, memory, now, problems)
    except OSError as error:
        problems.append(f"{file}: cannot be written: {error.strerror}; nothing was sent")
    return len(told), problems


def _deliver(channel: Channel, memory: Memory, now: float, problems: list[str]) -> set[str]:
    """Send what waits, the oldest first, up to the first that is not taken."""
    told: set[str] = set()
    messages = memory.waiting.pop(channel.name, [])
    while messages:
        message = messages[0]
        try:
            channel.send(message.events, message.occasion)
        except NbpipeError as error:
            problems.append(str(error))
            break
        except Exception as error:  # noqa: BLE001  (one channel never hinders a run, or another)
            problems.append(f"{channel.name}: a mistake, please report it: {type(error).__name__}")
            break
        memory.sent(channel.name, message.events, now)
        told |= {each.key for each in message.events}
        del messages[0]
    if messages:
        memory.waiting[channel.name] = messages
    return told
