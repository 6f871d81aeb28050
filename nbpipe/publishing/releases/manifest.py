"""What a release holds, to the byte: kept beside the mirror for as long as the release is.

Verification, repair and what people are shown go by it, so that a later change of the settings
does not make an old release look wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nbpipe.system import files, private

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
_FEW = 6
"""Files below which a share of them says little."""


class File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A regular file."""

    path: str
    """Relative to the release, with `/`."""
    blob: str
    """The blob's id in git."""
    executable: bool
    size: int
    """Bytes, as published."""
    large: str = ""
    """SHA-256 of what a Git LFS pointer was replaced by; empty where the blob is the content."""
    source: str = ""
    """Of an executed notebook: the blob's id in git. `blob` then names what was made of it."""

    @property
    def key(self) -> str:
        """Name the content and mode, the same for every file that can be one inode."""
        return f"{self.large or self.blob}{'x' if self.executable else ''}"

    @property
    def origin(self) -> str:
        """Name the content that the commit has, however it is published."""
        return self.source or self.large or self.blob


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A symbolic link that stays inside."""

    path: str
    target: str
    blob: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All of a release."""

    format: int = FORMAT
    commit: str
    folders: tuple[str, ...]
    """Every one after the one it is in."""
    files: tuple[File, ...]
    links: tuple[Link, ...]
    warnings: tuple[str, ...] = ()
    """What was left out or published with doubts."""
    policy: str = ""
    """Fingerprint of the settings that decided this; empty: an earlier version made it."""
    outputs: str = ""
    """Fingerprint of the settings that executed notebooks were published under; empty: none are."""
    run: str = ""
    """The id of the gate's run that executed the files with a `source`."""
    ran: str = ""
    """When it started: ISO 8601, UTC."""

    @property
    def content(self) -> tuple[object, ...]:
        """All that readers can see, to compare."""
        return frozenset(self.folders), frozenset(self.files), frozenset(self.links)

    @property
    def sources(self) -> tuple[object, ...]:
        """All that the commit decides, to compare: `content` without what a run has made."""
        files = frozenset((file.path, file.origin, file.executable) for file in self.files)
        return frozenset(self.folders), files, frozenset(self.links)

    @property
    def executed(self) -> int:
        """Count the notebooks that are published with the outputs of the gate's run."""
        return sum(bool(file.source) for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def loss(before: Manifest, after: Manifest) -> float:
    """Return which share of the files is gone: neither at its place nor, moved, at another.

    Nothing is, where there are as many files as before: a tree that was replaced is not emptied.
    Nor in a tree of a few files, unless all are gone: one of them is a large share of it.
    """
    if not before.files or len(after.files) >= len(before.files):
        return 0.0
    if after.files and len(before.files) < _FEW:
        return 0.0
    paths = {file.path for file in after.files}
    contents = {file.origin for file in after.files}
    lost = [file for file in before.files if file.path not in paths and file.origin not in contents]
    return len(lost) / len(before.files)


def write(folder: Path, manifest: Manifest) -> None:
    """Keep a manifest in the folder, whole or not at all."""
    folder.mkdir(private.FOLDER, exist_ok=True)
    file, fresh = (folder / f"{manifest.commit}.{ending}" for ending in ("json", "new"))
    files.replace(file, msgspec.json.encode(manifest), mode=private.FILE, fresh=fresh)


def read(folder: Path, commit: str) -> Manifest | None:
    """Return the manifest of that release, None where there is no readable one."""
    try:
        data = (folder / f"{commit}.json").read_bytes()
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    return manifest if manifest.format == FORMAT and manifest.commit == commit else None
