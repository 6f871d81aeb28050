"""Where the verdict on a commit stands: a commit status, or a check run with annotations.

Both are begun and finished; what was begun and never finished is found again and finished by
whoever comes later (`begin`, `finish` and `cancel` of the same name and commit).

Sources: GitHub's REST API, "Commit statuses" and "Check runs" (50 annotations in one request;
those of an update are added to the ones that are there).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nbpipe.github.content import DESCRIPTION, short
from nbpipe.github.errors import Unclear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.github.client import Client
    from nbpipe.github.content import Annotation, Content

BATCH = 50
_STATES = {
    "success": "success",
    "neutral": "success",
    "failure": "failure",
    "cancelled": "error",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """What is judged, and what the judgement is called."""

    repository: str
    """`OWNER/NAME`."""
    sha: str
    name: str
    url: str | None = None
    """A page with more about it."""


class Target(Protocol):
    """Something on GitHub that shows how a commit does."""

    def begin(self) -> str:
        """Show that a run goes on; return where it can be seen."""

    def finish(self, content: Content) -> str:
        """Show how it ended, whether it was begun or not; return where it can be seen."""

    def is_open(self) -> bool:
        """Tell whether a run still seems to go on there."""


class Status:
    """A commit status: one line, by any token that may write statuses."""

    def __init__(self, client: Client, commit: Commit) -> None:
        self._client = client
        self._commit = commit

    def begin(self) -> str:
        """Set it to pending."""
        return self._set("pending", "The notebooks are running")

    def finish(self, content: Content) -> str:
        """Set it to how the run ended."""
        return self._set(_STATES[content.conclusion], content.title)

    def is_open(self) -> bool:
        """Tell whether the newest status of that name is pending."""
        path = f"/repos/{self._commit.repository}/commits/{self._commit.sha}/statuses"
        every = self._client.pages(path)  # the newest first
        mine = (each for each in every if each["context"] == self._commit.name)
        return next((each["state"] == "pending" for each in mine), False)

    def _set(self, state: str, description: str) -> str:
        body = {
            "state": state,
            "context": self._commit.name,
            "description": short(description, DESCRIPTION),
        }
        if self._commit.url:
            body["target_url"] = self._commit.url
        path = f"/repos/{self._commit.repository}/statuses/{self._commit.sha}"
        self._client.send("POST", path, body)  # twice is no harm: the last one counts
        return f"{self._commit.repository}@{self._commit.sha[:12]}"


class CheckRun:
    """A check run: a summary and annotations in the pull request's files; for an App."""

    def __init__(self, client: Client, commit: Commit) -> None:
        self._client = client
        self._commit = commit
        self._path = f"/repos/{commit.repository}/check-runs"

    def begin(self) -> str:
        """Begin one; one of an earlier run that is still open goes on."""
        return str(self._opened()["html_url"])

    def is_open(self) -> bool:
        """Tell whether there is one that is not completed."""
        return self._find() is not None

    def finish(self, content: Content) -> str:
        """Complete it, all annotations first."""
        run = self._opened()
        batches = _batches(content.annotations)
        done = 0
        for batch in batches[:-1]:
            self._update(run["id"], content, batch, done)
            done += len(batch)
        ended = {"status": "completed", "conclusion": content.conclusion}
        answer = self._update(run["id"], content, batches[-1], done, **ended)
        return str(answer["html_url"])

    def _opened(self) -> dict[str, Any]:
        return self._find() or self._client.make(self._find, self._create)

    def _find(self) -> dict[str, Any] | None:
        """Return the newest of that name that is still open."""
        path = f"/repos/{self._commit.repository}/commits/{self._commit.sha}/check-runs"
        every = self._client.pages(
            path, "check_runs", check_name=self._commit.name, filter="latest"
        )
        return next((each for each in every if each["status"] != "completed"), None)

    def _create(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": self._commit.name,
            "head_sha": self._commit.sha,
            "status": "in_progress",
        }
        if self._commit.url:
            body["details_url"] = self._commit.url
        return dict(self._client.send("POST", self._path, body, repeatable=False))

    def _update(
        self,
        number: int,
        content: Content,
        batch: Sequence[Annotation],
        done: int,
        **state: str,
    ) -> dict[str, Any]:
        """Send a batch; where nobody knows whether it arrived, count what is there."""
        path = f"{self._path}/{number}"
        output: dict[str, Any] = {"title": content.title, "summary": content.summary}
        if batch:
            output["annotations"] = list(map(_annotation, batch))
        while True:
            try:
                answer = self._client.send(
                    "PATCH", path, {**state, "output": output}, repeatable=not batch
                )
                return dict(answer)
            except Unclear:
                found = self._client.send("GET", path)
                arrived = found["output"]["annotations_count"] >= done + len(batch)
                if arrived and (not state or found["status"] == state["status"]):
                    return dict(found)


def target(kind: str, client: Client, commit: Commit) -> Target:
    """Return a commit status, or a check run."""
    return CheckRun(client, commit) if kind == "check" else Status(client, commit)


def _batches(annotations: Sequence[Annotation]) -> list[Sequence[Annotation]]:
    """Return at least one batch, which may be empty."""
    starts = range(0, max(len(annotations), 1), BATCH)
    return [annotations[start : start + BATCH] for start in starts]


def _annotation(annotation: Annotation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level,
        "title": annotation.title,
        "message": annotation.message,
    }
    return told | ({"raw_details": annotation.details} if annotation.details else {})
