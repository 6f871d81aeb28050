"""A release on this machine: what it holds, and its bytes.

    <root>/<collection>/current -> releases/<commit>

`current` is read once; whatever happens to it afterwards, everything comes from that one release.
A release that is cleaned up meanwhile is noticed and said. A folder that is no mirror but holds a
release (a container's mount of one) works too; it is named after its content.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol

from nbpipe.errors import UsageError
from nbpipe.publishing.copies.decision import Content, Kind
from nbpipe.publishing.copies.errors import CopyError, ReleaseGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

CHUNK = 1 << 20
SHA256_DIGITS = 64
_NAME = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One file or link of a release."""

    kind: Kind
    size: int
    """Bytes."""
    executable: bool = False
    blob: str | None = None
    """Git's blob id, where it is known without reading."""


class Release(Protocol):
    """The immutable tree of one commit."""

    @property
    def commit(self) -> str:
        """The commit."""

    @property
    def source(self) -> str:
        """Where it comes from, for people."""

    notes: tuple[str, ...]
    """What to know about it."""
    warning: str
    """Why it may not be the newest one."""
    content_of_pointers: str
    """Where the content of its Git LFS pointers is."""

    def about(self) -> tuple[str, str]:
        """Return its date (ISO 8601) and its title; both may be empty."""

    def listing(self) -> Mapping[str, Listed]:
        """Return every file and link by its path, with `/`."""

    def content(self, path: str) -> Content:
        """Return what git would call that file."""

    def target(self, path: str) -> str:
        """Return a link's target."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading."""

    def before(self, path: str, commit: str, blob: str) -> bytes | None:
        """Return a file of an earlier release, None where that is not to be had any more.

        Args:
            path: The file.
            commit: The release that it was taken from.
            blob: What git calls it.
        """

    def close(self) -> None:
        """Give back what it holds open."""


def blob_hash(commit: str, size: int) -> hashlib._Hash:
    """Return git's hash of a blob with that many bytes, before the first of them.

    Source: `git hash-object`; a repository with SHA-256 has commits of 64 digits.
    """
    name = "sha256" if len(commit) == SHA256_DIGITS else "sha1"
    return hashlib.new(name, b"blob %d\0" % size, usedforsecurity=False)


def text_content(text: str, commit: str) -> Content:
    """Return a link's content: git stores the target's text."""
    data = os.fsencode(text)
    digest = blob_hash(commit, len(data))
    digest.update(data)
    return Content(digest.hexdigest(), Kind.LINK)


def file_content(file: BinaryIO, commit: str) -> Content:
    """Return the content of an open file, reading all of it."""
    status = os.fstat(file.fileno())
    digest = blob_hash(commit, status.st_size)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return Content(digest.hexdigest(), Kind.FILE, bool(status.st_mode & stat.S_IXUSR))


class FolderRelease:
    """A release in a folder of this machine."""

    def __init__(self, folder: Path, commit: str | None) -> None:
        self.folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._contents: dict[str, Content] = {}
        self._listing: dict[str, Listed] | None = None
        self._given = commit
        self._named: str | None = commit
        self.notes: tuple[str, ...] = ()
        self.warning = ""
        self.content_of_pointers = (
            "the content of the Git LFS pointers is not published here; the people who run the "
            'platform can have it published (`lfs = "fetch"`)'
        )

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return str(self.folder)

    @property
    def commit(self) -> str:
        """The commit; of a folder that names none, a hash of its listing."""
        if self._named is None:
            digest = hashlib.sha1(usedforsecurity=False)
            for path in sorted(self.listing()):
                digest.update(os.fsencode(path) + b"\0" + self.content(path).blob.encode() + b"\n")
            self._named = digest.hexdigest()
        return self._named

    def about(self) -> tuple[str, str]:
        """Return when the folder was published here (ISO 8601, UTC); a mirror knows no title."""
        return _moment(os.fstat(self._descriptor)) if self._given else "", ""

    def listing(self) -> Mapping[str, Listed]:
        """Return every file and link by its path, with `/`.

        Raises:
            ReleaseGone: It is being cleaned up.
        """
        if self._listing is None:
            with self._gone():
                self._listing = dict(_walk(self._descriptor, ""))
            self.still_there()
        return self._listing

    def content(self, path: str) -> Content:
        """Return what git would call that file; reads it, once.

        Raises:
            ReleaseGone: It is being cleaned up.
        """
        if path not in self._contents:
            if self.listing()[path].kind is Kind.LINK:
                self._contents[path] = text_content(self.target(path), self._given or "")
            else:
                with self.open(path) as file:
                    self._contents[path] = file_content(file, self._given or "")
        return self._contents[path]

    def target(self, path: str) -> str:
        """Return a link's target."""
        with self._gone():
            return os.readlink(path, dir_fd=self._descriptor)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for reading; its descriptor can be cloned from."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._gone():
            descriptor = os.open(path, flags, dir_fd=self._descriptor)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123
            yield file

    def before(self, path: str, commit: str, blob: str) -> bytes | None:
        """Return a file of an earlier release of the same mirror, while that is kept."""
        if not self._given or not _NAME.fullmatch(commit):
            return None
        try:
            with (self.folder.parent / commit / path).open("rb", buffering=0) as file:
                if file_content(file, self._given).blob != blob:
                    return None
                file.seek(0)
                return file.readall()
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Give back the folder's descriptor."""
        os.close(self._descriptor)

    def still_there(self) -> None:
        """Make sure that the folder was not cleaned up: its name still means the same folder.

        Raises:
            ReleaseGone: It was.
        """
        with self._gone():
            status = os.stat(self.folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) != self._identity:
            raise self._vanished()

    @contextmanager
    def _gone(self) -> Iterator[None]:
        """Say what a missing file means here."""
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ESTALE}:
                raise self._vanished() from error
            raise CopyError(
                f"{self.folder}: {error.filename}: cannot be read: {error.strerror}",
                hint="Ask the people who run the platform; nothing of yours was changed.",
            ) from error

    def _vanished(self) -> ReleaseGone:
        return ReleaseGone(
            f"{self.folder}: this release was cleaned up while it was being read",
            hint="Run getlatest again: it takes the release that is current now.",
        )


