"""The user's folder: looked at and written through descriptors, never through a link.

Every step opens one folder with O_NOFOLLOW, so a link that the user put in place of a subfolder
leads nowhere: what lies behind it is "blocked". A file is written in `.nbpipe/incoming` and moved
into place in one rename. It never takes the place of bytes that were not looked at: a new name
must be free, and a replaced file is swapped out, compared with what was seen, and swapped back
where the user was quicker. What is decided is decided elsewhere.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from nbpipe.publishing.copies.decision import UNKNOWABLE, Kind, Mine
from nbpipe.publishing.copies.errors import CopyBusy, CopyError
from nbpipe.publishing.copies.manifest import FOLDER, NAME
from nbpipe.publishing.copies.releases import CHUNK, file_content, text_content
from nbpipe.publishing.copies.substance import LARGEST, substance
from nbpipe.system import locks
from nbpipe.system.files import clone
from nbpipe.system.filesystem import sync_file_system
from nbpipe.system.rename import exchange, exists, move_to_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.publishing.copies.decision import Substance

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_WRITE = stat.S_IRUSR | stat.S_IWUSR
INCOMING = "incoming"
PART, SWAP = ".part", ".swap"
ENDED_JUST_NOW = "another getlatest ended just now"

Seen = tuple[int, int, int]
"""A file's inode, size in bytes and time of change in ns: what a look at it saw."""


class BlockedError(OSError):
    """A part of the path is no folder of the copy; `filename` is that part."""


