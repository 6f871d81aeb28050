"""What one run changed, and to whom it is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nbpipe import history
from nbpipe.history import identity
from nbpipe.notify import changes, delivery, memory
from nbpipe.notify.events import Occasion
from nbpipe.notify.recipients import configured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.config import Config
    from nbpipe.notify.events import Event


def changed(config: Config, name: str) -> tuple[list[Event], Occasion]:
    """Return what a run changed, as far as `[notify] on` asks for it.

    Raises:
        HistoryError: There is no such run, or the history cannot be read.
    """
    settings = config.settings
    with history.open_history(settings.history, config.root) as past:
        run = past.run(name)
        events = changes.of_run(
            past, run, still_after=settings.notify.still_after, flaky=settings.test.flaky
        )
    occasion = Occasion(
        about=run.root, host=run.host, commit=run.commit, next=f"nbpipe show {run.id}"
    )
    return delivery.wanted(events, settings.notify.on), occasion


def tell(config: Config, events: Sequence[Event], occasion: Occasion) -> tuple[int, list[str]]:
    """Tell every channel what it was not told yet; return how many events, and what went wrong."""
    key = identity.keys(config.root, name=config.settings.history.collection)[0]
    return delivery.tell(
        lambda _: events,
        occasion,
        configured(config.settings),
        file=memory.default(key),
        now=time.time(),
    )
