"""From a request's headers and stream to a body that is known to be signed.

The order is the point: length and type are judged by the headers alone, the signature while the
bytes stream by, and only a verified body is handed on. Nothing here parses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BufferedIOBase
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Protocol

from webhook.receiving.forges import GITHUB
from webhook.receiving.payload import FORM
from webhook.receiving.refusal import Forged, Refused, TooLarge, WrongType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.receiving.forges import Forge

LIMIT = 25_000_000
"""Bytes. GitHub caps a payload at 25 MB and does not send what is over it."""
JSON = "application/json"

_IN_MEMORY = 1_000_000
_CHUNK = 64 * 1024


class Readable(Protocol):
    """As much of a WSGI input as is used."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What the headers say about the body. Empty text: the header is not there."""

    length: str = ""
    transfer_encoding: str = ""
    content_encoding: str = ""
    mimetype: str = ""
    """Lower case, without parameters."""
    signature: str = ""
    """The value of the forge's header for it."""


def check_head(head: Head, *, limit: int = LIMIT, forge: Forge = GITHUB) -> int:
    """Return the body's length, judged by the headers alone; `limit` in bytes too.

    Raises:
        TooLarge: The length is over the limit, missing or not a number, or the body is chunked:
            GitHub always declares it, and what is not declared would have to be buffered.
        WrongType: Neither JSON nor a form, or compressed.
        Forged: There is nothing that could be the forge's signature.
    """
    problem = _size_problem(head, limit) or _type_problem(head)
    if problem:
        raise problem
    if not forge.signature.fullmatch(head.signature):
        raise Forged(f"{forge.signature_header} is missing or not a {forge.digest} signature")
    return int(head.length)


def _size_problem(head: Head, limit: int) -> Refused | None:
    if head.transfer_encoding or not re.fullmatch(r"[0-9]{1,18}", head.length):
        return TooLarge("the request must declare its length in Content-Length")
    if int(head.length) > limit:
        return TooLarge(f"the body is larger than {limit} bytes")
    return None


def _type_problem(head: Head) -> Refused | None:
    if head.content_encoding not in {"", "identity"}:
        return WrongType("the body must not be compressed")
    if head.mimetype not in {JSON, FORM}:
        return WrongType(f"the content type must be {JSON} or {FORM}")
    return None


def read_verified(
    stream: Readable,
    *,
    length: int,
    signature: str,
    secrets: Sequence[bytes],
    forge: Forge = GITHUB,
) -> bytes:
    """Return the raw body once one of the secrets is shown to have signed it.

    Until then it stays where the server keeps it, or, where that cannot be read twice, in a
    temporary file beyond the first megabyte: many large forgeries at once do not fill the memory.

    Raises:
        Forged: No secret gives that signature for these bytes.
    """
    codes = forge.codes(secrets)
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        kept = stream if isinstance(stream, BufferedIOBase) and stream.seekable() else spool
        start = kept.tell()
        left = length
        while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
            left -= len(chunk)
            codes.update(chunk)
            if kept is spool:
                spool.write(chunk)
        if not codes.match(signature):
            raise Forged("the signature does not match the body")
        kept.seek(start)
        return kept.read(length - left)
