"""Links to what the store holds, made in two threads; what it does not hold is left to the caller.

Nothing here reads content or knows where it comes from.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self

    from nbpipe.publishing.releases.manifest import File

    Named = list[tuple[str, File]]
    """Files of one folder, by their name there."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Held(Protocol):
    """What links to content that is held already."""

    def link_held(self, files: Named, folder: int) -> Named:
        """Make links in the open folder to what is held; return what is not."""


class Linking:
    """Links what is held, in a thread beside the one that makes the folders, and then in both.

    link(2) is half of the time that a release takes, and different folders do not wait for each
    other.
    """

    def __init__(self, filling: Held, top: int) -> None:
        self.left: list[tuple[str, Named]] = []
        """Files that the store does not hold, by folder; complete at the end."""
        self._filling = filling
        self._top = top
        self._folders: SimpleQueue[tuple[str, Named] | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._over = False
        self._thread = threading.Thread(target=self._work, name="linking", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Help to the end, and wait: nothing goes on behind an error's back."""
        self._over = self._over or kind is not None
        self._folders.put(None)
        self._work()
        self._thread.join()
        if kind is None and self._error:
            raise self._error

    def add(self, path: str, files: Named) -> None:
        """Have these files linked in that folder, which is there."""
        self._folders.put((path, files))

    def _work(self) -> None:
        while not self._over and (one := self._folders.get()) is not None:
            try:
                self._link(*one)
            except BaseException as error:  # noqa: BLE001  (raised again, in the first thread)
                self._error, self._over = error, True
        self._folders.put(None)  # for the other thread

    def _link(self, path: str, files: Named) -> None:
        fd = open_below(path, self._top)
        try:
            if left := self._filling.link_held(files, fd):
                self.left.append((path, left))
        finally:
            os.close(fd)


def open_below(path: str, top: int) -> int:
    """Return a descriptor of a folder below the open one, or of that itself, to be closed."""
    return os.open(path or ".", _OPEN, dir_fd=top)
