"""Where a failure stands in the repository: the file's path there, and the line of the cell.

Asks git for the notebook as it is in the commit that is told about; the working copy may have
moved on. Where neither is to be had, an annotation stands at the file's first line.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.reports.excerpt import failing_line
from nbpipe.reports.place import line_in_text
from nbpipe.system import git
from nbpipe.system.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.model import Failure

_SHA = re.compile(r"[0-9a-fA-F]{7,64}")


@dataclass(slots=True)
class Places:
    """The places of one run's failures."""

    root: Path
    """The collection's."""
    sha: str
    lines: Mapping[tuple[str, int | None], int]
    """What the report of the run says itself."""
    _prefix: str | None = field(default=None, init=False)

    def path(self, path: str) -> str | None:
        """Return a notebook's path in the repository; None where it lies outside of it."""
        if path.startswith("/") or ".." in path.split("/"):
            return None
        return self.prefix + path

    @property
    def prefix(self) -> str:
        """The collection's folder in its repository, with a slash at its end; or nothing."""
        if self._prefix is None:
            self._prefix = (_git(self.root, "rev-parse", "--show-prefix") or "").strip("\n")
        return self._prefix

    def line(self, path: str, failure: Failure) -> int:
        """Return the 1-based line of the notebook's file where a failure stands."""
        if known := self.lines.get((path, failure.cell)):
            return known
        if failure.cell is None:
            return 1
        text = self._text(path)
        wanted = failing_line(plain(failure.source), failure.traceback) or 1
        found = line_in_text(text, path, failure.cell, wanted, failure.source) if text else None
        return found or 1

    def _text(self, path: str) -> str | None:
        if _SHA.fullmatch(self.sha):
            text = _git(self.root, "show", f"{self.sha}:./{path}")
            if text is not None:
                return text
        with contextlib.suppress(OSError, ValueError):
            return (self.root / path).read_text(encoding="utf-8")
        return None


def _git(root: Path, *arguments: str) -> str | None:
    with contextlib.suppress(*git.GitError, ValueError):
        return git.output(root, *arguments).decode("utf-8")
    return None
