"""The comparison on a terminal: tables by rich, which wraps them to the width."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from nbpipe.reference.pages.content import sections
from nbpipe.reference.pages.wording import text, title, tone

if TYPE_CHECKING:
    from rich.table import Table

    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reference.pages.content import Section

STYLES = {"bad": "red", "warn": "yellow", "good": "green", "": ""}


def console(comparison: Comparison, stream: TextIO, *, colored: bool, width: int | None) -> None:
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
        if section.rows:
            page.print(_table(section))
        for line in section.lines:
            page.print(Text(line))
    page.print()
    page.print(verdict)


def _table(section: Section) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(section.header):
        justify = "right" if place in section.numeric else "left"
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in section.rows:
        cells = [Text(cell) for cell in row.cells]
        if row.tone:
            cells[0].stylize(STYLES[row.tone])
        table.add_row(*cells)
    return table
