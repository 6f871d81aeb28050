"""One commit and what is told about it, from the beginning of a run to its end and after it."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from nbpipe.config import variables
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.github import connection
from nbpipe.github.begun import Begun, Folder, began
from nbpipe.github.comments import Comment
from nbpipe.github.content import compose, ended
from nbpipe.github.places import Committed, Places
from nbpipe.github.runs import from_report
from nbpipe.github.targets import Commit, Target, target
from nbpipe.reports import forges
from nbpipe.reports.links import Links

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nbpipe.config import Config
    from nbpipe.github.client import Client, Clock
    from nbpipe.github.content import Content
    from nbpipe.github.runs import Loaded

_AT_START = 15.0
"""Seconds that a run's beginning waits for GitHub; its end is what counts."""
_MEANINGS = {
    2: "the run was interrupted",
    3: "an internal error of nbpipe",
    4: "wrong usage or configuration",
    5: "no notebook was chosen",
}


@dataclass(kw_only=True)
class Session:
    """Tells about one commit.

    Raises:
        UsageError: The repository or the commit is none.
        ConfigError: There is no token or key.
    """

    config: Config
    commit: Commit
    comment: int | None
    """The pull request that is commented on, too."""
    environ: Mapping[str, str]
    clock: Clock
    begun: Folder
    artifact: str | None = None
    """The address of the HTML report."""
    _client: Client = field(init=False)
    _target: Target = field(init=False)

    def __post_init__(self) -> None:
        connection.check_names(self.commit.repository, self.commit.sha)
        settings = self.config.settings.github
        self._client = self._connect(self.commit.repository, comment=self.comment is not None)
        self._target = target(connection.kind_of(settings), self._client, self.commit)

    def begin(self, *, process: int) -> str:
        """Show that a run goes on as long as a process does; return where.

        Raises:
            GithubError: GitHub does not show it.
        """
        self.begun.keep(self._record(process))
        patience = self.config.settings.github.patience
        try:
            self._client.allow(min(patience, _AT_START))
            return self._target.begin()
        except UsageError:  # nothing was sent
            self.begun.forget(self._record(0))
            raise
        finally:
            self._client.allow(patience)

    def compose(self, loaded: Loaded) -> Content:
        """Return what is told about a run."""
        places = Places(self.config.root, self.commit.sha, loaded.lines, loaded.folder)
        return compose(
            loaded.run,
            places,
            links=self._links(loaded.run.id, places),
            flaky=self.config.settings.test.flaky,
        )

    def _links(self, run: str, places: Places) -> Links:
        """Return where the report of a run leads: to the commit that was asked for, no other.

        The commit in a report may be any of a fork's, which GitHub shows below our address.
        """
        pages = forges.address(self.config.settings.history.pages or "")
        return Links(
            run=forges.address(self.commit.url or "") or forges.run_page(self.environ),
            page=f"{pages.rstrip('/')}/runs/{quote(run, safe='')}" if pages else None,
            artifact=forges.address(self.artifact or ""),
            repository=forges.at_github(self.commit.repository, self._client.url, self.environ),
            sha=self.commit.sha,
            files=Committed(places),
        )

    def outcome(self, file: Path, code: int | None, by: signal.Signals | None) -> Content:
        """Return what is told about `nbpipe test` that has ended: its report, or why there is none.

        Args:
            file: Where its JSON report would be.
            code: How it ended; None: we were kept from knowing.
            by: The signal that asked us to end.
        """
        if file.is_file() and code != ExitCode.NOTHING_COLLECTED:
            return self.compose(from_report(file, self.config.root))
        if by is not None:
            text = f"The run was ended by {by.name} before it had a result."
            return ended("cancelled", f"ended by {by.name}", text)
        if code is None or code < 0:
            name = signal.Signals(-code).name if code else "an error of its own"
            return ended("failure", f"ended by {name}", f"The run was ended by {name}.")
        what = _MEANINGS.get(code, "the reason stands in its own output")
        text = f"`nbpipe test` ended with {code}: {what}. Its own output says more."
        return ended("failure", f"no notebook was run: {what}", text)

    def finish(self, content: Content) -> list[str]:
        """Show how the run ended; return the places where it can be seen.

        Raises:
            GithubError: GitHub does not show it.
        """
        places = [self._target.finish(content)]
        self.begun.forget(self._record(0))
        if self.comment is not None:
            places.append(self._comment(self.comment).put(content))
        return places

    def sweep(self) -> Iterator[tuple[Begun, NbpipeError | None]]:
        """End what dead processes of this machine left open; yield each, and what hindered it."""
        for one in self.begun.abandoned(self.clock.now()):
            if one.api != self._client.url:
                continue
            try:
                swept = self._sweep(one)
            except NbpipeError as error:
                yield one, error
                continue
            self.begun.forget(one)
            if swept:
                yield one, None

    def child_environ(self) -> dict[str, str]:
        """Return the environment without the variables that hold a token or a key."""
        settings = self.config.settings
        hidden = variables.named((settings, connection.DEFAULT_TOKEN))
        return variables.without(self.environ, hidden, but=settings.history)  # the run needs that

    def _sweep(self, one: Begun) -> bool:
        """Tell whether it was still open; it is not any more."""
        if (one.repository, one.sha, one.name) == _names(self.commit):
            return False  # what is told now ends it
        commit = Commit(repository=one.repository, sha=one.sha, name=one.name)
        left = target(one.kind, self._connect(one.repository), commit)
        if not left.is_open():
            return False
        text = "The run ended without a result: its process is gone."
        left.finish(ended("cancelled", "ended without a result", text))
        return True

    def _connect(self, repository: str, *, comment: bool = False) -> Client:
        return connection.connect(
            self.config.settings.github,
            repository,
            environ=self.environ,
            clock=self.clock,
            comment=comment,
        )

    def _comment(self, number: int) -> Comment:
        return Comment(
            client=self._client,
            repository=self.commit.repository,
            number=number,
            name=self.commit.name,
        )

    def _record(self, process: int) -> Begun:
        return Begun(
            repository=self.commit.repository,
            sha=self.commit.sha,
            name=self.commit.name,
            kind=connection.kind_of(self.config.settings.github),
            api=self._client.url,
            at=self.clock.now(),
            process=process,
            process_began=began(process) if process else 0.0,
        )


def _names(commit: Commit) -> tuple[str, str, str]:
    return commit.repository, commit.sha, commit.name
