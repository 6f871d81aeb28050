"""What the service is wired from: a collection, its secrets, and the worker that keeps it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nbpipe.publishing.health import Health
    from nbpipe.publishing.journal import Trigger
    from nbpipe.publishing.mirror import Mirror
    from webhook.decision import Followed
    from webhook.secret import Secrets


class Worker(Protocol):
    """As much of a collection's worker as HTTP needs; it may live in another process."""

    @property
    def mirror(self) -> Mirror:
        """What it keeps up; only read here."""

    def wake(self, trigger: Trigger, *, delivery: str | None = None) -> None:
        """Ask for a look at the origin and return at once."""

    def health(self) -> Health:
        """Return how the collection is now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One collection behind the door."""

    followed: Followed
    secrets: Secrets
    worker: Worker

    @property
    def name(self) -> str:
        """The collection's name, as in the URL."""
        return self.followed.name
