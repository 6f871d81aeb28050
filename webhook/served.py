"""What the service is wired from: a collection, its secrets, and the worker that keeps it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nbpipe.errors import NbpipeError
from nbpipe.publishing.health import Health, State
from webhook.receiving.forges import GITHUB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbpipe.publishing.releases.journal import Entry, Trigger
    from nbpipe.publishing.releases.mirror import Mirror, Pin
    from webhook.pages.commits import Described
    from webhook.receiving.decision import Followed
    from webhook.receiving.forges import Forge
    from webhook.receiving.secret import Secrets


class Worker(Protocol):
    """As much of a collection's worker as HTTP needs; it may live in another process."""

    @property
    def mirror(self) -> Mirror:
        """What it keeps up; only read here."""

    def wake(self, trigger: Trigger, *, delivery: str | None = None) -> None:
        """Ask for a look at the origin and return at once."""

    def health(self) -> Health:
        """Return how the collection is now.

        Raises:
            NbpipeError: Something in the mirror is not as it should be.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One collection behind the door."""

    followed: Followed
    secrets: Secrets
    worker: Worker
    forge: Forge = GITHUB
    place: str = ""
    """The origin's address, `host/org/repo`, for links to the forge."""
    describe: Callable[[Iterable[str]], dict[str, Described]] = lambda _: {}
    """What git says of commits."""

    @property
    def name(self) -> str:
        """The collection's name, as in the URL."""
        return self.followed.name

    def releases(self) -> list[str]:
        """Return the commits of the releases on disk; none where they cannot be read."""
        try:
            return self.worker.mirror.releases()
        except OSError:
            return []

    def journal(self) -> list[Entry]:
        """Return what happened to the mirror; nothing where it cannot be read."""
        try:
            return self.worker.mirror.journal.entries()
        except OSError:
            return []

    def pinned(self) -> Pin | None:
        """Return what holds the collection back; None where nothing does or it cannot be read."""
        try:
            return self.worker.mirror.pinned()
        except (NbpipeError, OSError):
            return None

    def health(self) -> Health:
        """Return how the collection is now; a mirror that cannot be read is failing."""
        try:
            return self.worker.health()
        except NbpipeError as error:
            return _unreadable(self.name, str(error))
        except OSError as error:
            return _unreadable(self.name, f"the mirror cannot be read: {error.strerror}")


def _unreadable(name: str, error: str) -> Health:
    return Health(
        collection=name,
        state=State.FAILING,
        current=None,
        wanted=None,
        pinned=None,
        since=None,
        error=error,
        fetched=None,
        attempt=None,
        failures=0,
    )
