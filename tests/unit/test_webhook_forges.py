"""A forge is one value: another one's headers, signature and payload need nothing else."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from dataclasses import replace
from typing import Any

import pytest

from webhook.receiving.body import Head, check_head, read_verified
from webhook.receiving.decision import Followed, Status, decide
from webhook.receiving.forges import FORGES, GITHUB
from webhook.receiving.payload import Push, to_push
from webhook.receiving.refusal import Forged

BODY = b'{"branch": "main"}'
COMMIT = "0" * 39 + "1"


def pushed(payload: dict[str, Any]) -> Push:
    """Understand a push as this forge tells of it."""
    return to_push(
        {
            "ref": f"refs/heads/{payload['branch']}",
            "after": payload["head"],
            "repository": {"full_name": payload["project"]},
        }
    )


OTHER = replace(
    GITHUB,
    event_headers=("X-Other-Kind",),
    delivery_headers=("X-Other-Id",),
    signature_header="X-Other-Sign",
    signature=re.compile(r"v1:[0-9a-f]{128}"),
    prefix="v1:",
    digest="sha512",
    ping="hello",
    push="Push Hook",
    to_push=pushed,
)


def signed(secret: bytes, body: bytes = BODY) -> str:
    return f"v1:{hmac.new(secret, body, hashlib.sha512).hexdigest()}"


def read(signature: str, *secrets: bytes) -> bytes:
    return read_verified(
        io.BytesIO(BODY), length=len(BODY), signature=signature, secrets=secrets, forge=OTHER
    )


def test_its_own_scheme_decides_whether_a_body_is_signed() -> None:
    assert read(signed(b"one of two"), b"another", b"one of two") == BODY
    with pytest.raises(Forged):
        read(signed(b"nobody's"), b"another", b"one of two")
    github = f"sha256={hmac.new(b'one', BODY, hashlib.sha256).hexdigest()}"
    with pytest.raises(Forged):
        read(github, b"one")


def test_what_it_cannot_have_signed_is_refused_by_the_headers_alone() -> None:
    head = Head(length="2", mimetype="application/json", signature=f"sha256={'0' * 64}")
    assert check_head(head) == 2
    with pytest.raises(Forged, match="X-Other-Sign is missing or not a sha512 signature"):
        check_head(head, forge=OTHER)


def test_the_event_is_read_from_its_own_headers() -> None:
    headers = {"X-Other-Kind": "Push Hook", "X-Other-Id": "7", "X-GitHub-Event": "ping"}
    assert (OTHER.event(headers), OTHER.delivery(headers)) == ("Push Hook", "7")
    assert GITHUB.event(headers) == "ping"


def test_its_push_means_what_a_push_means() -> None:
    followed = Followed(name="nb", repository="ORG/nb", branch="main")
    payload = {"branch": "main", "head": COMMIT, "project": "org/NB"}
    made = decide("Push Hook", payload, followed, forge=OTHER)
    assert (made.status, made.commit, made.wake) == (Status.ACCEPTED, COMMIT, "push")
    assert decide("hello", {}, followed, forge=OTHER).status is Status.PONG
    ignored = decide("push", payload, followed, forge=OTHER)
    assert ignored.reason == "event push: only Push Hook is followed"


def test_every_known_forge_has_a_signature_header_of_its_own() -> None:
    assert len({forge.signature_header for forge in FORGES}) == len(FORGES)
