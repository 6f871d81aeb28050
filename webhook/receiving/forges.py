"""How a forge's beacons look: its headers, its signature, the shape of a push. One value each.

A second forge is a second `Forge`: what it says of itself stands here, what is made of it in
`decision`, and nothing else in this room knows one from the other.

Source of GitHub's: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries;
Gitea, Forgejo and Gogs sign the same way and name their headers after GitHub, too, or themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from webhook.receiving.payload import to_push, to_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook.receiving.payload import Push, Repository


class Headers(Protocol):
    """As much of a request's headers as is used."""

    def get(self, name: str, default: str, /) -> str:
        """Return a header's value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forge:
    """What tells a forge's beacons from those of another."""

    event_headers: tuple[str, ...]
    """Where the kind of the event may stand, the forge's own name first."""
    delivery_headers: tuple[str, ...]
    signature_header: str
    signature: re.Pattern[str]
    """What a signature looks like: anything else was not signed by it, whatever the body."""
    prefix: str
    """Of a signature, before the HMAC in hexadecimal digits."""
    digest: str
    """The hash function of the HMAC, as `hashlib` names it."""
    ping: str
    push: str
    """What the two events that matter are called."""
    to_push: Callable[[dict[str, Any]], Push]
    to_repository: Callable[[object], Repository | None]

    def event(self, headers: Headers) -> str:
        """Return the kind of event that the headers name; empty where they name none."""
        return _first(headers, self.event_headers)

    def delivery(self, headers: Headers) -> str:
        """Return the id of the delivery; empty where there is none."""
        return _first(headers, self.delivery_headers)

    def codes(self, secrets: Sequence[bytes]) -> Codes:
        """Return what reads a body and knows afterwards whether a secret signed it."""
        return Codes(self, secrets)


class Codes:
    """The codes that every secret gives for the bytes that were read so far."""

    def __init__(self, forge: Forge, secrets: Sequence[bytes]) -> None:
        self._prefix = forge.prefix
        hashed = getattr(hashlib, forge.digest)
        self._codes = [hmac.new(secret, digestmod=hashed) for secret in secrets if secret]

    def update(self, chunk: bytes) -> None:
        """Read on."""
        for code in self._codes:
            code.update(chunk)

    def match(self, signature: str) -> bool:
        """Compare with every secret, each in constant time, whichever of them matches.

        Bytes, because `compare_digest` raises TypeError for text that is not ASCII.
        """
        given = signature.encode("utf-8", "surrogatepass")
        made = [f"{self._prefix}{code.hexdigest()}".encode() for code in self._codes]
        return any([hmac.compare_digest(each, given) for each in made])  # noqa: C419  (all of them)


def _first(headers: Headers, names: Sequence[str]) -> str:
    return next((text for name in names if (text := headers.get(name, ""))), "")


_KIN = ("GitHub", "Gitea", "Forgejo", "Gogs")

GITHUB = Forge(
    event_headers=tuple(f"X-{one}-Event" for one in _KIN),
    delivery_headers=tuple(f"X-{one}-Delivery" for one in _KIN),
    signature_header="X-Hub-Signature-256",
    signature=re.compile(r"sha256=[0-9a-f]{64}"),
    prefix="sha256=",
    digest="sha256",
    ping="ping",
    push="push",
    to_push=to_push,
    to_repository=to_repository,
)

FORGES = (GITHUB,)
"""All of them: a body that none of them can have signed is never read."""
