"""How long notebooks took the last time, read where nobody waits for a database's library.

`--list` answers in a quarter of a second; to import SQLAlchemy would add half of that. What it
wants to know is one look at an SQLite file. Another database, and a file that cannot be read, say
nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.history import identity

if TYPE_CHECKING:
    from nbpipe.config.settings import HistorySettings

_PREFIX = "sqlite:///"


def expected(settings: HistorySettings, root: Path) -> dict[str, float]:
    """Return the seconds that each notebook took the last time, by its path."""
    file = _file(settings, root)
    try:
        if file is None or not settings.enabled or not file.is_file():
            return {}
        keys = identity.keys(root, name=settings.collection)
        address = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return _seconds(connection, keys)
    except (OSError, sqlite3.Error):  # somebody else's state directory, for instance
        return {}


def default_file() -> Path:
    """Return where the history is where nobody says otherwise: in the user's state directory."""
    import platformdirs  # noqa: PLC0415

    return Path(platformdirs.user_state_path("nbpipe")) / "history.sqlite"


def _file(settings: HistorySettings, root: Path) -> Path | None:
    if settings.url is None:
        return default_file()
    if not settings.url.startswith(_PREFIX):
        return None
    return root / settings.url.removeprefix(_PREFIX)


def _seconds(connection: sqlite3.Connection, keys: tuple[str, ...]) -> dict[str, float]:
    for key in keys:  # the most reliable first
        row = connection.execute(
            "SELECT collection FROM collection_keys WHERE key = ?", (key,)
        ).fetchone()
        if row:
            rows = connection.execute(
                "SELECT path, seconds FROM notebooks WHERE collection = ?", row
            )
            return {str(path): float(seconds) for path, seconds in rows}
    return {}
