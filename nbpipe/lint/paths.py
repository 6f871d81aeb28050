"""Paths of a person's own folder in a text."""

from __future__ import annotations

import re

_PRIVATE = re.compile(
    r"(?<![\w./~:-])(?:/home/|/Users/|/u/home/|/global/homes/\w/|[A-Z]:\\\\?Users\\\\?)"
    r"(?!runner\b|jovyan\b|docs\b|user\b|username\b|USER\b|USERNAME\b|your|<|\{|\$|\.\.\.)"
    r"[\w.-]+(?:[/\\][\w.+-]*)*"
)


def private_path(said: str, allowed: tuple[str, ...]) -> str:
    """Return the first path of a person's own folder in a text; empty where there is none.

    Args:
        said: The text.
        allowed: Beginnings of paths that every user has.
    """
    if "/home/" not in said and "Users" not in said and "/homes/" not in said:
        return ""
    for match in _PRIVATE.finditer(said):
        if not match[0].startswith(allowed):
            return match[0]
    return ""
