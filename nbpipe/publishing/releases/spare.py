"""A copy of a release that nobody sees yet, linked while nothing else is to do.

Most of the time that a release takes goes into links to what has not changed. With a spare they
are there before the commit is, and the next release is the spare with what differs changed.

A spare belongs to the process that made it, and to nobody after that: what another process left,
also a killed one, is removed and never built on. Nor is a spare from which anything was taken.
Every step is for the holder of the lock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.publishing.releases import build
from nbpipe.system import files

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.publishing.releases.build import Content, Store
    from nbpipe.publishing.releases.manifest import Manifest


class Spare:
    """At most one, in the folder where releases are built."""

    def __init__(self, building: Path) -> None:
        self._folder = building / "spare"
        self._held: _Held | None = None

    @property
    def ready(self) -> bool:
        """Whether this process made one; it may be gone meanwhile."""
        return self._held is not None

    def make(self, manifest: Manifest, store: Store, content: Content) -> None:
        """Link the release of that manifest once more.

        Raises:
            DamagedCacheError: Content is missing, or not what its name says.
            OSError: No room, for one.
        """
        self.drop()
        build.build(manifest, self._folder, store, content)
        fd = files.open_folder(self._folder)
        self._held = _Held(manifest, fd, _changed(fd, manifest))

    def take(self, candidate: Path) -> Manifest | None:
        """Move the spare to `candidate`, which must not exist, and return what it holds.

        None where there is none, or it is not as it was made.
        """
        if self._held is None:
            return None
        manifest = self._held.manifest
        if not self._untouched(self._held):
            self.drop()
            return None
        self._folder.rename(candidate)
        self.let_go()
        return manifest

    def drop(self) -> None:
        """Remove it, whosever it is."""
        self.let_go()
        build.remove(self._folder)

    def let_go(self) -> None:
        """Never use it; a later `drop` of any process removes it."""
        if self._held is not None:
            os.close(self._held.fd)
            self._held = None

    def _untouched(self, held: _Held) -> bool:
        try:
            there = os.path.samestat(os.fstat(held.fd), self._folder.lstat())
            return there and _changed(held.fd, held.manifest) == held.changed
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class _Held:
    manifest: Manifest
    fd: int
    """Of the folder: as long as it is open, no other folder gets the same inode."""
    changed: tuple[int, ...]


def _changed(fd: int, manifest: Manifest) -> tuple[int, ...]:
    """Return when something was last added to, removed from or done to each folder; ns."""
    return tuple(
        os.stat(path, dir_fd=fd, follow_symlinks=False).st_ctime_ns
        for path in (".", *manifest.folders)
    )
