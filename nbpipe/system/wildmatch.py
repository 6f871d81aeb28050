"""Sets of characters in a pattern (`[a-z]`, `[[:upper:]]`) as git reads them.

pathspec gives a set to Python's `re` as it stands, which reads some of them otherwise, warns of
others, and refuses `[z-a]`. Here each set is read by the rules of git's own wildmatch.c, and only
the rest is left to pathspec.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\ \t\x00\v\f\r",  # a newline is compared as a NUL, see `collecting.gitlines`
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
_FREE = 0xF0000
"""From here on, characters that are in no pattern, each in the place of a set."""


def spec(lines: Iterable[str]) -> GitIgnoreSpec:
    """Return lines of a .gitignore as one, the last that matches decides.

    Not by `from_lines`, which before pathspec 1.1.1 takes no function for a line.

    Raises:
        GitIgnorePatternError: A line is not a pattern that git accepts.
    """
    patterns = [compiled(line) for line in lines if line]
    # The other backends encode a name, and a name need not be UTF-8.
    return GitIgnoreSpec(patterns, backend="simple")


def compiled(line: str) -> GitIgnoreSpecPattern:
    """Return a line of a .gitignore, ready to be asked.

    Raises:
        GitIgnorePatternError: The line is not a pattern that git accepts.
    """
    if "[" not in line:
        return GitIgnoreSpecPattern(line)
    free = (chr(code) for code in range(_FREE, _FREE + 0xFFFD) if chr(code) not in line)
    try:
        plain, sets = _without_sets(line, free)
    except LookupError:  # a set that does not end matches nothing
        return GitIgnoreSpecPattern("")
    regex, include = GitIgnoreSpecPattern.pattern_to_regex(plain)
    if regex is None:
        return GitIgnoreSpecPattern("")
    for placeholder, expression in sets.items():
        regex = regex.replace(placeholder, expression)
    return GitIgnoreSpecPattern(re.compile(regex), include)


def _without_sets(line: str, free: Iterator[str]) -> tuple[str, dict[str, str]]:
    """Return the line with a placeholder for each set, and what they stand for."""
    parts, sets, index = [], {}, 0
    while index < len(line):
        if line[index] == "[":
            placeholder = next(free)
            sets[placeholder], index = _set(line, index + 1)
            parts.append(placeholder)
        else:
            step = 2 if line[index] == "\\" else 1
            parts.append(line[index : index + step])
            index += step
    return "".join(parts), sets


def _set(line: str, index: int) -> tuple[str, int]:
    """Return the set that begins at `index` as a regular expression, and where it has ended.

    Raises:
        LookupError: It does not end, or has a class that there is not.
    """
    negated = line[index] in "!^"
    index += negated
    found: list[str] = []
    before = ""
    begin = index
    while index == begin or line[index] != "]":
        char, index = line[index], index + 1
        if char == "\\":
            char, index = line[index], index + 1
            found.append(re.escape(char))
        elif char == "-" and before and line[index] != "]":
            index += line[index] == "\\"
            if before <= line[index]:
                found.append(f"{re.escape(before)}-{re.escape(line[index])}")
            char, index = "", index + 1
        elif char == "[" and (name := _class(line, index)):
            found.append(_CLASSES[name[1:-1]])
            char, index = "", index + len(name) + 1
        else:
            found.append(re.escape(char))
        before = char
    return f"[^/{''.join(found)}]" if negated else f"(?!/)[{''.join(found)}]", index + 1


def _class(line: str, index: int) -> str:
    """Return a class's name with its colons, empty where `[` is only itself."""
    if line[index] != ":":
        return ""
    end = line.find("]", index)
    if end < 0:
        raise IndexError(index)
    name = line[index:end]
    return name if len(name) > 1 and name.endswith(":") else ""
