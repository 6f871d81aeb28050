"""What takes a notebook out: exclusions by default, the configuration's, the command line's.

They are asked in that order, and the last that says something decides, so a `!` line of the
configuration can bring back what is excluded by default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.collecting.paths import GitLines, anchored, comparable, escape, is_wild, printable
from nbpipe.collecting.scopes import is_below, normal, split_wild
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from nbpipe.collecting.walks import Found

BY_DEFAULT = (
    ".ipynb_checkpoints/",
    ".git/",
    "node_modules/",
    "*_tested.ipynb",
    "*Template.ipynb",
    "testnotebooks.ipynb",
)


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that patterns are relative to; absolute, real paths."""

    root: str
    cwd: str

    def shown(self, path: str) -> str:
        """Return the path as reports show it: relative to the root, absolute outside of it."""
        inside = is_below(path, self.root)
        return printable(path[len(self.root) :].lstrip("/") if inside else path)

    def relative(self, path: str, start: str) -> str:
        """Return the path below the root, else below the folder where the search began."""
        for folder in (self.root, start):
            if is_below(path, folder):
                return comparable(path[len(folder) :].lstrip("/"))
        return comparable(os.path.basename(path))  # noqa: PTH119


class Exclusions:
    """All exclusions of one command."""

    def __init__(
        self,
        places: Places,
        *,
        by_default: bool,
        configured: tuple[str, ...],
        file: str,
        given: tuple[str, ...],
    ) -> None:
        """Compile them; `file` is the configuration's name, `given` come from `--exclude`.

        Raises:
            UsageError: A pattern is none that git would accept.
        """
        self._places = places
        self._by_default = by_default
        self._file = file
        self._default_lines = GitLines(BY_DEFAULT if by_default else (), where="default")
        self._configured = GitLines(configured, where=f"{file}: test.exclude")
        self._given = [_Given(pattern, places) for pattern in given]

    def reason(self, found: Found, start: str, *, folder: bool = False) -> str | None:
        """Return why the file (or folder) is taken out, None where it is not.

        Args:
            found: The file.
            start: The folder of the pattern that matched it.
            folder: It is a folder.
        """
        path = found.path
        relative = self._places.relative(path, start) + ("/" if folder else "")
        reason = self._default(found, relative)
        if is_below(path, self._places.root):
            taken, line = self._configured.decide(relative)
            if taken is not None:
                reason = f"excluded by {self._file}: exclude = {line!r}" if taken else None
        for given in self._given:
            if given.takes(path, relative):
                reason = f"excluded by --exclude: {given.pattern}"
        return None if reason is None else printable(reason)

    def is_default(self, found: Found, start: str) -> bool:
        """Return whether the file lies in a folder that nobody writes notebooks in."""
        return self._default(found, self._places.relative(found.path, start)) is not None

    def _default(self, found: Found, relative: str) -> str | None:
        if not self._by_default:
            return None
        taken, line = self._default_lines.decide(relative)
        if taken:
            return f"excluded by default: {line}"
        return f"excluded by default: {found.generated}" if found.generated else None


class _Given:
    """One pattern of `--exclude`: a .gitignore line at the working directory."""

    def __init__(self, pattern: str, places: Places) -> None:
        self.pattern = pattern
        self._places = places
        where = f"--exclude {pattern!r}"
        if not pattern:
            raise UsageError(
                f"{where}: the pattern is empty", hint="Is a variable of the shell not set?"
            )
        bare = pattern.rstrip("/")
        self._base = ""
        if "/" not in bare and bare not in {"", ".", ".."}:
            exists = os.path.lexists(os.path.join(places.cwd, bare))  # noqa: PTH118
            self._lines = GitLines([escape(bare) if exists else anchored(bare)], where=where)
            return
        path = normal(pattern, places.cwd)
        if os.path.lexists(path) or not is_wild(path):
            self._base, segments = os.path.split(path)[0], [escape(os.path.basename(path))]  # noqa: PTH119
        else:
            self._base, segments = split_wild(path)
        self._lines = GitLines([anchored(f"/{'/'.join(segments)}")], where=where)
        if path == "/":
            self._base = "/"

    def takes(self, path: str, relative: str) -> bool:
        """Return whether it takes out the file; `relative` is its path below root or start."""
        if self._base:
            below = is_below(path, self._base)
            return below and self._lines.take(comparable(path[len(self._base) :].lstrip("/")))
        cwd = self._places.cwd
        if is_below(path, cwd):
            relative = comparable(path[len(cwd) :].lstrip("/"))
        return self._lines.take(relative)