class CopyFolder:
    """An open folder that holds a copy, with its own `.nbpipe` folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._own: int | None = None
        self._incoming: int | None = None
        self._lock: int | None = None
        self._number = 0
        self._clones = True

    def close(self) -> None:
        """Give back every descriptor; the lock goes with its own."""
        for descriptor in (self._incoming, self._own, self._lock, self.descriptor):
            if descriptor is not None:
                os.close(descriptor)

    # ------------------------------------------------------------------ looking

    def look(self, path: str, commit: str) -> tuple[Mine, Seen | None]:
        """Return what is at a path now; reads all of a file. `commit` chooses git's hash."""
        try:
            with self._parent(path) as (folder, name):
                return _look(folder, name, commit)
        except BlockedError:
            return Mine(Kind.BLOCKED), None
        except FileNotFoundError:
            return Mine(Kind.ABSENT), None

    def blocked_by(self, path: str) -> str | None:
        """Return the part of a path that is no folder of the copy, None where all are."""
        try:
            with self._parent(path):
                return None
        except BlockedError as error:
            return str(error.filename)
        except FileNotFoundError:
            return None

    def substance(self, path: str) -> Substance:
        """Return the substance of a notebook there; UNKNOWABLE where it cannot be read."""
        try:
            with self._parent(path) as (folder, name), _reading(folder, name) as file:
                small = os.fstat(file.fileno()).st_size <= LARGEST
                return substance(file.readall()) if small else UNKNOWABLE
        except OSError:
            return UNKNOWABLE

    def below(self, path: str, commit: str) -> Iterator[tuple[str, Mine, Seen | None]]:
        """Yield what is below a folder, the folders themselves after what they hold.

        Raises:
            OSError: A folder there cannot be read.
        """
        with self._parent(path) as (folder, name):
            yield from _below(folder, name, path, commit)

    def ignores_case(self) -> bool:
        """Return whether names that differ in case mean the same file here."""
        return exists(FOLDER.upper(), folder=self.descriptor)

    # ------------------------------------------------------------------ its own folder

    def read_manifest(self) -> bytes | None:
        """Return the manifest's bytes, None where there is none.

        Raises:
            CopyError: `.nbpipe` or the manifest is something else than ours.
        """
        try:
            own = os.open(FOLDER, OPEN_FOLDER, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._not_ours(FOLDER, error) from error
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(NAME, flags, dir_fd=own), "rb") as file:  # noqa: PTH123
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._not_ours(f"{FOLDER}/{NAME}", error) from error
        finally:
            os.close(own)

    def write_manifest(self, data: bytes) -> None:
        """Replace the manifest in one step, on the disk before it is in place."""
        own, incoming = self._folders()
        part = self._fresh() + PART
        with _created(part, 0o666, incoming) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, NAME, src_dir_fd=incoming, dst_dir_fd=own)

    def sync(self) -> None:
        """Have all that was written on the disk: the manifest must not know more than that.

        One call for the file system, where one for each of a thousand files takes seconds.

        Raises:
            OSError: The disk says no.
        """
        sync_file_system(self.descriptor)

    def lock(self) -> None:
        """Keep every other getlatest out until this process ends or closes the folder.

        Raises:
            CopyBusy: Another one is at work.
            CopyError: The folder is not the user's to write in.
        """
        own, _ = self._folders()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open("lock", flags, 0o666, dir_fd=own)
        try:
            alone = locks.take(self._lock)
        except OSError as error:
            if error.errno not in locks.NONE_HERE:  # without locks renames still protect
                raise
            alone = True
        if not alone:
            raise CopyBusy(
                f"{self.path}: another getlatest is at work in this folder",
                hint="Run it again when that one has ended.",
            )

    def clear(self, known: set[str], commit: str) -> list[str]:
        """Remove what a crash left in the incoming folder; return what was kept instead.

        A swapped-out file whose bytes no release holds (`known` blobs) is the user's: it was
        saved in the instant of the crash. It is kept as `.nbpipe/kept-N`.
        """
        own, incoming = self._folders()
        kept = []
        for name in os.listdir(incoming):  # noqa: PTH208  (a descriptor)
            mine, _ = _look(incoming, name, commit)
            if name.endswith(SWAP) and not (mine.content and mine.content.blob in known):
                number = 1
                while exists(f"kept-{number}", folder=own):
                    number += 1
                move_to_free(name, f"kept-{number}", folder=incoming, other_folder=own)
                kept.append(f"{FOLDER}/kept-{number}")
            else:
                os.unlink(name, dir_fd=incoming)
        return kept

    # ------------------------------------------------------------------ writing

    def bring(self, source: BinaryIO, *, executable: bool, durable: bool) -> str:
        """Write a file's bytes into the incoming folder; return its name there.

        Always writable for its user, whatever the umask and the source say. `durable`: on the
        disk before it returns, for what will replace another file.
        """
        _, incoming = self._folders()
        name = self._fresh() + PART
        try:
            with _created(name, 0o777 if executable else 0o666, incoming) as file:
                self._fill(file, source)
                file.flush()
                _make_writable(file.fileno())
                if durable:
                    os.fsync(file.fileno())
        except BaseException:
            self.drop(name)
            raise
        return name

    def save(self, path: str, seen: Seen) -> str | None:
        """Copy a file of the user's into the incoming folder, as private and as old as it is.

        Returns:
            Its name there; None where the file is no longer the one that was seen.
        """
        _, incoming = self._folders()
        name = self._fresh() + PART
        with self._parent(path) as (folder, last):
            try:
                with _reading(folder, last) as source, _created(name, 0o600, incoming) as file:
                    status = os.fstat(source.fileno())
                    self._fill(file, source)
                    file.flush()
                    os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode) & 0o777 | READ_WRITE)
                    os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
                    os.fsync(file.fileno())
                    same = seen == _seen(status) == _seen(os.lstat(last, dir_fd=folder))
            except FileNotFoundError:
                same = False
            except BaseException:
                self.drop(name)
                raise
        if not same:
            self.drop(name)
        return name if same else None

    def bring_link(self, target: str) -> str:
        """Make a symbolic link in the incoming folder; return its name there."""
        _, incoming = self._folders()
        name = self._fresh() + PART
        os.symlink(target, name, dir_fd=incoming)
        return name

    def drop(self, name: str) -> None:
        """Remove a file from the incoming folder."""
        _, incoming = self._folders()
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=incoming)

    def place(self, name: str, path: str) -> None:
        """Move an incoming file to a path that must be free; makes the folders above it.

        Raises:
            FileExistsError: The user was quicker; nothing was changed.
            BlockedError: A part of the path is no folder.
        """
        _, incoming = self._folders()
        with self._parent(path, make=True) as (folder, last):
            move_to_free(name, last, folder=incoming, other_folder=folder)

    def replace(self, name: str, path: str, seen: Seen) -> bool:
        """Put an incoming file in the place of the one that was seen there.

        Returns:
            False where the user changed it meanwhile: then it stands as the user left it, and
            the incoming file is still there under its name.
        """
        _, incoming = self._folders()
        swap = name.removesuffix(PART) + SWAP
        with self._parent(path) as (folder, last):
            if _seen(os.lstat(last, dir_fd=folder)) != seen:
                return False
            os.rename(name, swap, src_dir_fd=incoming, dst_dir_fd=incoming)
            try:
                if not exchange(swap, last, folder=incoming, other_folder=folder):
                    os.replace(swap, last, src_dir_fd=incoming, dst_dir_fd=folder)
                    return True
            except OSError:  # nothing moved: it is the release's file, and none of the user's
                os.rename(swap, name, src_dir_fd=incoming, dst_dir_fd=incoming)
                raise
            if _seen(os.lstat(swap, dir_fd=incoming)) == seen:
                os.unlink(swap, dir_fd=incoming)
                return True
            exchange(swap, last, folder=incoming, other_folder=folder)
        os.rename(swap, name, src_dir_fd=incoming, dst_dir_fd=incoming)
        return False

    def give_way(self, path: str, seen: Seen) -> bool:
        """Take a file away that a folder of the release replaces; False where it has changed."""
        _, incoming = self._folders()
        swap = self._fresh() + SWAP
        with self._parent(path) as (folder, last):
            os.rename(last, swap, src_dir_fd=folder, dst_dir_fd=incoming)
            if _seen(os.lstat(swap, dir_fd=incoming)) != seen:
                move_to_free(swap, last, folder=incoming, other_folder=folder)
                return False
        os.unlink(swap, dir_fd=incoming)
        return True

    def remove_folders(self, path: str) -> bool:
        """Remove a folder in which nothing but folders is; False where there is something."""
        with self._parent(path) as (folder, last):
            return _remove_folders(folder, last)

    def remove_empty(self, path: str) -> bool:
        """Remove one folder; False where something is in it."""
        try:
            with self._parent(path) as (folder, last):
                os.rmdir(last, dir_fd=folder)
        except OSError:
            return False
        return True

    def set_executable(self, path: str, *, executable: bool) -> None:
        """Set or clear the x bits of a file, as far as it may be read."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._parent(path) as (folder, name):
            descriptor = os.open(name, flags, dir_fd=folder)
            try:
                mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
                wanted = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
                os.fchmod(descriptor, wanted)
            finally:
                os.close(descriptor)

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Open the folder that holds a path, part by part; yield it with the last part."""
        *parts, last = path.split("/")
        folder = os.dup(self.descriptor)
        try:
            for number, part in enumerate(parts):
                below = _enter(folder, part, "/".join(parts[: number + 1]), make=make)
                os.close(folder)
                folder = below
            yield folder, last
        finally:
            os.close(folder)

    def _folders(self) -> tuple[int, int]:
        """Return `.nbpipe` and its incoming folder, opened; made where they are missing."""
        if self._own is None or self._incoming is None:
            try:
                self._own = _enter(self.descriptor, FOLDER, FOLDER, make=True)
                self._incoming = _enter(self._own, INCOMING, f"{FOLDER}/{INCOMING}", make=True)
            except OSError as error:
                raise self._not_ours(str(error.filename or FOLDER), error) from error
        return self._own, self._incoming

    def _fresh(self) -> str:
        self._number += 1
        return f"{os.getpid()}-{self._number}"

    def _fill(self, file: BinaryIO, source: BinaryIO) -> None:
        """Share the source's blocks where the file system can, else copy its bytes."""
        if self._clones:
            if clone(source, file):
                return
            self._clones = False  # another file system, or one without clones; or no file at all
        while chunk := source.read(CHUNK):
            file.write(chunk)

    def _not_ours(self, name: str, error: OSError) -> CopyError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise error
        if os.fstat(self.descriptor).st_nlink == 0:
            return CopyBusy(f"{self.path}: {ENDED_JUST_NOW}", hint="Run it again.")
        return CopyError(
            f"{self.path}/{name}: cannot be used: {error.strerror}",
            hint="getlatest keeps its notes there. Move it away, or take the copy elsewhere.",
        )


