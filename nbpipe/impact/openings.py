"""Which files of a repository are opened while a notebook runs, whoever opens them.

What a Python interpreter opens its audit hook sees (see `audithook`); what compiled code opens it
does not. inotify(7) needs no privilege and sees every opened file, by name, but not the process.
So what was opened while several notebooks ran counts for each of them that has compiled code at
work: rather one too many than one too few. Reads through a mapping have no event of their own;
the end of the last descriptor or mapping has one, which is what counts here.

What inotify cannot show is a file that was looked for in vain (see `mentions.survives_a_miss`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.worktree import CACHES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ACCESS, _MODIFY = 0x1, 0x2
_CLOSE_WRITE, _CLOSE_NOWRITE = 0x8, 0x10
_MOVED_TO, _CREATE = 0x80, 0x100
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_IS_FOLDER = 0x40000000
_ONLY_FOLDERS, _NO_LINKS = 0x01000000, 0x02000000
_WANTED = _ACCESS | _MODIFY | _CLOSE_WRITE | _CLOSE_NOWRITE | _MOVED_TO | _CREATE
_EVENT = struct.Struct("iIII")

_PAUSE = 0.02
"""Seconds between two looks: many events at once cost less."""
_MOST_FOLDERS = 50_000
"""A watch takes about a kilobyte of the system's memory, and a user has a limited number."""
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
"""What a folder holds that is an environment: packages are traced by their versions."""
_SKIPPED = CACHES | {"node_modules"}
"""Git's own folder is among these: the runner asks git, and so may an editor, at any time."""


class CannotWatchError(Exception):
    """What is opened here cannot be seen; the message says why."""


@dataclass(slots=True)
class Opened:
    """What happened to the files while somebody watched; paths are relative to the top."""

    read: set[str] = field(default_factory=set)
    """Opened for reading, and closed."""
    written: set[str] = field(default_factory=set)
    """Opened for writing, and closed; or moved to that name."""
    fresh: set[str] = field(default_factory=set)
    """Came to be, or were written before anything was read from them."""
    touched: set[str] = field(default_factory=set)
    """Everything that had an event."""
    shared: bool = False
    """Whether others watched for a part of the time: some of it may be theirs."""
    lost: str = ""
    """Why something is missing here."""


