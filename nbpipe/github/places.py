"""Where a failure stands in the repository: the file's path there, and the line of the cell.

Asks git for the notebook as it is in the commit that is told about; the working copy may have
moved on. Where neither is to be had, an annotation stands at the file's first line, and there is
no link to it.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.reports.excerpt import failing_line
from nbpipe.reports.place import line_in_text, source_in_text
from nbpipe.system import git
from nbpipe.system.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nbpipe.model import Failure, Result

_SHA = re.compile(r"[0-9a-fA-F]{7,64}")


@dataclass(slots=True)
class Places:
    """The places of one run's failures."""

    root: Path
    """The collection's."""
    sha: str
    lines: Mapping[tuple[str, int | None], int]
    """What the report of the run says itself."""
    folder: str | None = None
    """The collection's in its repository, as the report of the run says; None: git is asked."""
    _prefix: str | None = field(default=None, init=False)

    def path(self, path: str) -> str | None:
        """Return a notebook's path in the repository; None where it lies outside of it."""
        if path.startswith("/") or ".." in path.split("/"):
            return None
        return self.prefix + path

    @property
    def prefix(self) -> str:
        """The collection's folder in its repository, with a slash at its end; or nothing."""
        if self._prefix is None and self.folder is not None:
            self._prefix = f"{self.folder}/" if self.folder else ""
        if self._prefix is None:
            self._prefix = (_git(self.root, "rev-parse", "--show-prefix") or "").strip("\n")
        return self._prefix

    def line(self, path: str, failure: Failure) -> int | None:
        """Return the 1-based line of the notebook's file where a failure stands; None: nowhere."""
        if known := self.lines.get((path, failure.cell)):
            return known
        text = None if failure.cell is None else self._text(path)
        if text is None or failure.cell is None:
            return None
        wanted = failing_line(plain(failure.source), failure.traceback) or 1
        return line_in_text(text, path, failure.cell, wanted, failure.source)

    def _text(self, path: str) -> str | None:
        if (text := self._committed(path)) is not None:
            return text
        with contextlib.suppress(OSError, ValueError):
            return (self.root / path).read_text(encoding="utf-8")
        return None

    def _committed(self, path: str) -> str | None:
        return _git(self.root, "show", f"{self.sha}:./{path}") if _SHA.fullmatch(self.sha) else None

    def has(self, path: str, failures: Iterable[Failure]) -> bool:
        """Tell whether the commit has the notebook with the cells that failed.

        A run may have executed a file that was edited since its commit. Where git does not have
        the commit here (a job that only reports), the report is believed.
        """
        if not _git(self.root, "cat-file", "-t", self.sha):
            return True
        text = self._committed(path)
        return text is not None and all(
            source_in_text(text, path, each.cell) in {None, each.source}
            for each in failures
            if each.cell is not None and each.source
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """The same, as the links of a report ask for it."""

    places: Places

    def path(self, result: Result) -> str | None:
        """Return the notebook's path in the repository; None where it is not of the commit."""
        path = self.places.path(result.path)
        return path if path and self.places.has(result.path, result.failures) else None

    def line(self, result: Result, failure: Failure) -> int | None:
        """Return the 1-based line of the notebook's file where a failure stands."""
        return self.places.line(result.path, failure)


def _git(root: Path, *arguments: str) -> str | None:
    with contextlib.suppress(*git.GitError, ValueError):
        return git.output(root, *arguments).decode("utf-8")
    return None
