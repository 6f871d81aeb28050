"""How a path is written for people and for reports, and in which order paths come."""

from __future__ import annotations

import os
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


def unified(text: str) -> str:
    r"""Return a name in the characters that its bytes are in UTF-8, whatever the locale.

    Under an ASCII locale Python has `é` on disk as `\udcc3\udca9`, in a configuration as `é`.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which cannot occur in a file name
        return text


def on_disk(text: str) -> str:
    """Return a name of a configuration as this process opens it, whatever the locale."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "replace"))
    return text
