"""The comparison as GitHub and GitLab render it; whatever comes from a file stands in code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.reference.pages.content import sections
from nbpipe.reference.pages.wording import text, title, tone
from nbpipe.reports.markdown import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reference.pages.content import Section

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
    """Return a cell: code, with the one character that would end it even there escaped."""
    return span(value).replace("|", "\\|") if value else ""
