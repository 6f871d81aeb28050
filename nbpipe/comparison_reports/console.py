"""The comparison on a terminal: what fits a line stays in one, the rest is on the other pages."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from nbpipe.comparison_reports.content import sections
from nbpipe.comparison_reports.wording import text, title, tone
from nbpipe.reports.terminal import Color, Encodable, is_colored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from nbpipe.comparison_reports.content import Row, Section
    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reports.reporter import Reporter

STYLES = {"bad": "red", "warn": "yellow", "good": "green", "": ""}
ROWS = 20
"""Of a section; the other pages have more."""
NARROW = 12
"""Characters that a column of text keeps."""
GAP = 2
WIDTH = 100
"""Columns of a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsoleReporter:
    """Writes the report for people."""

    color: Color = "auto"
    environ: Mapping[str, str] = field(default_factory=dict)
    """Where NO_COLOR, FORCE_COLOR and TERM are looked up."""
    width: int | None = None
    """Columns; None: those of the terminal."""
    kind: str = "console"

    def report(self, comparison: Comparison, stream: TextIO) -> None:
        """Write the page, whatever the stream's encoding is."""
        page = io.StringIO()
        colored = is_colored(stream, self.color, self.environ)
        _write(comparison, page, colored=colored, width=self.width)
        encodable = Encodable(stream)
        encodable.write(page.getvalue())
        encodable.flush()


def reporter(path: Path | None) -> Reporter[Comparison]:
    """Return the reporter of this kind, with the columns of a file where it goes into one."""
    return ConsoleReporter(width=None if path is None else WIDTH)


def _write(comparison: Comparison, stream: TextIO, *, colored: bool, width: int | None) -> None:
    """Write the page, the verdict first and again at the end, where a terminal stands."""
    from rich.console import Console  # noqa: PLC0415  (slow)
    from rich.text import Text  # noqa: PLC0415

    page = Console(
        file=stream,
        width=width,
        force_terminal=colored,
        color_system="standard" if colored else None,
        no_color=not colored,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    verdict = Text(text(comparison.summary), style=f"bold {STYLES[tone(comparison.verdict)]}")
    page.print(Text(title(comparison), style="bold"))
    page.print(verdict)
    for section in sections(comparison):
        page.print()
        page.print(Text(section.title, style="bold"))
        for heading, table in _tables(section, page.width):
            if heading:
                page.print(Text(heading, style="bold"))
            page.print(table)
        for line in _lines(section):
            page.print(Text(line))
    page.print()
    page.print(verdict)


def _lines(section: Section) -> Iterator[str]:
    more = len(section.rows) - ROWS
    if more > 0:
        yield f"and {more:,} more: --report html=PAGE.html"
    yield from section.lines


def _tables(section: Section, width: int) -> Iterator[tuple[str, Table]]:
    """Yield one table, or where it is too wide one for each file, below the file's name."""
    rows = section.rows[:ROWS]
    places = [*range(len(section.header))]
    if _needed(section, rows, places) > width:
        places = [each for each in places if each not in section.details]
    by_file = {"": [*rows]} if rows else {}
    if "file" in section.header and _needed(section, rows, places) > width:
        file = section.header.index("file")
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row.cells[file], []).append(row)
        if len(found) < len(rows):
            by_file = found
            places.remove(file)
    widths = _widths(section, rows, places, width)
    for number, (name, together) in enumerate(by_file.items()):
        yield name, _table(section, together, widths, headed=not number)


def _needed(section: Section, rows: Sequence[Row], places: Sequence[int]) -> int:
    """Return the characters of a line that holds all."""
    return sum(_longest(section, rows, each) + GAP for each in places) - GAP


def _longest(section: Section, rows: Sequence[Row], place: int) -> int:
    from rich.cells import cell_len  # noqa: PLC0415

    return max(cell_len(cell) for cell in (section.header[place], *(r.cells[place] for r in rows)))


def _widths(
    section: Section, rows: Sequence[Row], places: Sequence[int], width: int
) -> dict[int, int]:
    """Return how wide each column is: texts give way, the longest first, and numbers never."""
    found = {each: _longest(section, rows, each) for each in places}
    while sum(found.values()) + GAP * (len(found) - 1) > width:
        text_ = [each for each in found if each not in section.numeric and found[each] > NARROW]
        if not text_:
            break
        found[max(text_, key=lambda each: found[each])] -= 1
    return found


def _table(section: Section, rows: Sequence[Row], widths: dict[int, int], *, headed: bool) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", show_header=headed
    )
    for place, width in widths.items():
        table.add_column(
            section.header[place],
            justify="right" if place in section.numeric else "left",
            width=width,
            no_wrap=place in section.clipped,
            overflow="ellipsis" if place in section.clipped else "fold",
        )
    for row in rows:
        cells = [Text(row.cells[place]) for place in widths]
        if row.tone:
            cells[0].stylize(STYLES[row.tone])
        table.add_row(*cells)
    return table
