"""IPython's magics and shell lines, as far as text alone tells: for a look, not for a run.

IPython itself would know better, and takes half a second to be imported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE = re.compile(r"^(?P<indent>\s*)(?:[%!?]|,|;|/(?=\w))|^(?P<i>\s*)[\w.\[\]'\"]+\?{1,2}\s*$")
_ASSIGNED = re.compile(r"^(?P<head>\s*[\w.,\s\[\]'\"*()]+=\s*)[%!](?!=)(?P<rest>.*)$")
_PYTHON_CELLS = frozenset(("%%time", "%%timeit", "%%capture", "%%prun", "%%memit", "%%mprun"))
_TIMED = re.compile(r"^(?P<indent>\s*)%(?:time|prun|memit)\s+(?P<code>[^-\s].*)$")


def plain_python(source: str) -> str:
    """Return a cell's code with the same lines, and what only IPython understands taken out."""
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%"):
        if first.split()[0] not in _PYTHON_CELLS:
            return "\n" * source.count("\n")
        lines[lines.index(first)] = ""
    kept, inside, goes_on = [], "", False
    for line in lines:
        if goes_on:
            goes_on = line.rstrip().endswith("\\")
            kept.append("")
        elif not inside and (timed := _TIMED.match(line)):
            kept.append(timed["indent"] + timed["code"])
        elif not inside and _LINE.match(line):
            kept.append(f"{line[: len(line) - len(line.lstrip())]}pass")
            goes_on = line.rstrip().endswith("\\")
        elif not inside and (assigned := _ASSIGNED.match(line)):
            kept.append(f"{assigned['head']}None")
            goes_on = line.rstrip().endswith("\\")
        else:
            kept.append(line)
            inside = _open_string(line, inside)
    return "\n".join(kept)


def _open_string(line: str, inside: str) -> str:
    """Return the quotes of a text over several lines that is open after a line."""
    at = 0
    while at < len(line):
        if inside:
            end = line.find(inside, at)
            if end < 0:
                return inside
            at, inside = end + 3, ""
        elif line[at] == "#":
            return ""
        elif line.startswith(('"""', "'''"), at):
            at, inside = at + 3, line[at : at + 3]
        elif line[at] in "\"'":
            end = line.find(line[at], at + 1)
            at = end + 1 if end > 0 else len(line)
        else:
            at += 1
    return inside


def magic_lines(source: str) -> list[str]:
    """Return the lines that IPython reads itself, those below a cell's magic too."""
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%"):
        return lines
    return [line for line in lines if _LINE.match(line) or _ASSIGNED.match(line)]


def shell_lines(source: str, language: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that a shell runs, each with its number from 1."""
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    whole = language in {"bash", "sh", "zsh"} or first.split(" ")[0] in {
        "%%bash",
        "%%sh",
        "%%script",
        "%%system",
        "%%!",
    }
    for number, line in enumerate(lines, start=1):
        bare = line.lstrip()
        if whole:
            if not bare.startswith("#"):
                yield number, bare
        elif bare.startswith("!"):
            yield number, bare.lstrip("!")
        elif bare.startswith(("%sx ", "%system ", "%%sx ")):
            yield number, bare.partition(" ")[2]
        elif match := re.match(r"[\w.,\s]+=\s*!(.*)", bare):
            yield number, match[1]
