"""What has changed with the collections that are published: a refusal, silence, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.notify.events import Event
from nbpipe.publishing.health import State
from nbpipe.system.text import first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from nbpipe.publishing.health import Health

_DETAIL = 500
"""Characters: a gate's own words stand at the end."""


def of_collections(every: Iterable[Health], *, told: Collection[str]) -> list[Event]:
    """Return the troubles that there are, and the end of each that was told.

    Args:
        every: How the collections stand now.
        told: Keys of the troubles that were told and whose end was not.
    """
    events = []
    for health in every:
        name = health.collection
        if health.attempt is None:  # nobody has tried yet: a service that has just begun
            continue
        if health.state.sound:
            if ended := sorted(key for key in told if key.split(":", 2)[1] == name):
                key = f"ok:{name}:{' '.join(ended)}"
                detail = health.current or ""
                events.append(Event(kind="published", subject=name, detail=detail, key=key))
            continue
        error = health.error or "its origin has not been reached"
        kind = "stale" if health.state is State.STALE else "refused"
        which = health.wanted if kind == "refused" else f"{health.since or health.fetched or 0:.0f}"
        events.append(
            Event(
                kind="stale" if kind == "stale" else "refused",
                subject=name,
                detail=first_line(" ".join(error.split()), _DETAIL),
                key=f"{kind}:{name}:{which}",
            )
        )
    return events
