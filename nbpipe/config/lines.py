"""The line of a TOML file where a key stands, for messages: TOML's own reader does not tell.

tomllib reads each key and value; here are only the places. What is written within one value (an
inline table) has the line of that value's key.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from typing import Any

_HEADER = re.compile(r"^\s*(?P<open>\[\[?)(?P<key>[^\]#]+)\]\]?\s*(?:#.*)?$")
_ASSIGNED = re.compile(
    r"""^\s*(?P<key>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)"""
    r"\s*=(?P<value>.*)$"
)
_LONGEST = 2_000
"""Lines of one value."""


def places(text: str, *, below: str = "") -> dict[str, int]:
    """Return the line, from 1, of each key as messages name it: `test.overrides[1].skip`.

    Args:
        text: The file's, which is TOML.
        below: The table whose keys are named from there, such as `tool.nbpipe`.
    """
    found: dict[str, int] = {}
    numbers: defaultdict[str, int] = defaultdict(int)
    lines = text.splitlines()
    table, number = "", 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if header := _HEADER.match(line):
            table = _dotted("", _parts(header["key"]), numbers)
            if header["open"] == "[[":
                numbers[table] += 1
                table = f"{table}[{numbers[table] - 1}]"
            found.setdefault(table, number)
        elif assigned := _ASSIGNED.match(line):
            name = table
            for part in _parts(assigned["key"]):
                name = f"{name}.{part}" if name else part
                found.setdefault(name, number)
            number += _more_lines(assigned["value"], lines[number : number + _LONGEST])
    prefix = f"{below}." if below else ""
    return {
        name.removeprefix(prefix): line for name, line in found.items() if name.startswith(prefix)
    }


def nearest(known: dict[str, int], dotted: str) -> int | None:
    """Return the line of a key, or of what holds it; None where not even that is known."""
    while dotted:
        if dotted in known:
            return known[dotted]
        dotted = dotted[: max(dotted.rfind("."), dotted.rfind("["), 0)]
    return None


def _parts(key: str) -> list[str]:
    """Return the parts of a dotted key, without quotes."""
    try:
        value: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return [key.strip()]
    parts = []
    while isinstance(value, dict):
        ((part, value),) = value.items()
        parts.append(part)
    return parts


def _dotted(name: str, parts: list[str], numbers: dict[str, int]) -> str:
    """Return a table's name; a list of tables on the way stands for its last one."""
    for place, part in enumerate(parts):
        name = f"{name}.{part}" if name else part
        if place < len(parts) - 1 and numbers.get(name):
            name = f"{name}[{numbers[name] - 1}]"
    return name


def _more_lines(value: str, following: list[str]) -> int:
    """Return how many of the following lines belong to a value that begins with this text."""
    for more in range(len(following) + 1):
        try:
            tomllib.loads("x = " + "\n".join([value, *following[:more]]))
        except tomllib.TOMLDecodeError:
            continue
        return more
    return 0
