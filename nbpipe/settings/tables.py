"""What the tables of a configuration file are made of: the base of each, and common types."""

from __future__ import annotations

from typing import Annotated

import msgspec

from nbpipe import sizes

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Megabytes = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Size = Annotated[str, msgspec.Meta(pattern=sizes.SIZE)]
Budget = Annotated[str, msgspec.Meta(pattern=sizes.BUDGET)]
Title = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
"""The NAME of `[reference.NAME]` and its like: it becomes part of paths."""
Tolerance = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Patterns = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One table of the file: frozen, keys written with dashes."""
