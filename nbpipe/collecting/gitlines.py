"""Lines of a .gitignore, asked which of them decides about a path.

The rules are git's own (https://git-scm.com/docs/gitignore), through pathspec. One difference is
meant: a `!` line may bring back a file of a folder that an earlier line took out. Git cannot do
that because it never looks into such a folder; we always look.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from pathspec.patterns.gitignore import GitIgnorePatternError

from nbpipe.collecting.paths import unified
from nbpipe.errors import UsageError
from nbpipe.system.wildmatch import spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pathspec import GitIgnoreSpec

_WILD = frozenset("*?[")


class GitLines:
    """Compiled lines, relative to one folder."""

    def __init__(self, lines: Iterable[str], *, where: str) -> None:
        """Compile the lines; `where` says where they were written.

        Raises:
            UsageError: A line is not a pattern that git accepts.
        """
        self.lines = tuple(lines)
        self._spec: GitIgnoreSpec | None = None
        try:
            if self.lines:
                self._spec = spec(comparable(line) for line in self.lines)
        except GitIgnorePatternError as error:
            raise UsageError(
                f"{where}: {error}", hint="Patterns are written as in a .gitignore."
            ) from error

    def decide(self, path: str) -> tuple[bool | None, str]:
        """Return whether the lines take `path` (with `/`, relative), and the line that decides.

        True: a line matches; False: a `!` line does; None: none of them.
        """
        if self._spec is None:
            return None, ""
        verdict = self._spec.check_file(path)
        return verdict.include, "" if verdict.index is None else self.lines[verdict.index]

    def take(self, path: str) -> bool:
        """Return whether the lines match `path`, which is relative."""
        return self.decide(path)[0] is True


def comparable(text: str) -> str:
    """Return a path or pattern in the one spelling in which both are compared.

    Unicode names may be composed on one machine and decomposed on the other; a newline would not
    be matched by pathspec's expressions, and a NUL is in no name.
    """
    if text.isascii():
        return text.replace("\n", "\0")
    return unicodedata.normalize("NFC", unified(text)).replace("\n", "\0")


def is_wild(text: str) -> bool:
    """Return whether git reads `text` as more than a name."""
    return not _WILD.isdisjoint(text)


def escape(name: str) -> str:
    """Return a line that matches exactly that name."""
    return anchored("".join(f"\\{char}" if char in r"\[]!*#?" else char for char in name))


def anchored(line: str) -> str:
    """Return the line with its last space kept, which git would otherwise strip."""
    return f"{line[:-1]}\\ " if line.endswith(" ") and not line.endswith("\\ ") else line
