"""Where the links of a report lead: to the run, its report, the commit, a cell at that commit.

A link is there only where what it leads to is: the commit must be at the origin, and the notebook
as that commit has it. Reading only; git is asked once for a whole report.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from nbpipe import worktree
from nbpipe.errors import NbpipeError
from nbpipe.reports import forges
from nbpipe.reports.excerpt import failing_line
from nbpipe.reports.place import line_in_file
from nbpipe.system import git
from nbpipe.system.text import encodable, plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.forges import Repository


class Committed(Protocol):
    """The files of a commit, as far as the run executed them."""

    def path(self, result: Result) -> str | None:
        """Return the notebook's path in the repository; None where it is not of the commit."""

    def line(self, result: Result, failure: Failure) -> int | None:
        """Return the 1-based line of the notebook's file where a failure stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """The addresses that a report may lead to; None where there is none."""

    run: str | None = None
    """The page of the run: of the CI, or what the caller names."""
    page: str | None = None
    """The page of the run at the service."""
    artifact: str | None = None
    """The HTML report."""
    repository: Repository | None = None
    sha: str = ""
    """The commit that the links to files lead to."""
    files: Committed | None = None

    @property
    def commit(self) -> str | None:
        """The commit's page."""
        return self.repository.commit(self.sha) if self.repository and self.sha else None

    def notebook(self, result: Result) -> str | None:
        """Return the address of a notebook's source at the commit."""
        if self.repository is None or self.files is None:
            return None
        path = self.files.path(result)
        return None if path is None else self.repository.file(self.sha, path)

    def cell(self, result: Result, failure: Failure) -> str | None:
        """Return the address of the line in the file, at the commit, where a failure stands."""
        if self.repository is None or self.files is None or failure.cell is None:
            return None
        path = self.files.path(result)
        line = self.files.line(result, failure)
        return (path and line and self.repository.file(self.sha, path, line)) or None

    def result(self, result: Result) -> str | None:
        """Return the address of the service's page about a notebook of this run."""
        if self.page is None:
            return None
        name = quote(result.path.encode(errors="surrogateescape"), safe="/")
        return f"{self.page}/notebook?path={name}"


NONE = Links()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkingTree:
    """The files of the working tree that are as the commit has them."""

    top: Path
    """Of the repository, with no link in its path."""
    unchanged: frozenset[str]

    def path(self, result: Result) -> str | None:
        """Return the notebook's path in the repository; None where it is not of the commit."""
        file = result.task.file.resolve()
        path = file.relative_to(self.top).as_posix() if file.is_relative_to(self.top) else None
        return path if path in self.unchanged else None

    def line(self, result: Result, failure: Failure) -> int | None:
        """Return the 1-based line of the notebook's file where a failure stands."""
        return failing_line_in_file(result, failure)


def failing_line_in_file(result: Result, failure: Failure) -> int | None:
    """Return the 1-based line of the notebook's file where a failure stands; None: nowhere."""
    if failure.cell is None:
        return None
    line = failing_line(plain(failure.source), failure.traceback) or 1
    return line_in_file(result.task.file, failure.cell, line, failure.source)


def of_run(run: Run, environ: Mapping[str, str], *, pages: str | None = None) -> Links:
    """Return the links of a run of this machine.

    Args:
        run: The run.
        environ: Where a CI says what it runs.
        pages: The address of the collection's pages at the service.
    """
    base = pages and forges.address(pages.rstrip("/"))
    known = Links(
        run=forges.run_page(environ), page=f"{base}/runs/{quote(run.id)}" if base else None
    )
    top = worktree.top(run.root) if run.commit else None
    if top is None or run.commit is None:
        return known
    found = _published(top, run.commit, environ)
    if found is None:
        return known
    with contextlib.suppress(NbpipeError):
        change = worktree.change(top, run.commit)
        files = WorkingTree(top=top.resolve(), unchanged=change.tracked - change.changed)
        return Links(run=known.run, page=known.page, repository=found, sha=run.commit, files=files)
    return known


def folder(run: Run) -> str | None:
    """Return the collection's folder in its repository; empty: its top; None: it is in none."""
    if run.commit is None or (top := worktree.top(run.root)) is None:
        return None
    root, top = run.root.resolve(), top.resolve()
    if not root.is_relative_to(top):
        return None
    return encodable("" if root == top else root.relative_to(top).as_posix())


def _published(top: Path, commit: str, environ: Mapping[str, str]) -> Repository | None:
    """Return the repository on the web that has the commit; None where none is known to.

    A CI checks out what its server has; elsewhere a branch of the remote says so.
    """
    remotes = _git(top, "remote").split()
    is_checked_out = commit in {environ.get("GITHUB_SHA"), environ.get("CI_COMMIT_SHA")}
    for remote in sorted(remotes, key=lambda name: name != "origin"):
        # As it is written, or as git's own abbreviations (`insteadOf`) have it.
        origins = (("config", "--get", f"remote.{remote}.url"), ("remote", "get-url", remote))
        addresses = (forges.repository(_git(top, *words), environ) for words in origins)
        if (found := next(filter(None, addresses), None)) is None:
            continue
        if is_checked_out and remote == "origin":
            return found
        words = ("for-each-ref", "--count=1", "--contains", commit, f"refs/remotes/{remote}/")
        if _git(top, *words):
            return found
    return None


def _git(top: Path, *words: str) -> str:
    with contextlib.suppress(*git.GitError):
        return git.output(top, *words).decode("utf-8", "surrogateescape").strip("\n")
    return ""
