"""The comparison as GitHub and GitLab render it.

Whatever comes from a file stands in code, so that it is shown as it is; numbers and our own words
cannot be anything else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import Verdict
from nbpipe.reference.pages.content import sections
from nbpipe.reference.pages.wording import text, title, tone
from nbpipe.reports.markdown import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reference.pages.content import Section

_NUMBER = re.compile(r"[-+\d.,e]+( ?(x|B|kB|MB|GB|TB|s|min|h))?( [\d.]+ (s|min))?|[\d.% /e+-]+|-")
_WORDS = {each.value for each in Verdict} | {"breaking", "added", "reference", "new"}
_WORDS |= {
    "everything",
    "files",
    "columns",
    "package",
    "parameter",
    "executed notebook",
    "log",
    "data",
    "statistics",
    "exact",
}
SIGNS = {"bad": "❌", "warn": "⚠️", "good": "✅", "": ""}


def markdown(comparison: Comparison) -> str:
    """Return the page."""
    sign = SIGNS[tone(comparison.verdict)]
    parts = [f"## {sign} {span(title(comparison))}\n", f"{text(comparison.summary)}\n"]
    for section in sections(comparison):
        parts.append(f"### {section.title}\n")
        if section.rows:
            parts.append("\n".join(_table(section)) + "\n")
        parts += [f"- {span(line)}" for line in section.lines]
        if section.lines:
            parts.append("")
    return "\n".join(parts)


def _table(section: Section) -> Iterator[str]:
    yield f"| {' | '.join(section.header)} |"
    rules = ("--:" if place in section.numeric else "---" for place in range(len(section.header)))
    yield f"|{'|'.join(rules)}|"
    for row in section.rows:
        cells = [_cell(cell) for cell in row.cells]
        if row.tone:
            cells[0] = f"{SIGNS[row.tone]} {cells[0]}"
        yield f"| {' | '.join(cells)} |"


def _cell(value: str) -> str:
    """Return a cell: a plain word or number, or code in which no character ends the cell."""
    if value in _WORDS or _NUMBER.fullmatch(value):
        return value
    return span(value).replace("|", "\\|") if value else ""
