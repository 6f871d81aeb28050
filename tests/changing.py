"""A collection in a repository of git that changes, run for real, and what a change affects."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ondisk import Collection

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Ended

_DECIDED = re.compile(r"^ {1,7}(?:\d+ {2})?(\S+\.(?:ipynb|md)).*\n {9}(.+)$", re.MULTILINE)
_AUTHOR = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@dataclass
class Changing:
    """A repository with its collection; its history is its own."""

    collection: Collection
    top: Path

    def write(self, path: str, text: str) -> None:
        """Write a file of the repository."""
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        return subprocess.run(
            ["git", "-C", str(self.top), *arguments],
            env={**os.environ, **_AUTHOR},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.strip()

    def commit(self) -> str:
        """Commit all there is; return the commit's name."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def run(self, *arguments: str) -> Ended:
        """Run notebooks; everything must pass."""
        ended = self.collection.test(*arguments)
        assert ended.code == 0, ended.out + ended.err
        return ended

    def affected(self, rev: str = "HEAD") -> dict[str, str]:
        """Return why each notebook would run."""
        done = subprocess.run(
            [*self.collection.command(), "--list", "--changed-since", rev],
            cwd=self.collection.root,
            env=self.collection.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        would_run = done.stdout.partition("would be skipped:")[0]
        if "would run" not in would_run:
            return {}
        return {
            path: re.sub(r"\b\d{8}T\S+", "RUN", why) for path, why in _DECIDED.findall(would_run)
        }


def changing(folder: Path) -> Changing:
    """Return a repository without anything in it yet."""
    root = folder / "repository"
    root.mkdir()
    collection = Collection(root, folder / "output", {"XDG_STATE_HOME": str(folder / "state")})
    found = Changing(collection, root)
    found.git("init", "-q", "-b", "main")
    found.write("nbpipe.toml", "")
    return found
