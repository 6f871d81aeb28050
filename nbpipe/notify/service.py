"""Collections that are refused, stale or well again: told once, or while a service runs."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

from nbpipe.notify import delivery, memory, mirror_changes
from nbpipe.notify.events import Occasion
from nbpipe.notify.memory import Memory
from nbpipe.notify.recipients import configured
from nbpipe.publishing.reconcile import Reconciler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbpipe.config.settings import CollectionSettings, NotifySettings, Settings
    from nbpipe.notify.events import Event

_LOOK_SECONDS = 10.0
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def watched(settings: Settings, source: Path) -> Iterator[None]:
    """Tell of the configured collections while a service runs, where that is configured."""
    if not configured(settings):
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(settings, source, stop), name="notify", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(settings.notify.timeout)


def troubles(settings: Settings, source: Path) -> tuple[list[Event], Occasion]:
    """Return how the collections stand now, as if nothing had been told before."""
    return _troubles(settings.collection, settings.notify, Memory()), _occasion(source)


def tell(settings: Settings, source: Path) -> tuple[int, list[str]]:
    """Tell every channel what it was not told yet; return how many events, and what went wrong."""
    every = settings.collection
    return delivery.tell(
        lambda past: _troubles(every, settings.notify, past),
        _occasion(source),
        configured(settings),
        file=memory.default("publishing:" + ":".join(f"{each.root}/{each.name}" for each in every)),
        now=time.time(),
    )


def _watch(settings: Settings, source: Path, stop: threading.Event) -> None:
    logged: set[str] = set()
    while not stop.wait(_LOOK_SECONDS):
        try:
            _, problems = tell(settings, source)
        except Exception as error:  # noqa: BLE001  (a service never ends because of a message)
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            if problem not in logged:  # once, not every ten seconds
                _log.warning("not sent: %s", " ".join(problem.split()))
        logged = set(problems)


def _troubles(
    every: Sequence[CollectionSettings], settings: NotifySettings, past: Memory
) -> list[Event]:
    health = [Reconciler(each).health() for each in every]
    events = mirror_changes.of_collections(health, told=past.open_troubles())
    return delivery.wanted(events, settings.on)


def _occasion(source: Path) -> Occasion:
    host = socket.gethostname()
    return Occasion(about=str(source), host=host, next=f"nbpipe release list --config {source}")
