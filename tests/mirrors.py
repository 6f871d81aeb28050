"""Mirrors made by hand, laid out as the publisher lays them out; for tests and benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Content = str | bytes | tuple[str]
"""Text, bytes, or a link's target as the only member of a tuple."""


class HandMadeMirror:
    """`<root>/<name>` with releases and `current`."""

    def __init__(self, root: Path, name: str = "notebooks-latest") -> None:
        self.path = root / name
        (self.path / "releases").mkdir(parents=True)
        for folder in (root, self.path, self.path / "releases"):
            folder.chmod(0o755)

    def publish(
        self, commit: str, files: Mapping[str, Content], *, executable: tuple[str, ...] = ()
    ) -> Path:
        """Add a release and make it the current one; `commit` is filled up to 40 digits."""
        commit = commit.ljust(40, "0")
        release = self.path / "releases" / commit
        release.mkdir()
        for path, content in files.items():
            file = release / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, tuple):
                file.symlink_to(content[0])
                continue
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            file.chmod(0o555 if path in executable else 0o444)
        for folder, _, _ in os.walk(release, topdown=False):
            Path(folder).chmod(0o555)
        self.flip(commit)
        return release

    def flip(self, commit: str) -> None:
        """Make a release the current one."""
        fresh = self.path / "current.new"
        fresh.symlink_to(Path("releases") / commit.ljust(40, "0"))
        fresh.replace(self.path / "current")

    def remove(self, commit: str) -> None:
        """Clean a release up as the publisher does: out of the way first."""
        trash = self.path / f".trash-{commit}"
        release = self.path / "releases" / commit.ljust(40, "0")
        release.chmod(0o755)
        release.rename(trash)


def tree(folder: Path) -> dict[str, str]:
    """Return every file of a copy with its text; links as `-> target`; without `.nbpipe`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] == ".nbpipe":
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text()
    return found
