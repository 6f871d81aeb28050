"""Only what GitHub can have sent is parsed; everything else is malformed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest

from webhook.receiving.payload import parse, to_push
from webhook.receiving.refusal import Malformed

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def push(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    payload: dict[str, Any] = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": COMMIT,
        "deleted": False,
        "forced": False,
        "repository": {"full_name": "ORG/REPO", "pushed_at": 1_557_933_657},
        "pusher": {"name": "ada"},
        "commits": [],
        "head_commit": {"message": "One\n\nmore"},
    }
    payload.update(changes)
    return payload


def test_an_object_is_parsed() -> None:
    assert parse(b'{"zen": "Keep it logically awesome."}', JSON) == {
        "zen": "Keep it logically awesome."
    }


def test_a_form_holds_the_json_in_its_payload() -> None:
    body = ("payload=" + quote_plus('{"a": "ü & =+"}')).encode()
    assert parse(body, FORM) == {"a": "ü & =+"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b'[{"ref": "refs/heads/main"}]',
        b"null",
        b'"text"',
        b"1",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "\\u0061": 2}}',
        b'{"a": 1} {"a": 1}',
        b'{"a": 1,}',
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": "\x01"}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=range(24),
)
def test_what_is_no_strict_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body, JSON)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"payload=",
        b"payload={}&payload={}",
        b"payload={}&other=1",
        b"other={}",
        b"payload=%ff",
        b"payload={}\xff",
        b"&" * 1_000 + b"payload={}",
        b'{"a": 1}',
    ],
    ids=range(10),
)
def test_a_form_that_is_not_exactly_one_payload_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body, FORM)


def test_a_push_is_typed() -> None:
    found = to_push(push())
    assert (found.ref, found.after, found.repository.full_name) == (
        "refs/heads/main",
        COMMIT,
        "ORG/REPO",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"ref": None},
        {"ref": 1},
        {"ref": ["refs/heads/main"]},
        {"ref": "refs/heads/" + "x" * 1_000},
        {"after": None},
        {"after": "HEAD"},
        {"after": COMMIT + "\n"},
        {"after": COMMIT.upper()},
        {"before": 0},
        {"repository": {"full_name": "ORG/REPO", "id": [1]}},
        {"repository": {"full_name": "ORG/REPO", "id": True}},
        {"pusher": {"name": 1}},
        {"deleted": "false"},
        {"forced": 1},
        {"repository": None},
        {"repository": "ORG/REPO"},
        {"repository": {}},
        {"repository": {"full_name": ["ORG/REPO"]}},
        {"pusher": "ada"},
        {"head_commit": []},
        {"commits": {}},
        {"deleted": "\ud800"},
        {"ref": ["\ud800"]},
    ],
    ids=str,
)
def test_a_push_with_a_wrong_type_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        to_push(push(**change))


@pytest.mark.parametrize("name", ["ref", "after", "repository"])
def test_a_push_without_what_is_needed_is_malformed(name: str) -> None:
    payload = push()
    del payload[name]
    with pytest.raises(Malformed):
        to_push(payload)


def test_half_a_surrogate_pair_is_json_and_survives() -> None:
    body = json.dumps(push(pusher={"name": "\ud800"})).encode()
    found = to_push(parse(body, JSON))
    assert found.pusher is not None


NEEDED = {"ref": "refs/heads/main", "after": COMMIT, "repository": {"full_name": "ORG/REPO"}}


def test_a_push_needs_no_more_than_ref_commit_and_repository() -> None:
    found = to_push(NEEDED)
    assert (found.who, found.repository.id, bool(found.forced), bool(found.deleted)) == (
        *("", None),
        False,
        False,
    )


@pytest.mark.parametrize(
    "name",
    ["before", "created", "deleted", "forced", "pusher", "sender", "head_commit", "commits"],
)
def test_what_is_not_needed_may_be_null(name: str) -> None:
    assert to_push({**push(), name: None}).after == COMMIT


@pytest.mark.parametrize(
    ("people", "who"),
    [
        ({"pusher": {"id": 1, "login": "ann", "full_name": "", "username": "ann"}}, "ann"),
        ({"pusher": {"name": None, "username": "bob"}}, "bob"),
        ({"pusher": {"name": "", "email": "c@example.org"}, "sender": {"login": "cy"}}, "cy"),
        ({"pusher": {}, "sender": None}, ""),
        ({"pusher": {"name": "github", "login": "other"}}, "github"),
    ],
)
def test_who_pushed_is_told_whatever_the_forge_calls_it(people: dict[str, Any], who: str) -> None:
    assert to_push({**NEEDED, **people}).who == who


def test_commits_may_lack_a_message() -> None:
    commits: list[dict[str, Any]] = [{"id": COMMIT}, {"message": None}]
    assert to_push({**NEEDED, "commits": commits, "head_commit": commits[1]}).after == COMMIT


@pytest.mark.parametrize("number", [1, 9_007_199_254_740_993, "{8f3a}", None])
def test_the_repositorys_id_is_a_number_or_text(number: object) -> None:
    payload = {**NEEDED, "repository": {"full_name": "ORG/REPO", "id": number}}
    assert to_push(payload).repository.id == number
