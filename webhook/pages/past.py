"""Where the pages about results and reference runs take what they show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.config.settings import HistorySettings
from nbpipe.history import Archive
from nbpipe.history.identity import address
from nbpipe.reference.store import location
from webhook.pages.rendered import WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.config.settings import Settings
    from nbpipe.reference.comparison import Rules

_NOWHERE = Path("/nonexistent")


def _nothing() -> Archive:
    return Archive(HistorySettings(url="sqlite:///history.sqlite"), _NOWHERE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What there is; by default nothing."""

    archive: Archive = field(default_factory=_nothing)
    origins: Mapping[str, str] = field(default_factory=dict)
    """Address of an origin (`host/org/repo`) -> name of the collection published from it."""
    copies: tuple[Path, ...] = ()
    """Folders below which executed copies may be read."""
    rendered: Path | None = None
    """Folder for the pages made of them; None: copies are not shown."""
    waiting: int = WAITING
    """Requests that may wait for such a page at the same time."""
    store: Path = _NOWHERE
    """Of the reference runs."""
    rules: Callable[[str], Rules | None] = lambda _: None
    """The configured rules of a reference."""


def configured(settings: Settings, folder: Path, environ: Mapping[str, str]) -> Past:
    """Return what the configuration names.

    Args:
        settings: The whole file.
        folder: The one that the file lies in; relative paths begin there.
        environ: Where the store may be named.
    """
    import platformdirs  # noqa: PLC0415

    def rules(name: str) -> Rules | None:
        from nbpipe.reference.comparison import Rules  # noqa: PLC0415  (slow)

        found = settings.reference.get(name)
        return None if found is None else Rules(found)

    own = Path(platformdirs.user_state_path("nbpipe"))
    return Past(
        archive=Archive(settings.history, folder),
        origins={address(one.origin): one.name for one in settings.collection},
        copies=(own, *(folder / each for each in settings.webhook.copies)),
        store=location(environ),
        rules=rules,
    )
