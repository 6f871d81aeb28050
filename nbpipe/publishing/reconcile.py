"""Make *actual* (the mirror's current release) what is *wanted* (the branch's head).

Level-triggered: a beacon, the start, a poll and a person all cause the same, and a lost, doubled
or late one heals itself. No HTTP here, and no printing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from nbpipe.publishing.journal import Trigger
from nbpipe.publishing.mirror import Mirror

if TYPE_CHECKING:
    import threading

    from nbpipe.config import CollectionSettings
    from nbpipe.publishing.health import Health


class Result(StrEnum):
    """How one reconciliation ended."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    PINNED = "pinned"
    """The head moved; a rollback holds."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one reconciliation did."""

    result: Result
    current: str | None
    """The release that readers see now."""
    previous: str | None = None
    wanted: str | None = None
    forced: bool = False
    error: str | None = None
    """For people, without secrets; where the result is refused, unreachable or failed."""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


class Reconciler:
    """The worker of one collection; any number of processes may have one, a lock orders them."""

    def __init__(self, settings: CollectionSettings) -> None:
        self.settings = settings
        self.mirror = Mirror.of(settings)

    def wake(self, trigger: Trigger, *, delivery: str | None = None) -> None:
        """Ask for a reconciliation and return at once; bursts become one. Any thread may call."""
        raise NotImplementedError

    def reconcile_once(
        self, trigger: Trigger = Trigger.MANUAL, *, delivery: str | None = None
    ) -> Outcome:
        """Reconcile now, in this thread; what goes wrong is in the outcome, not raised."""
        raise NotImplementedError

    def run_forever(self, stop: threading.Event) -> None:
        """Reconcile at the start, for every wake and poll, and after failures, until `stop`."""
        raise NotImplementedError

    def health(self) -> Health:
        """Return how it is now; also true where another process is the worker."""
        raise NotImplementedError


def signal(mirror: Mirror, delivery: str) -> None:
    """Wake the worker of that mirror in another process (`nbpipe publish --watch`)."""
    raise NotImplementedError
