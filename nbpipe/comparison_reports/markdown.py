"""The comparison as GitHub and GitLab render it.

Whatever comes from a file stands in code, so that it is shown as it is; numbers and our own words
cannot be anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from nbpipe.comparison_reports.content import sections
from nbpipe.comparison_reports.wording import text, title, tone
from nbpipe.reference.comparison.model import Verdict
from nbpipe.reports.markdown import span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.comparison_reports.content import Section
    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reports.reporter import Reporter

_NUMBER = re.compile(r"[-+\d.,e]+( ?(x|B|kB|MB|GB|TB|s|min|h))?( [\d.]+ (s|min))?|[\d.% /e+-]+|-")
_WORDS = {each.value for each in Verdict} | {
    *("breaking", "added", "reference", "new", "everything", "files", "columns", "package"),
    *("parameter", "executed notebook", "log", "data", "statistics", "exact"),
}
SIGNS = {"bad": "❌", "warn": "⚠️", "good": "✅", "": ""}


@dataclass(frozen=True, slots=True)
class MarkdownReporter:
    """Writes the Markdown report."""

    kind: str = "markdown"

    def report(self, comparison: Comparison, stream: TextIO) -> None:
        """Write the page."""
        stream.write("\n".join(_blocks(comparison)))


def reporter(path: Path | None) -> Reporter[Comparison]:  # noqa: ARG001  (alike for each kind)
    """Return the reporter of this kind."""
    return MarkdownReporter()


def _blocks(comparison: Comparison) -> Iterator[str]:
    yield f"## {SIGNS[tone(comparison.verdict)]} {span(title(comparison))}\n"
    yield f"{text(comparison.summary)}\n"
    for section in sections(comparison):
        yield f"### {section.title}\n"
        if section.rows:
            yield "\n".join(_table(section)) + "\n"
        yield from (f"- {span(line)}" for line in section.lines)
        if section.lines:
            yield ""


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
