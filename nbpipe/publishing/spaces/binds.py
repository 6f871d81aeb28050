"""Read-only mounts of a mirror in users' homes, so that not even a container's root can write.

    <home>/.nbpipe-space/<name>    the mirror's parent (releases and current), ro, nosuid, nodev

The parent is mounted, never `current` itself: a mount pins what it was made of, and a flip would
stay invisible. The folder belongs to root; a mount's target is named by its descriptor
(/proc/self/fd/N), so no path of the user's is ever resolved. The mount is made read-only once,
in a private place, and every home gets a copy of that: there is no moment in which it is writable.
Mounts end with the machine: `nbpipe space sync` belongs into its start.

Source of the rules: mount(2), "Creating a bind mount", "Remounting an existing mount".
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FOLDER = ".nbpipe-space"
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND = 1, 2, 4, 32, 4096
MNT_DETACH = 2
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def link_target(name: str) -> str:
    """Return where the link in a home points: relative, so that it holds in a container too."""
    return f"{FOLDER}/{name}/current"


@contextmanager
def read_only(mirror: Path) -> Iterator[Path]:
    """Mount the mirror's folder read-only in a private place, for as long as the block runs.

    Raises:
        OSError: It may not be mounted.
    """
    place = Path(tempfile.mkdtemp(prefix="nbpipe-", dir=_private()))
    try:
        _mount(mirror, place, MS_BIND)
        try:
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV
            _mount(Path("none"), place, flags)
            yield place
        finally:
            _unmount(str(place))
    finally:
        place.rmdir()


def is_mounted(home: int, name: str, mirror: os.stat_result) -> bool:
    """Return whether the mirror is mounted in an open home, and read-only.

    Raises:
        OSError: The place is taken by something that is no folder.
    """
    try:
        with _place(home, name, make=False) as (_, place):
            return _right(place, mirror)
    except FileNotFoundError:
        return False


def mount(home: int, name: str, prepared: Path, mirror: os.stat_result) -> bool:
    """Mount the prepared mirror in an open home; False where it already was.

    A mount of ours that is stale (an older mirror) is replaced.

    Raises:
        OSError: The place is the user's own, or may not be mounted on.
    """
    with _place(home, name, make=True) as (_, place):
        if _right(place, mirror):
            return False
    while _unmounted(home, name):  # one that is stale, and whatever lies below it
        pass
    with _place(home, name, make=True) as (_, place):
        status = os.fstat(place)
        if status.st_uid != 0 or os.listdir(f"/proc/self/fd/{place}"):  # noqa: PTH208  (likewise)
            raise OSError(errno.EEXIST, f"{FOLDER}/{name} is in the way")
        _mount(prepared, Path(f"/proc/self/fd/{place}"), MS_BIND)
        return True


def unmount(home: int, name: str) -> bool:
    """Take the mount away from an open home, and its folders; False where there was none.

    Raises:
        OSError: It may not be.
    """
    found = False
    try:
        while _unmounted(home, name):
            found = True
        _take_away(home, FOLDER, name)
    except FileNotFoundError:
        return False
    return found


def strays(name: str) -> Mapping[str, tuple[str, ...]]:
    """Return home -> its folders, other than ours, that hold a mount with that name.

    The folder of our mounts stands in the user's home: its user cannot remove it, but can call it
    something else, and the mount moves along.
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        place = os.fsdecode(re.sub(rb"\\(\d{3})", _octal, line.split(b" ")[4]))
        home, folder, last = ("", *place.rsplit("/", 2))[-3:]
        if last == name and folder != FOLDER:
            found[home] = (*found.get(home, ()), folder)
    return found


def unmount_strays(home: int, name: str, folders: Iterable[str], mirror: os.stat_result) -> bool:
    """Take away our mounts in folders of an open home that its user renamed; False: none there.

    Only a read-only mount of the mirror in a folder of root's is ours.

    Raises:
        OSError: One may not be taken away.
    """
    found = False
    for folder in folders:
        with suppress(FileNotFoundError, FileExistsError):  # renamed again, or the user's own
            while _unmounted(home, name, folder, only=mirror):
                found = True
            _take_away(home, folder, name)
    return found


def _octal(match: re.Match[bytes]) -> bytes:
    """Return the character that mountinfo writes in octal (proc(5))."""
    return bytes([int(match[1], 8)])


def _unmounted(
    home: int, name: str, folder: str = FOLDER, *, only: os.stat_result | None = None
) -> bool:
    """Take the uppermost mount away from its place; False where there is none (of `only`)."""
    with _place(home, name, make=False, folder=folder) as (parent, place):
        if _mount_id(place) == _mount_id(parent) or (only and not _right(place, only)):
            return False
        _unmount(f"/proc/self/fd/{place}")
        return True


def _take_away(home: int, folder: str, name: str) -> None:
    """Remove the folders of a mount that is gone; what is in use or not empty stays."""
    with _place(home, name, make=False, folder=folder) as (parent, _), suppress(OSError):
        os.rmdir(name, dir_fd=parent)
    with suppress(OSError):
        os.rmdir(folder, dir_fd=home)


@contextmanager
def _place(home: int, name: str, *, make: bool, folder: str = FOLDER) -> Iterator[tuple[int, int]]:
    """Open the mount's place and the folder above; made where missing, never through a link.

    Raises:
        FileNotFoundError: It is not there and is not to be made.
        OSError: A part of it is a link, a file, or a folder that is not root's.
    """
    parent = _folder(home, folder, make=make)
    try:
        if os.fstat(parent).st_uid != 0:
            raise OSError(errno.EEXIST, f"{folder} is in the way: a folder of the user's own")
        place = _folder(parent, name, make=make)
        try:
            yield parent, place
        finally:
            os.close(place)
    finally:
        os.close(parent)


def _folder(above: int, name: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=above)
    try:
        return os.open(name, _PLACE, dir_fd=above)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise OSError(errno.EEXIST, f"{name} is in the way: not a folder") from error
        raise


def _right(place: int, mirror: os.stat_result) -> bool:
    same = os.path.samestat(os.fstat(place), mirror)
    return same and bool(os.fstatvfs(place).f_flag & os.ST_RDONLY)


def _mount_id(descriptor: int) -> str:
    """Return the mount that an open file lies on (proc(5), fdinfo)."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
    return next(line for line in lines if line.startswith("mnt_id"))


def _private() -> Path:
    """Return a folder of root's that nobody else can write in."""
    for folder in (Path("/run"), Path("/var/lib")):
        if folder.is_dir() and not folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return folder
    return Path("/root")


@functools.cache
def _library() -> Any:  # noqa: ANN401  (ctypes makes its functions when they are named)
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: Path, target: Path, flags: int) -> None:
    names = os.fsencode(source), os.fsencode(target)
    if _library().mount(*names, None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount of {source}: {os.strerror(number)}")


def _unmount(target: str) -> None:
    if _library().umount2(os.fsencode(target), MNT_DETACH):
        number = ctypes.get_errno()
        raise OSError(number, f"unmount of {target}: {os.strerror(number)}")