def _walk(folder: int, above: str) -> Iterator[tuple[str, Listed]]:
    """Yield the files and links below an open folder, never through a link."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = above + entry.name
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(entry.name, flags, dir_fd=folder)
            try:
                yield from _walk(below, path + "/")
            finally:
                os.close(below)
        elif stat.S_ISLNK(status.st_mode):
            yield path, Listed(Kind.LINK, status.st_size)
        elif stat.S_ISREG(status.st_mode):
            yield path, Listed(Kind.FILE, status.st_size, bool(status.st_mode & stat.S_IXUSR))


def _moment(status: os.stat_result) -> str:
    """Return when a release was moved into place."""
    moment = datetime.fromtimestamp(int(status.st_ctime), tz=UTC)
    return moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Published:
    """One release of a mirror, for a list."""

    commit: str
    date: str
    """When it was published here: ISO 8601, UTC."""
    current: bool


@dataclass(frozen=True, slots=True)
class MirrorFolder:
    """`<root>/<collection>`, or one release without a mirror around it."""

    name: str
    """The collection."""
    path: Path
    single: Path | None = None
    """The only release there is."""

    def releases(self) -> list[Published]:
        """Return the releases here, newest first."""
        if self.single:
            return []
        current = self._current()
        folder = self.path / "releases"
        with os.scandir(folder) as entries:
            found = [
                (entry.stat(follow_symlinks=False), entry.name)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            ]
        found.sort(key=lambda each: (each[0].st_ctime_ns, each[1]), reverse=True)
        return [Published(name, _moment(status), name == current) for status, name in found]

    def release(self, wanted: str | None = None) -> FolderRelease:
        """Return the current release, or the one whose commit begins with `wanted`.

        Raises:
            UsageError: There is no such release, or several begin like that.
            CopyError: Nothing was published yet, or it cannot be read.
        """
        if self.single:
            if wanted:
                raise UsageError(f"{self.single}: holds one release only; --release has no choice")
            return _opened(self.single, None)
        commit = self._chosen(wanted) if wanted else self._current()
        if commit is None:
            raise CopyError(f"{self.path}: nothing is published here yet", hint="Try again later.")
        return _opened(self.path / "releases" / commit, commit)

    def _current(self) -> str | None:
        try:
            target = os.readlink(self.path / "current")  # noqa: PTH115
        except FileNotFoundError:
            return None
        return os.path.basename(target)  # noqa: PTH119

    def _chosen(self, wanted: str) -> str:
        known = [each.commit for each in self.releases()]
        matching = [commit for commit in known if commit.startswith(wanted.lower())]
        if len(matching) == 1:
            return matching[0]
        what = "several releases begin like that" if matching else "no such release"
        some = ", ".join(commit[:12] for commit in (matching or known)[:10]) or "none"
        raise UsageError(f"{self.path}: --release {wanted}: {what}", hint=f"There are: {some}.")


def _opened(folder: Path, commit: str | None) -> FolderRelease:
    try:
        return FolderRelease(folder, commit)
    except FileNotFoundError as error:
        raise ReleaseGone(
            f"{folder}: this release has been removed", hint="Run getlatest again."
        ) from error
    except OSError as error:
        raise CopyError(
            f"{folder}: cannot be read: {error.strerror}",
            hint="Ask the people who run the platform.",
        ) from error
