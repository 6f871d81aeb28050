"""How long to wait before asking GitHub again: a decision about an answer, nothing is done here.

Source: GitHub, "Rate limits for the REST API" and "Best practices for using the REST API":
`retry-after` first, then `x-ratelimit-reset` where `x-ratelimit-remaining` is 0, else at least a
minute, longer each time. Errors of its own side (5xx, no answer) are asked again after 1, 2, 4
seconds and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTEMPTS = 7
"""How often one request is sent, at most."""
_LIMITED = {403, 429}
_MINUTE = 60.0
_LONGEST = 30.0
_SERVER_ERROR = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """An answer that is not what was asked for."""

    status: int | None
    """None: there was no answer."""
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""

    @property
    def is_outage(self) -> bool:
        """Tell whether the trouble is on GitHub's side, or between us and it."""
        return self.status is None or self.status >= _SERVER_ERROR

    @property
    def is_limit(self) -> bool:
        """Tell whether GitHub only wants to be asked later."""
        if self.status not in _LIMITED:
            return False
        return (
            self.status == 429  # noqa: PLR2004  (Too Many Requests)
            or "retry-after" in self.headers
            or self.headers.get("x-ratelimit-remaining") == "0"
            or "rate limit" in self.message.lower()
        )


def pause(trouble: Trouble, attempt: int, now: float) -> float | None:
    """Return the seconds to wait before attempt `attempt` + 1; None: asking again is no use.

    Args:
        trouble: The answer.
        attempt: How often it was sent, from 1.
        now: Seconds since the epoch.
    """
    if attempt >= ATTEMPTS:
        return None
    if trouble.is_limit:
        return _limited(trouble, attempt, now)
    if trouble.is_outage:
        return _seconds(trouble, "retry-after") or min(2.0 ** (attempt - 1), _LONGEST)
    return None


def _limited(trouble: Trouble, attempt: int, now: float) -> float:
    asked = _seconds(trouble, "retry-after")
    if asked is not None:
        return asked
    reset = _seconds(trouble, "x-ratelimit-reset")
    if trouble.headers.get("x-ratelimit-remaining") == "0" and reset is not None:
        return max(reset - now, 0.0) + 1.0  # its clock has no fractions
    return _MINUTE * 2.0 ** (attempt - 1)


def _seconds(trouble: Trouble, name: str) -> float | None:
    text = trouble.headers.get(name, "")
    return float(text) if text.isascii() and text.isdigit() else None
