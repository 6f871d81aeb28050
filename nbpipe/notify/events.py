"""What people are told about: frozen values."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["failing", "still-failing", "recovered", "refused", "stale", "published", "test"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    kind: Kind
    subject: str
    """The notebook's path, or the collection's name."""
    detail: str = ""
    """The cause, in one line."""
    run: str | None = None
    """The run's id."""
    key: str
    """The same change has the same key, whoever finds it and when."""


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """What all events of one message have in common."""

    about: str
    """The collection's root, or the service."""
    host: str
    commit: str | None = None
    next: str = ""
    """The command that tells more."""