def _enter(folder: int, part: str, path: str, *, make: bool) -> int:
    """Open one folder below another, never through a link."""
    for _ in range(2):
        try:
            return os.open(part, OPEN_FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
            with suppress(FileExistsError):
                os.mkdir(part, 0o777, dir_fd=folder)
                _make_folder_writable(part, folder)
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise BlockedError(error.errno, error.strerror, path) from error
            raise
    raise BlockedError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def _make_folder_writable(part: str, folder: int) -> None:
    """Give a new folder to its user whatever the umask says."""
    mode = stat.S_IMODE(os.lstat(part, dir_fd=folder).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(part, mode | stat.S_IRWXU, dir_fd=folder)


def _make_writable(descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & READ_WRITE != READ_WRITE:
        os.fchmod(descriptor, mode | READ_WRITE)


def _look(folder: int, name: str, commit: str) -> tuple[Mine, Seen | None]:
    status = os.lstat(name, dir_fd=folder)
    if stat.S_ISLNK(status.st_mode):
        content = text_content(os.readlink(name, dir_fd=folder), commit)
        return Mine(Kind.LINK, content), _seen(status)
    if stat.S_ISDIR(status.st_mode):
        return Mine(Kind.FOLDER), None
    if not stat.S_ISREG(status.st_mode):
        return Mine(Kind.OTHER), None
    try:
        with _reading(folder, name) as file:
            seen = _seen(os.fstat(file.fileno()))
            return Mine(Kind.FILE, file_content(file, commit)), seen
    except PermissionError:
        return Mine(Kind.OTHER), None


def _reading(folder: int, name: str) -> io.FileIO:
    """Open a file to read, never through a link, and without waiting where it is a FIFO."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return io.FileIO(os.open(name, flags, dir_fd=folder), "rb")


def _below(
    folder: int, name: str, path: str, commit: str
) -> Iterator[tuple[str, Mine, Seen | None]]:
    inner = os.open(name, OPEN_FOLDER, dir_fd=folder)
    try:
        for each in sorted(os.listdir(inner)):  # noqa: PTH208  (a descriptor)
            mine, seen = _look(inner, each, commit)
            if mine.kind is Kind.FOLDER:
                yield from _below(inner, each, f"{path}/{each}", commit)
            yield f"{path}/{each}", mine, seen
    finally:
        os.close(inner)


def _remove_folders(folder: int, name: str) -> bool:
    inner = os.open(name, OPEN_FOLDER, dir_fd=folder)
    try:
        for each in os.listdir(inner):  # noqa: PTH208  (likewise)
            status = os.lstat(each, dir_fd=inner)
            if not stat.S_ISDIR(status.st_mode) or not _remove_folders(inner, each):
                return False
    finally:
        os.close(inner)
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    return True


def _seen(status: os.stat_result) -> Seen:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _created(name: str, mode: int, folder: int) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(name, flags, mode, dir_fd=folder), "wb")  # noqa: PTH123
