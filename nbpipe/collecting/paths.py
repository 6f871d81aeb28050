"""Paths as people and reports read them, their order, and which .gitignore line decides about one.

The rules of such lines are git's own (https://git-scm.com/docs/gitignore), through pathspec. One
difference is meant: a `!` line may bring back a file of a folder that an earlier line took out. Git
cannot do that because it never looks into such a folder; we always look.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TYPE_CHECKING

from pathspec.patterns.gitignore import GitIgnorePatternError

from nbpipe.errors import UsageError
from nbpipe.system.wildmatch import spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pathspec import GitIgnoreSpec

_DIGITS = re.compile("([0-9]+)")

NaturalKey = tuple[list[list[tuple[int, int, str]]], str]


def printable(text: str) -> str:
    r"""Return text that every encoding of a report can hold.

    A name on disk need not be UTF-8; its odd bytes are shown as `\xff`.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def natural(path: str) -> NaturalKey:
    """Return a key that sorts folder by folder, and 2 before 10."""
    return [
        [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name)]
        for name in path.split("/")
    ], path


def unified(text: str) -> str:
    r"""Return a name in the characters that its bytes are in UTF-8, whatever the locale.

    Under an ASCII locale Python has `é` on disk as `\udcc3\udca9`, in a configuration as `é`.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which cannot occur in a file name
        return text


def on_disk(text: str) -> str:
    """Return a name of a configuration as this process opens it, whatever the locale."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "replace"))
    return text


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
