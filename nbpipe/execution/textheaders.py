"""The YAML header of a text notebook without what jupytext would refuse the whole file for.

Such a header names a kernel by a text, or holds a number where a mapping belongs.
`nbpipe.collecting` ignores that with a note; so the notebook has to run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml import Node

_FENCE = re.compile(r"(?P<mark>[^\w\s]{0,3}[ \t]?)---[ \t]*\Z")
_MAPPINGS = {"jupyter", "jupytext", "kernelspec", "language_info", "text_representation"}
_TEXTS = {
    "kernelspec": ("name", "display_name", "language"),
    "language_info": ("name",),
    "jupytext": ("formats", "main_language", "default_lexer"),
    "text_representation": ("extension", "format_name"),
}
_REQUIRED = {"kernelspec": "name", "language_info": "name", "text_representation": "extension"}


def without_misfits(text: str) -> str:
    """Return a text notebook without the entries of its header that are of the wrong type."""
    import yaml  # noqa: PLC0415

    lines = text.splitlines(keepends=True)
    found = _header(lines)
    if found is None:
        return text
    start, end, mark = found
    inside = lines[start + 1 : end]
    block = "".join(line[len(mark) :] if line.startswith(mark) else "\n" for line in inside)
    try:
        header = yaml.compose(block, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return without_header(text)
    if not isinstance(header, yaml.MappingNode):
        return without_header(text)
    out = {start + 1 + number for number in _misfits(header, "")}
    return _joined(lines, out)


def without_header(text: str) -> str:
    """Return a text notebook without its header."""
    lines = text.splitlines(keepends=True)
    found = _header(lines)
    if found is None:
        return text
    start, end, _ = found
    blank = end + 1 < len(lines) and not lines[end + 1].strip()
    return _joined(lines, set(range(start, end + 1 + blank)))


def _joined(lines: list[str], out: set[int]) -> str:
    return "".join(line for number, line in enumerate(lines) if number not in out)


def _header(lines: list[str]) -> tuple[int, int, str] | None:
    """Return the numbers of the header's fences, and what makes its lines comments."""
    start = next((n for n, line in enumerate(lines[:20]) if _FENCE.match(line.rstrip("\n"))), None)
    if start is None:
        return None
    fence = lines[start].rstrip()
    match = _FENCE.match(fence)
    for end in range(start + 1, len(lines)):
        if match and lines[end].rstrip() == fence:
            return start, end, match["mark"]
    return None


def _misfits(mapping: Node, inside: str) -> Iterator[int]:
    """Yield the numbers of the lines, in the header, of entries that are of the wrong type."""
    import yaml  # noqa: PLC0415

    for key, value in mapping.value:
        name, end = str(key.value), value.end_mark
        lines = range(key.start_mark.line, end.line + (end.column > 0))
        if name in _MAPPINGS:
            needed = _REQUIRED.get(name)
            if not isinstance(value, yaml.MappingNode) or (
                needed is not None and not _has_text(value, needed)
            ):
                yield from lines
            else:
                inner = set(_misfits(value, name))
                whole = (
                    set(range(value.start_mark.line, lines.stop)) <= inner
                )  # nothing would be left
                yield from lines if whole else inner
        elif name in _TEXTS.get(inside, ()) and not _is_text(value):
            yield from lines


def _has_text(mapping: Node, name: str) -> bool:
    return any(key.value == name and _is_text(value) for key, value in mapping.value)


def _is_text(node: Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:str")
