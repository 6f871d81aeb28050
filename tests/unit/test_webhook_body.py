"""A body is judged by its headers, then by its signature, and only then handed on."""

from __future__ import annotations

import hashlib
import hmac
import io
from typing import Any

import pytest

from webhook.receiving.body import Head, check_head, read_verified
from webhook.receiving.refusal import Forged, Refused, TooLarge, WrongType

# The example in GitHub's documentation, "Validating webhook deliveries".
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def head(**changes: Any) -> Head:  # noqa: ANN401
    values = {"length": "13", "mimetype": "application/json", "signature": SIGNATURE}
    return Head(**{**values, **changes})


def read(body: bytes = BODY, signature: str = SIGNATURE, *secrets: bytes) -> bytes:
    return read_verified(
        io.BytesIO(body), length=len(body), signature=signature, secrets=secrets or (SECRET,)
    )


def test_githubs_own_example_is_verified() -> None:
    assert read() == BODY


def test_every_listed_secret_is_accepted_while_it_is_rotated() -> None:
    assert read(BODY, SIGNATURE, b"the new one", SECRET) == BODY
    assert read(BODY, SIGNATURE, SECRET, b"the new one") == BODY


def test_a_secret_that_is_not_listed_any_more_is_refused() -> None:
    with pytest.raises(Forged):
        read(BODY, SIGNATURE, b"the new one")


def test_an_empty_secret_verifies_nothing() -> None:
    signed = "sha256=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    with pytest.raises(Forged):
        read(BODY, signed, b"")


def test_without_any_secret_nothing_is_verified() -> None:
    with pytest.raises(Forged):
        read_verified(io.BytesIO(BODY), length=13, signature=SIGNATURE, secrets=())


@pytest.mark.parametrize("body", [b"Hello, World?", b"Hello, World! ", b"", b"Hello, World"])
def test_another_body_does_not_match_the_signature(body: bytes) -> None:
    with pytest.raises(Forged):
        read(body)


def test_a_body_longer_than_declared_is_read_no_further() -> None:
    stream = io.BytesIO(BODY + b"!" * 1_000_000)
    assert read_verified(stream, length=13, signature=SIGNATURE, secrets=[SECRET]) == BODY
    assert stream.tell() == 13


def test_a_large_body_comes_back_whole() -> None:
    body = b"x" * 3_000_001
    signed = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    assert read(body, signed) == body


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        SIGNATURE[:-1],
        SIGNATURE + "0",
        SIGNATURE + "\n",
        SIGNATURE.upper(),
        "sha256=" + SIGNATURE[7:].upper(),
        SIGNATURE[7:],
        "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
        "sha512=" + "0" * 128,
        "sha256=" + "é" * 64,
        "sha256=" + "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
        f"{SIGNATURE}, {SIGNATURE}",
        " " + SIGNATURE,
    ],
)
def test_what_is_no_sha256_signature_is_refused_by_the_headers_alone(signature: str) -> None:
    with pytest.raises(Forged):
        check_head(head(signature=signature))


def test_a_signature_that_is_not_ascii_is_compared_without_an_error() -> None:
    with pytest.raises(Forged):
        read(BODY, "sha256=" + "é" * 64)


@pytest.mark.parametrize("length", ["25000001", "314572800", "9" * 18, "9" * 19, "9" * 5_000])
def test_a_body_over_25_megabytes_is_too_large(length: str) -> None:
    with pytest.raises(TooLarge):
        check_head(head(length=length))


def test_exactly_25_megabytes_are_not() -> None:
    assert check_head(head(length="25000000")) == 25_000_000


@pytest.mark.parametrize(
    "length",
    ["", "-1", "+13", "1e3", "0x10", "13, 13", "\N{ARABIC-INDIC DIGIT THREE}", " 13", "13\n"],
)
def test_a_length_that_is_missing_or_no_number_counts_as_too_large(length: str) -> None:
    with pytest.raises(TooLarge):
        check_head(head(length=length))


def test_a_chunked_body_counts_as_too_large_whatever_length_it_claims() -> None:
    with pytest.raises(TooLarge):
        check_head(head(transfer_encoding="chunked"))


@pytest.mark.parametrize(
    "mimetype", ["", "text/plain", "text/json", "multipart/form-data", "application/xml"]
)
def test_another_content_type_is_refused(mimetype: str) -> None:
    with pytest.raises(WrongType):
        check_head(head(mimetype=mimetype))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    with pytest.raises(WrongType):
        check_head(head(content_encoding=encoding))


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"length": "25000001", "mimetype": "text/plain", "signature": ""}, 413),
        ({"mimetype": "text/plain", "signature": ""}, 415),
        ({"signature": ""}, 403),
    ],
)
def test_length_is_judged_before_type_and_type_before_signature(
    wrong: dict[str, str], status: int
) -> None:
    with pytest.raises(Refused) as caught:
        check_head(head(**wrong))
    assert caught.value.status == status
