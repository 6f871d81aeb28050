"""How a path is written for people and for reports, and in which order paths come."""

from __future__ import annotations

import re

_DIGITS = re.compile("([0-9]+)")

NaturalKey = tuple[list[list[tuple[int, int, str]]], str]


def printable(text: str) -> str:
    r"""Return text that every encoding of a report can hold.

    A name on disk need not be UTF-8; its odd bytes are shown as `\xff`.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def natural(path: str) -> NaturalKey:
    """Return a key that sorts folder by folder, and 2 before 10."""
    return [
        [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name)]
        for name in path.split("/")
    ], path