class Openings:
    """Watches all folders of a repository.

    Args:
        top: The repository's, as the operating system resolves it.
        apart: A folder in which the runner itself writes.

    Raises:
        CannotWatchError: That is not possible here.
    """

    def __init__(self, top: Path, apart: Path | None = None) -> None:
        self._top = str(top)
        self._apart = str(apart) if apart else ""
        self._folders: dict[int, str] = {}
        self.links: set[str] = set()
        """Symbolic links, which an opened file may have been reached through."""
        self._active: dict[object, Opened] = {}
        self._lock = threading.RLock()
        self._library = ctypes.CDLL(None, use_errno=True)
        self._reader = threading.Thread(target=self._read_on, name="openings", daemon=True)
        self._descriptors: list[int] = []
        try:
            self._fd = self._begin()
            self._descriptors = [self._fd]
            self._stop, self._stopping = os.pipe()
            self._descriptors += [self._stop, self._stopping]
            self._watch_below("")
            self._prove()
            self._reader.start()
        except (OSError, RuntimeError) as error:  # no more files, no more threads
            self._close()
            raise CannotWatchError(str(error)) from error
        except BaseException:
            self._close()
            raise

    def _begin(self) -> int:
        try:
            fd: int = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as error:
            raise CannotWatchError("this system has no inotify") from error
        if fd < 0:
            raise CannotWatchError(_told("inotify_init1", ctypes.get_errno()))
        return fd

    def begin(self, key: object) -> None:
        """Watch for somebody from now on."""
        with self._lock:
            self._drain()
            opened = self._active[key] = Opened(shared=bool(self._active))
            for other in self._active.values():
                other.shared = other.shared or other is not opened

    def end(self, key: object) -> Opened | None:
        """Return what happened since `begin`; None where that was never called."""
        with self._lock:
            self._drain()
            return self._active.pop(key, None)

    def close(self) -> None:
        """Watch nothing any more."""
        os.write(self._stopping, b".")
        self._reader.join()
        self._close()

    def _close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    def _watch_below(self, folder: str) -> None:
        """Watch a folder of the repository and all below it."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            full = f"{self._top}/{folder}" if folder else self._top
            self._watch(full, folder)
            try:
                with os.scandir(full) as entries:
                    found = list(entries)
            except OSError:  # it has gone again, or nobody may look into it
                continue
            if folder and any(each.name in _ENVIRONMENTS for each in found):
                continue
            for entry in found:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_symlink():
                    self.links.add(path)
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED and f"{self._top}/{path}" != self._apart:
                        waiting.append(path)
                else:
                    self._seen_late(path)

    def _watch(self, full: str, folder: str) -> None:
        if len(self._folders) >= _MOST_FOLDERS:
            raise CannotWatchError(f"it has more than {_MOST_FOLDERS} folders")
        wanted = _WANTED | _ONLY_FOLDERS | _NO_LINKS
        number = self._library.inotify_add_watch(self._fd, os.fsencode(full), wanted)
        if number >= 0:
            self._folders[number] = folder
            return
        code = ctypes.get_errno()
        if code not in {errno.ENOENT, errno.ENOTDIR}:  # else it has gone again
            raise CannotWatchError(_told(f"inotify_add_watch {folder or '.'}", code))

    def _seen_late(self, path: str) -> None:
        """Count a file of a folder that came during a run as read: that was too early to see."""
        for opened in self._active.values():
            opened.touched.add(path)
            opened.fresh.add(path)
            opened.written.add(path)
            if opened.shared:
                opened.read.add(path)

    def _prove(self) -> None:
        """Look whether a file that is opened is seen: not every file system and sandbox tells."""
        for number, folder in list(self._folders.items()):
            for name in self._names(folder):
                full = f"{self._top}/{folder}/{name}" if folder else f"{self._top}/{name}"
                with contextlib.suppress(OSError):
                    os.close(os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
                    if any(event[0] == number for event in self._events()):
                        return
                    raise CannotWatchError("this file system does not say what is opened")
        raise CannotWatchError("it has no file to try it with")

    def _names(self, folder: str) -> list[str]:
        full = f"{self._top}/{folder}" if folder else self._top
        try:
            with os.scandir(full) as entries:
                return [each.name for each in entries if each.is_file(follow_symlinks=False)]
        except OSError:
            return []

    def _read_on(self) -> None:
        """Read events as they come: what nobody reads is lost at 16,384 (max_queued_events)."""
        while True:
            ready, _, _ = select.select([self._fd, self._stop], [], [])
            if self._stop in ready or self._stop in select.select([self._stop], [], [], _PAUSE)[0]:
                return
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        for number, mask, name in self._events():
            self._take(number, mask, name)

    def _events(self) -> Iterator[tuple[int, int, str]]:
        """Yield watch, kind and name of all that has happened up to now."""
        while True:
            try:
                data = os.read(self._fd, 1 << 18)
            except BlockingIOError:
                return
            start = 0
            while start < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, start)
                start += _EVENT.size + length
                name = data[start - length : start].rstrip(b"\0")
                yield number, mask, os.fsdecode(name)

    def _take(self, number: int, mask: int, name: str) -> None:
        if mask & (_OVERFLOW | _UNMOUNT):
            self._lose("more files were opened at the same time than the system records")
            return
        if mask & _IGNORED:
            self._folders.pop(number, None)
            return
        folder = self._folders.get(number)
        if folder is None or not name:
            return
        path = f"{folder}/{name}" if folder else name
        if mask & _IS_FOLDER:
            if mask & (_CREATE | _MOVED_TO):
                self._came(path, name)
            return
        for opened in self._active.values():
            _note(opened, mask, path)

    def _came(self, path: str, name: str) -> None:
        """Watch a folder that has come, too."""
        if name in _SKIPPED or f"{self._top}/{path}" == self._apart:
            return
        try:
            self._watch_below(path)
        except CannotWatchError as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        for opened in self._active.values():
            opened.lost = why


def _note(opened: Opened, mask: int, path: str) -> None:
    """Add one event to what happened while somebody watched."""
    if mask & (_CREATE | _MOVED_TO | _MODIFY) and path not in opened.touched:
        opened.fresh.add(path)
    if mask & (_CREATE | _MOVED_TO | _MODIFY | _ACCESS | _CLOSE_NOWRITE):
        opened.touched.add(path)
    if mask & (_CLOSE_WRITE | _MOVED_TO):
        opened.written.add(path)
    if mask & _CLOSE_NOWRITE:
        opened.read.add(path)


def _told(call: str, code: int) -> str:
    why = os.strerror(code)
    if code in {errno.ENOSPC, errno.EMFILE}:
        name = "max_user_watches" if code == errno.ENOSPC else "max_user_instances"
        why = f"fs.inotify.{name} (sysctl) is too low"
    return f"{call}: {why}"
