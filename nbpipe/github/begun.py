"""What this machine began on GitHub and has not finished yet: one small file for each.

A process that dies leaves its file; the next `nbpipe github` finds it and ends what stands there
for ever otherwise. No secrets in it.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nbpipe.system import files, private

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT = 7 * 86_400.0
"""Seconds after which nobody tries any more."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """One status or check run that was begun."""

    repository: str
    sha: str
    name: str
    kind: str
    """`status` or `check`."""
    api: str
    """The API's address."""
    at: float
    """When, in seconds since the epoch."""
    process: int
    """Whose end is the run's."""
    process_began: float
    """Tells it from another process that has its number later."""

    @property
    def is_abandoned(self) -> bool:
        """Tell whether its process has ended."""
        return began(self.process) != self.process_began


def began(process: int) -> float:
    """Return when a process began, in seconds since the epoch; 0 where there is none."""
    import psutil  # noqa: PLC0415  (slow)

    with contextlib.suppress(psutil.Error):
        found = psutil.Process(process)
        if found.status() != psutil.STATUS_ZOMBIE:
            return float(found.create_time())
    return 0.0


class Folder:
    """Where the files are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, begun: Begun) -> None:
        """Remember it; a disk that does not take it is no reason not to begin."""
        with contextlib.suppress(OSError):
            private.make_folder(self._folder)
            file = self._file(begun)
            files.replace(file, msgspec.json.encode(begun), mode=private.mode(file))

    def forget(self, begun: Begun) -> None:
        """Remove it: it is finished."""
        with contextlib.suppress(OSError):
            self._file(begun).unlink(missing_ok=True)

    def abandoned(self, now: float) -> Iterator[Begun]:
        """Yield what nobody will finish any more; what is too old, or unreadable, is removed."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                begun = msgspec.json.decode(file.read_bytes(), type=Begun)
            except (OSError, msgspec.DecodeError):
                begun = None
            if begun is None or now - begun.at > _KEPT:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
            elif begun.is_abandoned:
                yield begun

    def _file(self, begun: Begun) -> Path:
        parts = (begun.api, begun.repository, begun.sha, begun.name, begun.kind)
        return self._folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.json"


def default() -> Folder:
    """Return the folder below the user's state directory."""
    import platformdirs  # noqa: PLC0415  (slow)

    return Folder(Path(platformdirs.user_state_path("nbpipe")) / "github")
