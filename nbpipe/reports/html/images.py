"""Pictures beside a notebook, as data within its page: a page has no neighbours.

A notebook names the files, so nothing is read but regular files below the collection's root, and
never through a symbolic link. Called in the process that renders copies (`child`).
"""

from __future__ import annotations

import base64
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Mapping

EACH_LIMIT = 3_000_000
"""Bytes of one picture."""
ALL_LIMIT = 15_000_000
"""Bytes of all pictures of a page."""
_KINDS = {
    ".apng": "image/apng",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_PREFERRED = ("image/svg+xml", "image/png", "image/jpeg")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a notebook's source lies."""

    root: Path
    """The collection's root."""
    path: str
    """The notebook's, relative to it, with `/`."""


class NotEmbedded(Exception):  # noqa: N818  (an answer about a picture, not a fault of ours)
    """A picture that is not in the page; the text says why."""


class Images:
    """Reads the pictures of one page.

    Args:
        place: Where the notebook's source lies; None: nobody knows, and no file is read.
    """

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._left = ALL_LIMIT
        self._known: dict[str, str] = {}

    def address(self, source: str, attachments: Mapping[str, object]) -> str:
        """Return the address of a picture as data.

        Args:
            source: What the notebook names.
            attachments: Those of the cell, by name.

        Raises:
            NotEmbedded: It is not shown.
        """
        if source.startswith("data:"):
            return source
        if source.startswith("attachment:"):
            return _attached(unquote(source.removeprefix("attachment:")), attachments)
        parts = urlsplit(source)
        if parts.scheme or parts.netloc:
            raise NotEmbedded("it is on another server, and this page loads nothing")
        path = unquote(parts.path)
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def _read(self, path: str) -> str:
        if self._place is None:
            raise NotEmbedded("the notebook's folder is not known here")
        kind = _KINDS.get(PurePosixPath(path).suffix.lower())
        if kind is None:
            raise NotEmbedded("its name is not that of a picture")
        folder = PurePosixPath(self._place.path).parent
        inside = PurePosixPath(normpath(folder / path))
        if "\0" in path or inside.is_absolute() or ".." in inside.parts:
            raise NotEmbedded("it is outside of the collection")
        content = _content(self._place.root, inside, min(EACH_LIMIT, self._left))
        self._left -= len(content)
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _attached(name: str, attachments: Mapping[str, object]) -> str:
    found = attachments.get(name)
    if not isinstance(found, dict):
        raise NotEmbedded("the cell has no such attachment")
    for kind in (*_PREFERRED, *found):
        value = found.get(kind)
        if isinstance(value, list):
            value = "".join(map(str, value))
        if isinstance(value, str) and str(kind).startswith("image/"):
            return f"data:{kind};base64,{''.join(value.split())}"
    raise NotEmbedded("the attachment is not a picture")


def _content(root: Path, path: PurePosixPath, limit: int) -> bytes:
    """Return the bytes of a regular file below a folder, each step opened from the one before.

    Raises:
        NotEmbedded: There is none that may be read, or it is too large.
    """
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    place = None
    try:
        place = os.open(root, folder)
        for name in path.parts[:-1]:
            outer, place = place, os.open(name, folder | os.O_NOFOLLOW, dir_fd=place)
            os.close(outer)
        # Without O_NONBLOCK the reader of a pipe would wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path.name, flags, dir_fd=place), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise NotEmbedded("it is not a regular file")
            if found.st_size > limit:
                raise NotEmbedded(f"it has {units.data(found.st_size)}, too much for this page")
            return file.read(limit)
    except FileNotFoundError as error:
        raise NotEmbedded("there is no such file") from error
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise NotEmbedded("symbolic links are not followed") from error
        raise NotEmbedded(f"it cannot be read: {error.strerror}") from error
    finally:
        if place is not None:
            os.close(place)
