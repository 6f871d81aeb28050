"""What a verified delivery means for a collection: a pure function of values.

A beacon is only a hint that the origin moved; nothing of it but the fact is used later.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from webhook.payload import Push, to_push

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def decide(event: str, payload: Mapping[str, Any], followed: Followed) -> Decision:
    """Return what that delivery means for that collection.

    Raises:
        Malformed: The payload of a push is none.
    """
    if event == "ping":
        return Decision(status=Status.PONG)
    if event != "push":
        return Decision(status=Status.IGNORED, reason=f"event {event}: only push is followed")
    return _push(to_push(dict(payload)), followed)


def _push(push: Push, followed: Followed) -> Decision:
    def decision(status: Status, reason: str = "", wake: str = "") -> Decision:
        return Decision(
            status=status,
            reason=reason,
            wake=wake,
            who=push.pusher.name if push.pusher else "",
            ref=push.ref,
            commit=push.after,
            title=_title(push),
            forced=push.forced,
        )

    if push.repository.full_name.casefold() != followed.repository.casefold():
        other = push.repository.full_name
        return decision(
            Status.IGNORED, f"repository {other}: only {followed.repository} is followed"
        )
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
    return decision(Status.ACCEPTED, wake="forced push" if push.forced else "push")


def _title(push: Push) -> str:
    lines = push.head_commit.message.splitlines() if push.head_commit else []
    return lines[0][:SHORT_TITLE] if lines else ""
