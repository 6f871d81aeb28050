"""Check spaces: the link is right, the content is the current release, a write as the user fails.

The files to read are drawn once for all homes and held against the release's manifest, so that
what every user is shown is known to be what was published. No printing here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.publishing.copies.releases import blob_hash
from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.releases import manifest
from nbpipe.publishing.releases.mirror import Mirror
from nbpipe.publishing.spaces.proof import Proof, prove
from nbpipe.publishing.spaces.space import Space, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from nbpipe.publishing.spaces.sync import Spaces

FILES = 5
"""Files of the release that every user is made to read."""
LARGEST = 20_000_000
"""Bytes; larger files are not drawn."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of checking one space."""

    space: Space
    proof: Proof | None
    """None where the link already is wrong."""

    @property
    def right(self) -> bool:
        """Whether everything holds."""
        return self.proof is not None and self.proof.holds


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of the current release with the SHA-256 of what was published."""

    commit: str
    folder: Path
    files: dict[str, str]
    problems: tuple[str, ...]
    """Files of the mirror itself that are not what was published."""
    known: bool
    """Whether there was a manifest to hold them against."""


def check(
    places: Spaces, sample: Sample, *, count: int | None, random: Random
) -> Iterator[Checked]:
    """Yield what came of each space; skipped homes are none.

    Args:
        places: Where to look.
        sample: What every user is made to read.
        count: How many homes, drawn at random; None: all.
        random: Draws them.

    Raises:
        UsageError: This is not root, who alone can become the users.
    """
    if os.geteuid() != 0:
        raise UsageError(
            "nbpipe space check: becomes every user in turn and must run as root",
            hint="`sudo nbpipe space check`; `nbpipe space list` needs no root.",
        )
    found = [space for space in places.survey() if space.state is not State.SKIPPED]
    if count is not None and count < len(found):
        found = sorted(random.sample(found, count), key=lambda space: space.home)
    mirror = Mirror(places.mirror.parent, places.mirror.name)
    for space in found:
        result = _checked(places, space, sample)
        if not result.right and mirror.current() != sample.commit:  # published meanwhile
            sample = draw(places, random=random)
            result = _checked(places, space, sample)
        yield result


def draw(places: Spaces, *, random: Random, count: int = FILES) -> Sample:
    """Choose files of the current release and hold them against its manifest.

    Raises:
        MirrorError: Nothing is published, or the release went while it was read.
    """
    mirror = Mirror(places.mirror.parent, places.mirror.name)
    commit = mirror.current()
    if commit is None:
        raise MirrorError(
            f"{places.mirror}: nothing is published here",
            hint=f"`nbpipe publish {mirror.name}` makes the mirror.",
        )
    folder = mirror.release(commit)
    held = manifest.read(mirror.state / "manifests", commit)
    blobs = {file.path: file.large or file.blob for file in held.files} if held else {}
    files: dict[str, str] = {}
    problems: list[str] = []
    for path in _draw(folder, random, count):
        blob, digest = _hashes(folder / path, commit)
        files[path] = digest
        if held and blobs.get(path) not in {blob, digest}:
            problems.append(f"{folder / path}: is not what was published")
    return Sample(commit, folder, files, tuple(problems), held is not None)


def _checked(places: Spaces, space: Space, sample: Sample) -> Checked:
    if space.state is not State.PRESENT or space.account is None:
        return Checked(space, None)
    try:
        status = sample.folder.stat()
    except OSError as error:
        raise MirrorError(
            f"{sample.folder}: was cleaned up while spaces were checked",
            hint="Run the check again.",
        ) from error
    link = f"{space.home}/{places.name}"
    return Checked(space, prove(link, space.account, release=status, expected=sample.files))


def _draw(folder: Path, random: Random, count: int) -> list[str]:
    """Return files of a release drawn at random, those in its top folder not preferred."""
    found: list[str] = []
    for above, _, names in os.walk(folder):
        for name in names:
            path = Path(above, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST:
                found.append(str(path.relative_to(folder)))
    found.sort()
    return random.sample(found, min(count, len(found)))


def _hashes(file: Path, commit: str) -> tuple[str, str]:
    """Return a file's blob id in git and its SHA-256."""
    data = file.read_bytes()
    blob = blob_hash(commit, len(data))
    blob.update(data)
    return blob.hexdigest(), hashlib.sha256(data).hexdigest()
