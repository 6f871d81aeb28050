"""What the pages about test results hold: frozen values, shown as HTML and given as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbpipe.history import Known, PastLine, PastResult, RunLine, Statistics


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionRow:
    """One collection in the list."""

    name: str
    title: str
    standing: dict[str, int]
    """Outcome -> how many notebooks had it the last time."""
    last: RunLine | None
    pinned: str
    """The release that the published collection is held at; empty: none, or it is not published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionsPage:
    """All the collections of the history."""

    collections: tuple[CollectionRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotebookRow:
    """One notebook in its collection's table."""

    notebook: Known
    statistics: Statistics


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionPage:
    """One collection: how its notebooks are."""

    name: str
    title: str
    standing: dict[str, int]
    runs: tuple[RunLine, ...]
    """The newest few."""
    news: tuple[PastLine, ...]
    """The newest few new failures and recoveries."""
    part: str
    """Only notebooks with this in their path."""
    only: str
    """Only notebooks with this outcome; empty: all."""
    sort: str
    """By what the notebooks are sorted."""
    page: int
    more: bool
    pinned: str
    """The release that the published collection is held at; empty: none, or it is not published."""
    notebooks: tuple[NotebookRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsPage:
    """The runs of a collection, the newest first."""

    name: str
    only: str
    """`failed`: only runs with failures."""
    runs: tuple[RunLine, ...]
    older: str | None
    """The run before which the next page begins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Failures of a run that are alike."""

    signature: str
    category: str
    results: tuple[PastResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """One run."""

    name: str
    run: RunLine
    news: tuple[PastLine, ...]
    causes: tuple[Cause, ...]
    part: str
    only: str
    sort: str
    before: str | None
    """The run before, and the one after."""
    after: str | None
    commit_link: str
    """The commit's page at the forge; empty where none is known."""
    page: int
    more: bool
    results: tuple[PastLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotebookPage:
    """One notebook over time."""

    name: str
    path: str
    known: Known | None
    statistics: Statistics
    """Of the last 50 results."""
    results: tuple[PastLine, ...]
    """The newest first; as many as the trend shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultPage:
    """One notebook in one run."""

    name: str
    run: RunLine
    result: PastResult
    attempt: int | None
    """The one that is shown; None: the last one, which decided."""
    copy: bool
    """Whether its executed copy can be shown."""
    log: bool
    """Whether its log can be shown."""
    source_link: str
    """The notebook at the forge, as it was in the run; empty where that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BadgePage:
    """A badge with what shows it elsewhere."""

    name: str
    notebook: str
    """Its path; empty: the badge is the collection's."""
    public: bool
    """Whether it is shown without the token."""
    picture: str
    """Absolute addresses: of the picture, and of the page it leads to."""
    target: str
    snippets: dict[str, str]
    """Language -> text."""
