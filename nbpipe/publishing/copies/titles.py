"""What a notebook calls itself: its title in the metadata, or its first heading."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.publishing.copies.substance import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 200
"""Characters of a title."""

_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(\S.*)")
_UNDERLINE = re.compile(r" {0,3}={2,}[ \t]*")
_MARKUP = re.compile(r"<[^>]*>|!\[[^\]]*\]\([^)]*\)|[*`]+|(?<=\])\([^)]*\)|[\[\]]|__+")


def title(data: bytes) -> str:
    """Return a notebook's title in one line without markup; empty where it has none."""
    try:
        table = decoded(data)
        given = table.get("metadata", {}).get("title")
        if isinstance(given, str) and given.strip():
            return " ".join(given[:LONGEST].split())
        for cell in table["cells"]:
            if cell["cell_type"] == "markdown":
                source = cell["source"]
                for found in _headings(source if isinstance(source, str) else "".join(source)):
                    return found
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    return ""


def _headings(text: str) -> Iterator[str]:
    """Yield the headings of a Markdown text, those in fenced code left out."""
    before, fenced = "", False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        heading = _HEADING.match(line)
        found = heading[1] if heading else before if _UNDERLINE.fullmatch(line) else ""
        plain = _MARKUP.sub("", found[:LONGEST]).strip(" \t#")
        if plain and not fenced:
            yield " ".join(plain.split())
        before = line
