"""What a verified delivery means for a collection: a pure function of values.

A beacon is only a hint that the origin moved; nothing of it but the fact is used later, and the
repository's id, to know it again under another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nbpipe.publishing.origin.forge import Known
from webhook.receiving.forges import GITHUB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.receiving.forges import Forge
    from webhook.receiving.payload import Push, Repository

SHORT_TITLE = 120
"""Characters of a commit's first line that a page shows."""


class Status(StrEnum):
    """The answer to a verified delivery; part of the outside contract."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    PONG = "pong"


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """What a collection listens to."""

    name: str
    repository: str
    """`ORG/REPO`; GitHub does not tell capitals apart."""
    branch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What to answer, whether to look at the origin, and what people should know."""

    status: Status
    reason: str = ""
    wake: str = ""
    """Why the worker should look at the origin; empty: it need not."""
    who: str = ""
    ref: str = ""
    commit: str = ""
    title: str = ""
    forced: bool = False
    known: Known | None = None
    """What an accepted push, or the ping before it, says of the repository at the forge."""


def decide(
    event: str,
    payload: Mapping[str, Any],
    followed: Followed,
    known: Known | None = None,
    *,
    forge: Forge = GITHUB,
) -> Decision:
    """Return what that delivery means for that collection.

    Args:
        event: Its kind, as the header says.
        payload: Its content.
        followed: What the collection listens to.
        known: What earlier deliveries said of its repository: one that was renamed is the same.
        forge: Who sent it.

    Raises:
        Malformed: The payload of a push is none.
    """
    if event == forge.ping:
        return Decision(status=Status.PONG, known=_of_ping(payload, followed, forge))
    if event != forge.push:
        return Decision(
            status=Status.IGNORED, reason=f"event {event}: only {forge.push} is followed"
        )
    return _push(forge.to_push(dict(payload)), followed, known)


def _push(push: Push, followed: Followed, known: Known | None) -> Decision:
    def decision(status: Status, reason: str = "", wake: str = "") -> Decision:
        return Decision(
            status=status,
            reason=reason,
            wake=wake,
            who=push.who,
            ref=push.ref,
            commit=push.after,
            title=_title(push),
            forced=bool(push.forced),
            known=_said_of(push.repository, followed) if status is Status.ACCEPTED else None,
        )

    name, here = push.repository.full_name, followed.repository
    same = known is not None and str(push.repository.id) == known.id
    if name.casefold() != here.casefold() and not same:
        return decision(Status.IGNORED, f"repository {name}: only {here} is followed")
    if push.ref != f"refs/heads/{followed.branch}":
        return decision(
            Status.IGNORED, f"ref {push.ref}: only refs/heads/{followed.branch} is followed"
        )
    if push.deleted or not push.after.strip("0"):
        # The worker looks all the same: it keeps the last release and raises the alarm.
        return decision(
            Status.IGNORED,
            f"branch {followed.branch} was deleted: the last release stays",
            "branch deleted",
        )
    renamed = "" if name.casefold() == here.casefold() else f"{here} is called {name} now"
    return decision(Status.ACCEPTED, renamed, wake="forced push" if push.forced else "push")


def _of_ping(payload: Mapping[str, Any], followed: Followed, forge: Forge) -> Known | None:
    """Return what the first delivery of a webhook says, where it is that of the repository."""
    repository = forge.to_repository(payload.get("repository"))
    if repository is None or repository.full_name.casefold() != followed.repository.casefold():
        return None
    return _said_of(repository, followed)


def _said_of(repository: Repository, followed: Followed) -> Known | None:
    if repository.id is None:
        return None
    return Known(configured=followed.repository, id=str(repository.id), now=repository.full_name)


def _title(push: Push) -> str:
    lines = (push.head_commit.message or "").splitlines() if push.head_commit else []
    return lines[0][:SHORT_TITLE] if lines else ""
