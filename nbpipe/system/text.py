r"""Text that comes from notebooks, made harmless: no escape sequences, no control characters.

A notebook's output may hold anything: colours, cursor movements, a new window title, text that
reads differently from what it does. Everything a report shows has been through here. What is
taken away is either dropped (whole escape sequences) or shown as Python would write it (`\x00`).
"""

from __future__ import annotations

import os
import re
import shlex
import string
import unicodedata

_ESCAPES = re.compile(
    r"""\x1b(?:
        \[[0-?]*[ -/]*[@-~]                # CSI: colours, cursor
      | \][^\x07\x1b]*(?:\x07|\x1b\\)      # OSC: titles, links, the clipboard
      | [PX^_][^\x1b]*\x1b\\               # DCS, SOS, PM, APC
      | [ -/]+[0-~]                        # character sets
      | [0-OQ-WYZ\\`-~]                    # two characters: save, reset, index
    )""",
    re.VERBOSE,
)
"""ECMA-48 sequences that are complete; of the others the escape character is shown."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 without tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions: what is read is not what is
    "\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]"  # not in XML, not in UTF-8, or a line's end
)


_SHELL_PLAIN = frozenset(string.printable) - frozenset(string.whitespace + "'\\") | {" "}


def plain(text: str) -> str:
    """Return the text with its lines, and with nothing that a terminal or XML could act upon."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return _INVISIBLE.sub(_spell, text)


def first_line(text: str, limit: int = 300) -> str:
    """Return the first line that holds something, at most `limit` characters of it.

    A line that ends in a colon only announces what the next one says.
    """
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()][:2]
    if len(lines) > 1 and not lines[0].endswith(":"):
        del lines[1]
    return cut(" ".join(lines), limit)


def plain_name(name: str) -> str:
    """Return a name with every character spelled out that would not show as itself."""
    return _INVISIBLE.sub(_spell, name).replace("\t", "\\t").replace("\n", "\\n")


def columns(text: str) -> int:
    """Return how many columns of a terminal the text takes: CJK and emoji two, accents none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def cut(text: str, limit: int) -> str:
    """Return at most about `limit` characters: the middle gives way to a word about it."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]} [... {len(text) - limit:,} characters left out ...] {text[-tail:]}"


def encodable(text: str) -> str:
    r"""Return text that is valid UTF-8: a lone surrogate is spelled out (`\udcff`)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shell_quoted(argument: str) -> str:
    r"""Return the argument as a shell needs it, on one line whatever is in it.

    What cannot be shown is written as bash, zsh and POSIX:2024 read it: `$'a\nb'`; so is what
    would be other bytes in a report, which is UTF-8, than in the names of files.
    """
    data = _as_given(argument)
    if plain_name(argument) == argument and data == argument.encode("utf-8", "replace"):
        return shlex.quote(argument)
    escaped = (chr(byte) if chr(byte) in _SHELL_PLAIN else f"\\{byte:03o}" for byte in data)
    return f"$'{''.join(escaped)}'"


def _as_given(argument: str) -> bytes:
    """Return the bytes of an argument as the shell gave them: in the locale's encoding."""
    try:
        return os.fsencode(argument)
    except UnicodeEncodeError:
        return argument.encode("utf-8", "replace")


def _spell(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
