"""A database with the histories of many collections, open for as long as a service runs.

Only read here. Where a single collection is meant, and known by its folder, see `access`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nbpipe.history.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from nbpipe.config.settings import HistorySettings
    from nbpipe.history.page_queries import Look


class Archive:
    """Connects when it is first asked, and again after a failure; safe over threads.

    Args:
        settings: `[history]`.
        root: What a relative path in it begins at.
    """

    def __init__(self, settings: HistorySettings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._lock = threading.Lock()
        self._open: tuple[sa.Engine, str] | None = None

    @contextmanager
    def look(self) -> Iterator[Look]:
        """Give what answers questions, all of them from one moment.

        Raises:
            NoHistory: There is no database yet.
            HistoryError: It is switched off, or cannot be used.
        """
        from nbpipe.history.page_queries import Look  # noqa: PLC0415  (slow)
        from nbpipe.history.queries import connected  # noqa: PLC0415  (slow)

        engine, where = self._connected()
        with connected(engine, where) as connection:
            yield Look(connection)

    def warm(self) -> None:
        """Connect beforehand, so that the first page need not; what is wrong then shows there."""
        with suppress(HistoryError), self.look() as look:
            look.collections()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._open is not None:
                self._open[0].dispose()
                self._open = None

    def _connected(self) -> tuple[sa.Engine, str]:
        if not self._settings.enabled:
            raise HistoryError(
                "the history is switched off", hint="Remove `[history] enabled = false`."
            )
        from nbpipe.history.engine import address, connect, display  # noqa: PLC0415  (slow)

        with self._lock:
            if self._open is None:
                url = address(self._settings.url, self._root)
                self._open = connect(url, create=False), display(url)
            return self._open
