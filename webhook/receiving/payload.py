"""From verified bytes to a typed push; strict where it matters: leniency hides a wrong sender.

Needed are the ref, the commit and the repository's name. Whatever else is there must be of its
type, and may be missing or null, as with Gitea, Forgejo, Gogs and older GitHub Enterprise.

Sources of the shapes: https://docs.github.com/webhooks/webhook-events-and-payloads#push
and https://docs.gitea.com/usage/webhooks
"""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn
from urllib.parse import parse_qsl

import msgspec

from webhook.receiving.refusal import Malformed

FORM = "application/x-www-form-urlencoded"
"""The other content type that GitHub can be told to send: the JSON in a field `payload`."""

Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Commit = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]


class Repository(msgspec.Struct, frozen=True):
    """The repository that was pushed to."""

    full_name: Text
    id: int | Text | None = None
    """Stays when it is renamed."""


class Person(msgspec.Struct, frozen=True):
    """Somebody, as GitHub (`name`, a sender's `login`) or Gitea calls them."""

    name: Text | None = None
    username: Text | None = None
    login: Text | None = None

    @property
    def called(self) -> str:
        """What they are called; empty where it is not said."""
        return self.name or self.username or self.login or ""


class HeadCommit(msgspec.Struct, frozen=True):
    """The commit that the branch points at now."""

    message: str | None = None


class Push(msgspec.Struct, frozen=True):
    """As much of a push as a decision or a page needs."""

    ref: Text
    after: Commit
    repository: Repository
    before: str | None = None
    created: bool | None = None
    deleted: bool | None = None
    forced: bool | None = None
    pusher: Person | None = None
    sender: Person | None = None
    head_commit: HeadCommit | None = None
    commits: list[HeadCommit] | None = None

    @property
    def who(self) -> str:
        """Who pushed; empty where it is not said."""
        return next((one.called for one in (self.pusher, self.sender) if one and one.called), "")


def parse(body: bytes, mimetype: str) -> dict[str, Any]:
    """Return the JSON object in a body of that content type.

    Raises:
        Malformed: Not UTF-8, not JSON, not an object, a name twice in one object, NaN or
            Infinity, nested too deeply, or a form that is not exactly one `payload`.
    """
    try:
        text = _form(body) if mimetype == FORM else body.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_not_json)
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except RecursionError as error:
        raise Malformed("the JSON is nested too deeply") from error
    except ValueError as error:
        raise Malformed("the body is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("the JSON is not an object")
    return value


def to_push(payload: dict[str, Any]) -> Push:
    """Return the payload as a push.

    Raises:
        Malformed: Something needed is missing or of the wrong type.
    """
    try:
        return msgspec.convert(payload, Push)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise Malformed(f"the payload is not a push: {error}") from error


def to_repository(value: object) -> Repository | None:
    """Return a part of a payload as a repository; None where it is none, as in a ping it may be."""
    try:
        return msgspec.convert(value, Repository)
    except (msgspec.ValidationError, RecursionError, UnicodeError):
        return None


def _form(body: bytes) -> str:
    fields = parse_qsl(
        body.decode("ascii"),
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
        max_num_fields=10,
    )
    if [name for name, _ in fields] != ["payload"]:
        raise Malformed("the form is not exactly one field `payload`")
    return fields[0][1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that comes twice: which of the two holds differs between parsers."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name comes twice in one JSON object")
    return found


def _not_json(constant: str) -> NoReturn:
    raise Malformed(f"{constant} is not JSON")
