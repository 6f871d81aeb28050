"""Whether a release on disk is, to the byte and the mode, what its manifest says."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.publishing.releases.build import EXECUTABLE, FILE, FOLDER, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.publishing.releases.manifest import File, Manifest


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was published."""

    path: str
    """Relative to the release; `.` for its own folder."""
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def examine(
    folder: Path, manifest: Manifest, *, top: int = FOLDER, content: bool = True
) -> list[Damage]:
    """Return everything in the release's folder that is not as published.

    Args:
        folder: The release.
        manifest: What it should be.
        top: The mode of the folder itself.
        content: Read the files; otherwise their sizes and modes have to do.
    """
    if not folder.is_dir():
        return [Damage(".", "the folder is missing")]
    found = dict(_entries(folder))
    damages = [] if (mode := _mode(folder)) == top else [Damage(".", f"its mode is {mode:04o}")]
    for path in manifest.folders:
        damages += _folder(path, found.pop(path, None))
    for file in manifest.files:
        damages += _file(folder, file, found.pop(file.path, None), content=content)
    for link in manifest.links:
        status = found.pop(link.path, None)
        if status is None or not stat.S_ISLNK(status.st_mode):
            damages.append(Damage(link.path, "the link is missing"))
        elif os.readlink(folder / link.path) != link.target:  # noqa: PTH115  (its text as it is)
            damages.append(Damage(link.path, "the link leads elsewhere"))
    return damages + [Damage(path, "does not belong here") for path in sorted(found)]


def fingerprint(folder: Path) -> str:
    """Return what differs as soon as anything there was written, renamed or given another mode.

    Nothing is read but what stat(2) says; a missing folder has an empty one.
    """
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for path, status in sorted([(".", folder.lstat()), *_entries(folder)]):
        facts = (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_size)
        when = (status.st_mtime_ns, status.st_ctime_ns)
        digest.update(repr((path, facts, when)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _entries(folder: Path) -> list[tuple[str, os.stat_result]]:
    pending, entries = [""], []
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as names:
            for name in names:
                status = name.stat(follow_symlinks=False)
                entries.append((prefix + name.name, status))
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{prefix}{name.name}/")
    return entries


def _folder(path: str, status: os.stat_result | None) -> list[Damage]:
    if status is None or not stat.S_ISDIR(status.st_mode):
        return [Damage(path, "the folder is missing")]
    if (mode := stat.S_IMODE(status.st_mode)) != FOLDER:
        return [Damage(path, f"its mode is {mode:04o}")]
    return []


def intact(path: Path, file: File) -> bool:
    """Return whether that path has the file's content and mode."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return not _wrong(path, file, status, content=True)


def _file(
    folder: Path, file: File, status: os.stat_result | None, *, content: bool
) -> list[Damage]:
    if status is None:
        return [Damage(file.path, "the file is missing")]
    return [
        Damage(file.path, what)
        for what in _wrong(folder / file.path, file, status, content=content)
    ]


def _wrong(path: Path, file: File, status: os.stat_result, *, content: bool) -> list[str]:
    if not stat.S_ISREG(status.st_mode):
        return ["it is not a regular file"]
    mode = stat.S_IMODE(status.st_mode)
    wrong = [] if mode == (EXECUTABLE if file.executable else FILE) else [f"its mode is {mode:04o}"]
    if status.st_size != file.size:
        return [*wrong, f"it is {status.st_size:,} bytes long, not {file.size:,}"]
    if not content:
        return wrong
    digest = digest_of(file)
    try:
        with path.open("rb") as source:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        return [*wrong, f"it cannot be read: {error.strerror}"]
    if digest.hexdigest() != (file.large or file.blob):
        wrong.append("its content is not what was published")
    return wrong


def _mode(folder: Path) -> int:
    return stat.S_IMODE(folder.lstat().st_mode)
