"""A release's folder, made of hard links to content that is already held.

The store holds every file of every release once, named by its blob and mode. What a release
shares with another costs one link, keeps its inode, its time and its place in the page cache;
only new content is read from git. Bytes are the blobs': no checkout, filter or attribute.

Written by hand: git, also through GitPython, fills a new folder (`checkout`, `worktree`, `archive`)
by writing every file, and obeys the attributes that a commit brings. DVC links files from a store
like this one, but only those that were added to DVC, not the files of a commit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from typing import TYPE_CHECKING, TypeVar

from nbpipe.publishing.origin.cache import DamagedCacheError
from nbpipe.publishing.releases.hardlinks import Linking, open_below
from nbpipe.system import private
from nbpipe.system.files import copy_bytes, open_folder, sync_folder
from nbpipe.system.filesystem import sync_file_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from nbpipe.publishing.releases.hardlinks import Named
    from nbpipe.publishing.releases.manifest import File, Link, Manifest

    Content = Callable[[File], Iterable[bytes]]

_Entry = TypeVar("_Entry", "File", "Link")

FILE, EXECUTABLE, FOLDER = 0o444, 0o555, 0o555
_OPEN = 0o755
"""The mode of a folder that is still being filled."""
_NEW = "new"
"""Where the store keeps what is being written."""
_MANY = 16
"""New files from which on one sync of the file system is cheaper than one of each."""
_CHUNK = 1 << 20


class Store:
    """Content by key; an entry is whole and on the disk, or not there."""

    def __init__(self, folder: Path, *, max_links: int | None = None) -> None:
        self.folder = folder
        self._max_links = max_links

    def prepare(self) -> None:
        """Make the folders."""
        self.folder.mkdir(private.FOLDER, exist_ok=True)
        (self.folder / _NEW).mkdir(private.FOLDER, exist_ok=True)
        for number in range(256):
            (self.folder / f"{number:02x}").mkdir(private.FOLDER, exist_ok=True)

    def entry(self, key: str) -> Path:
        """Return where the content of that key is or would be."""
        return self.folder / key[:2] / key[2:]

    def sweep(self) -> int:
        """Remove what no release uses any more; return how many bytes that were."""
        freed = 0
        for path in self.folder.glob("*/*"):
            status = path.lstat()
            if status.st_nlink == 1:
                path.unlink()
                freed += status.st_size
        return freed

    @contextlib.contextmanager
    def filling(self, content: Content) -> Iterator[Filling]:
        """Link content into a release; what is new becomes part of the store at the end."""
        remove(self.folder / _NEW)
        (self.folder / _NEW).mkdir(private.FOLDER)
        fd = open_folder(self.folder)
        try:
            filling = Filling(fd, content, max_links=self._max_links)
            yield filling
            filling.keep()
        finally:
            os.close(fd)


class Filling:
    """The links of one release: to the store, and to what the store does not hold yet."""

    def __init__(self, store: int, content: Content, *, max_links: int | None) -> None:
        self._store = store
        self._content = content
        self._max_links = max_links
        self._new: dict[str, str] = {}

    def link_held(self, files: Named, folder: int) -> Named:
        """Make links in the open folder to what the store holds; return what it does not.

        Any thread may call: git is not asked, and nothing is kept here.

        Raises:
            OSError: No room, for one.
        """
        if self._max_links:
            return files
        left = []
        for name, file in files:
            key = file.key
            try:
                os.link(f"{key[:2]}/{key[2:]}", name, src_dir_fd=self._store, dst_dir_fd=folder)
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.EMLINK}:
                    raise
                left.append((name, file))
        return left

    def link(self, file: File, name: str, folder: int) -> None:
        """Make `name` in the open folder that content, reading it only where it is new.

        Raises:
            DamagedCacheError: The content is not what its name says.
            OSError: No room, for one.
        """
        key = file.key
        source = self._new.get(key) or f"{key[:2]}/{key[2:]}"
        try:
            if self._max_links and self._links(source) >= self._max_links:
                source = self._second(key, source)
            os.link(source, name, src_dir_fd=self._store, dst_dir_fd=folder)
        except FileNotFoundError:
            os.link(self._fill(file), name, src_dir_fd=self._store, dst_dir_fd=folder)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            source = self._second(key, source)
            os.link(source, name, src_dir_fd=self._store, dst_dir_fd=folder)

    def keep(self) -> None:
        """Have what is new on the disk, and only then under its name."""
        if len(self._new) <= _MANY or not sync_file_system(self._store):
            for source in self._new.values():
                self._sync(source)
        for key, source in self._new.items():
            entry = f"{key[:2]}/{key[2:]}"
            os.replace(source, entry, src_dir_fd=self._store, dst_dir_fd=self._store)

    def _sync(self, source: str) -> None:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._store)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _links(self, source: str) -> int:
        return os.stat(source, dir_fd=self._store).st_nlink

    def _fill(self, file: File) -> str:
        digest, size = digest_of(file), 0
        with self._fresh(file.key, EXECUTABLE if file.executable else FILE) as fd:
            for chunk in self._content(file):
                digest.update(chunk)
                size += len(chunk)
                _write(fd, chunk)
        if digest.hexdigest() != (file.large or file.blob) or size != file.size:
            del self._new[file.key]
            raise DamagedCacheError(f"{file.path}: the blob {file.blob} has other content")
        return self._new[file.key]

    def _second(self, key: str, source: str) -> str:
        """Take a copy from now on: the first has all the links that it can have."""
        status = os.stat(source, dir_fd=self._store)
        old = os.open(source, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._store)
        with os.fdopen(old, "rb") as stream, self._fresh(key, stat.S_IMODE(status.st_mode)) as fd:
            while chunk := stream.read(_CHUNK):
                _write(fd, chunk)
        return self._new[key]

    @contextlib.contextmanager
    def _fresh(self, key: str, mode: int) -> Iterator[int]:
        """Open a new file for that key."""
        name = f"{_NEW}/{key}"
        if key in self._new:
            # Full already: what was copied in this release has its links, and needs no name.
            os.unlink(name, dir_fd=self._store)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._store)
        try:
            yield fd
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        self._new[key] = name


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
    folder.mkdir(mode=_OPEN)
    files, links = _by_folder(manifest.files), _by_folder(manifest.links)
    with store.filling(content) as filling:
        top = open_folder(folder)
        try:
            with Linking(filling, top) as linking:
                for path in ("", *manifest.folders):
                    if path:
                        os.mkdir(path, _OPEN, dir_fd=top)
                    if path in files:
                        linking.add(path, files[path])
            for path, left in linking.left:
                _fill(path, left, filling, top)
            for path, targets in links.items():
                _symlink(path, targets, top)
            _close(manifest.folders, top)
        finally:
            os.close(top)
    # All that came before is in the file system's journal, in this order; one look at the
    # structure after a restart (`Publisher.settle`) covers those that promise less.
    sync_folder(folder)


def change(folder: Path, before: Manifest, after: Manifest, store: Store, content: Content) -> None:
    """Make the release `after` of `before`, which nobody sees and is in `folder`, on the disk.

    Only what differs is touched. Cut short, the folder is neither; its owner removes it.

    Raises:
        DamagedCacheError: Content is missing, or not what its name says.
        OSError: No room, for one.
    """
    old, new = _by_path(before), _by_path(after)
    gone = [path for path, entry in old.items() if new.get(path) != entry]
    files = [file for file in after.files if old.get(file.path) != file]
    links = [link for link in after.links if old.get(link.path) != link]
    had, has = frozenset(before.folders), frozenset(after.folders)
    fresh = {*(file.path for file in files), *(link.path for link in links)}
    opened = _parents({*gone, *fresh, *(had ^ has)})
    with store.filling(content) as filling:
        top = open_folder(folder)
        try:
            for path in opened & had:
                os.chmod(path, _OPEN, dir_fd=top)
            _take_away(gone, [path for path in reversed(before.folders) if path not in has], top)
            for path in after.folders:
                if path not in had:
                    os.mkdir(path, _OPEN, dir_fd=top)
            for path, named in _by_folder(files).items():
                _fill(path, named, filling, top)
            for path, targets in _by_folder(links).items():
                _symlink(path, targets, top)
            _close((path for path in after.folders if path in opened or path not in had), top)
        finally:
            os.close(top)
    # The spare was on the disk before; this is in the journal behind it.
    sync_folder(folder)


def copy(manifest: Manifest, release: Path, folder: Path) -> None:
    """Make `folder`, which must not exist, of bytes of its own, with the modes of the release.

    The blocks are shared where the file system can, never the inodes.

    Raises:
        OSError: No room, for one.
    """
    folder.mkdir(mode=_OPEN)
    source, top = open_folder(release), open_folder(folder)
    try:
        for path in manifest.folders:
            os.mkdir(path, _OPEN, dir_fd=top)
        for file in manifest.files:
            _copy(file, source, top)
        for path, targets in _by_folder(manifest.links).items():
            _symlink(path, targets, top)
        _close(manifest.folders, top)
    finally:
        os.close(source)
        os.close(top)
    seal(folder)


def _copy(file: File, source: int, top: int) -> None:
    reading = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    writing = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with (
        os.fdopen(os.open(file.path, reading, dir_fd=source), "rb") as old,
        os.fdopen(os.open(file.path, writing, 0o600, dir_fd=top), "wb") as new,
    ):
        copy_bytes(old, new)
        os.fchmod(new.fileno(), EXECUTABLE if file.executable else FILE)


def _take_away(files: Iterable[str], folders: Iterable[str], top: int) -> None:
    for path in files:
        os.unlink(path, dir_fd=top)
    for path in folders:
        os.rmdir(path, dir_fd=top)


def _close(folders: Iterable[str], top: int) -> None:
    """Make folders read-only, which then take no further entries."""
    for path in folders:
        os.chmod(path, FOLDER, dir_fd=top)


def _by_path(manifest: Manifest) -> dict[str, File | Link]:
    found: dict[str, File | Link] = {file.path: file for file in manifest.files}
    found.update((link.path, link) for link in manifest.links)
    return found


def _parents(paths: Iterable[str]) -> set[str]:
    return {path.rpartition("/")[0] for path in paths}


def _fill(path: str, files: Named, filling: Filling, top: int) -> None:
    """Make files in one folder of the release, new ones too."""
    fd = open_below(path, top)
    try:
        for name, file in files:
            filling.link(file, name, fd)
    finally:
        os.close(fd)


def _symlink(path: str, links: list[tuple[str, Link]], top: int) -> None:
    fd = open_below(path, top)
    try:
        for name, link in links:
            os.symlink(link.target, name, dir_fd=fd)
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
