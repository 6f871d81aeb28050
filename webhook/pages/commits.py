"""What git says of the commits of releases: author, date, subject; asked once for each.

The cache of the origin is the worker's. This reads it through an instance of its own, one request
at a time, and shows less where that is not possible.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import NbpipeError
from nbpipe.publishing.origin.cache import Cache
from nbpipe.publishing.releases.mirror import Mirror

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.config.settings import CollectionSettings

logger = logging.getLogger(__name__)

_KEPT = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A commit for people."""

    subject: str = ""
    author: str = ""
    date: str = ""
    """ISO 8601, with its zone."""


class Commits:
    """Describes the commits of one collection.

    Args:
        settings: The collection's.
        environ: Where its secrets are looked up; describing needs none.
    """

    def __init__(
        self, settings: CollectionSettings, environ: Mapping[str, str] | None = None
    ) -> None:
        state = Mirror(Path(settings.root), settings.name).state
        self._cache = Cache(settings, state, environ=os.environ if environ is None else environ)
        self._lock = threading.Lock()
        self._known: dict[str, Described] = {}

    def describe(self, commits: Iterable[str]) -> dict[str, Described]:
        """Return what is known of these commits; nothing of those that git does not have."""
        wanted = list(commits)
        with self._lock:
            if missing := [each for each in wanted if each not in self._known]:
                self._ask(missing)
            return {each: self._known[each] for each in wanted if each in self._known}

    def _ask(self, missing: list[str]) -> None:
        try:
            found = self._cache.describe(missing)
        except (NbpipeError, OSError, ValueError) as error:
            logger.warning("the commits of %s cannot be described: %s", self._cache.folder, error)
            return
        finally:
            self._cache.close()
        if len(self._known) > _KEPT:
            self._known.clear()
        for commit, (author, date, subject) in found.items():
            self._known[commit] = Described(subject=subject, author=author, date=date)
