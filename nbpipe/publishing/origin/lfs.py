"""Git LFS pointers: what stands in the repository for a large file.

The format is git-lfs's own (docs/spec.md in git-lfs/git-lfs, version 1). Values only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 1_024
"""Bytes; a pointer is shorter."""

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[a-z0-9.-]+ [^\n]*\n)*?"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>[0-9]{1,18})\n(?:[a-z0-9.-]+ [^\n]*\n)*"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What it stands for."""

    sha256: str
    size: int
    """Bytes."""


def pointer(content: bytes) -> Pointer | None:
    """Return what this content points to, None where it is no pointer."""
    found = _POINTER.fullmatch(content) if len(content) < LONGEST else None
    return Pointer(found["oid"].decode("ascii"), int(found["size"])) if found else None
