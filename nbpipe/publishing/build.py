"""A release's folder, made of hard links to content that is already held.

The store holds every file of every release once, named by its blob and mode. What a release
shares with another costs one link, keeps its inode, its time and its place in the page cache;
only new content is read from git. Bytes are the blobs': no checkout, filter or attribute.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from typing import TYPE_CHECKING, TypeVar

from nbpipe.publishing.origin import DamagedCacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nbpipe.publishing.manifest import File, Link, Manifest

    Content = Callable[[File], Iterable[bytes]]

_Entry = TypeVar("_Entry", "File", "Link")

FILE, EXECUTABLE, FOLDER = 0o444, 0o555, 0o555
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Store:
    """Content by key; an entry is whole or not there."""

    def __init__(self, folder: Path, *, max_links: int | None = None) -> None:
        self.folder = folder
        self._max_links = max_links

    def prepare(self) -> None:
        """Make the folders."""
        self.folder.mkdir(exist_ok=True)
        for number in range(256):
            (self.folder / f"{number:02x}").mkdir(exist_ok=True)

    def link(self, file: File, content: Content, name: str, fd: int) -> None:
        """Make `name` in the folder `fd` that content, reading it only where it is new.

        Raises:
            DamagedCacheError: The content is not what its name says.
            OSError: No room, for one.
        """
        entry = self.entry(file.key)
        try:
            if self._max_links and entry.stat().st_nlink >= self._max_links:
                self._second(entry)
            os.link(entry, name, dst_dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            self._fill(entry, file, content)
            os.link(entry, name, dst_dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            self._second(entry)
            os.link(entry, name, dst_dir_fd=fd, follow_symlinks=False)

    def entry(self, key: str) -> Path:
        """Return where the content of that key is or would be."""
        return self.folder / key[:2] / key[2:]

    def sweep(self) -> int:
        """Remove what no release uses any more; return how many bytes that were."""
        freed = 0
        for path in self.folder.glob("??/*"):
            status = path.lstat()
            if status.st_nlink == 1:
                path.unlink()
                freed += status.st_size
        return freed

    def _fill(self, entry: Path, file: File, content: Content) -> None:
        digest, size = digest_of(file), 0
        mode = EXECUTABLE if file.executable else FILE
        with self._fresh(entry, mode) as fd:
            for chunk in content(file):
                digest.update(chunk)
                size += len(chunk)
                _write(fd, chunk)
            if digest.hexdigest() != (file.large or file.blob) or size != file.size:
                raise DamagedCacheError(f"{file.path}: the blob {file.blob} has other content")

    def _second(self, entry: Path) -> None:
        """Put a copy in the entry's place: the first has all the links that it can have."""
        mode = stat.S_IMODE(entry.stat().st_mode)
        with self._fresh(entry, mode) as fd, entry.open("rb") as source:
            while chunk := source.read(1 << 20):
                _write(fd, chunk)

    def _fresh(self, entry: Path, mode: int) -> _Fresh:
        return _Fresh(self.folder / "new", entry, mode)


class _Fresh:
    """A file written aside, on the disk before it has its name."""

    def __init__(self, aside: Path, entry: Path, mode: int) -> None:
        self._aside, self._entry, self._mode = aside, entry, mode
        self._fd = -1

    def __enter__(self) -> int:
        self._aside.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self._aside, flags, 0o600)
        return self._fd

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                os.fchmod(self._fd, self._mode)
                os.fsync(self._fd)
        finally:
            os.close(self._fd)
        if kind is None:
            self._aside.replace(self._entry)
        else:
            self._aside.unlink(missing_ok=True)


def digest_of(file: File) -> hashlib._Hash:
    """Return a hash to feed with the content: git's of a blob, or Git LFS's."""
    if file.large:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)


def build(manifest: Manifest, folder: Path, store: Store, content: Content) -> None:
    """Make the release in `folder`, which must not exist, and have it on the disk.

    The folder itself stays writable for its owner, so that it can be moved; `seal` ends that.

    Raises:
        DamagedCacheError: Content is missing, or not what its name says.
        OSError: No room, for one.
    """
    folder.mkdir(mode=0o755)
    files, links = _by_folder(manifest.files), _by_folder(manifest.links)
    for path in ("", *manifest.folders):
        here = folder / path
        if path:
            here.mkdir(mode=0o755)
        fd = os.open(here, _OPEN)
        try:
            for name, file in files.get(path, ()):
                store.link(file, content, name, fd)
            for name, link in links.get(path, ()):
                os.symlink(link.target, name, dir_fd=fd)
        finally:
            os.close(fd)
    # Bottom-up: a sealed folder takes no further entries. The first fsync writes the journal of
    # the file system with all that came before; the others find nothing left to do.
    for path in reversed(("", *manifest.folders)):
        fd = os.open(folder / path, _OPEN)
        try:
            os.fchmod(fd, FOLDER if path else 0o755)
            os.fsync(fd)
        finally:
            os.close(fd)


def seal(folder: Path) -> None:
    """Make a release's top folder read-only, as everything below it is."""
    folder.chmod(FOLDER)


def remove(folder: Path) -> None:
    """Remove a tree, also one of read-only folders; a missing one is removed already."""
    if not folder.is_symlink() and not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    folder.chmod(0o700)
    for here, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(here, name)  # noqa: PTH118  (a release has thousands)
            if not os.path.islink(path):  # noqa: PTH114  (likewise)
                os.chmod(path, 0o700)  # noqa: PTH101  (likewise)
    shutil.rmtree(folder)


def _by_folder(entries: Iterable[_Entry]) -> dict[str, list[tuple[str, _Entry]]]:
    """Return what is in each folder, by its name there."""
    folders: dict[str, list[tuple[str, _Entry]]] = {}
    for entry in entries:
        parent, _, name = entry.path.rpartition("/")
        folders.setdefault(parent, []).append((name, entry))
    return folders


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
