"""NBP5xx: headings and text."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.lint.findings import Spot
from nbpipe.lint.markdown import headings
from nbpipe.lint.notebook import read
from nbpipe.lint.rules.declaration import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook

RULES = Rules()
_TODO = re.compile(r"\b(?:TODO|FIXME|XXX)\b")


@RULES.add(
    501,
    "no-title",
    why="Galleries and lists show the title; without one they show the file's name.",
    bad="a notebook that begins with code",
    good="# Light curves of RR Lyrae stars",
)
def no_title(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """No heading of the first level."""
    if notebook.failure is None and notebook.cells:
        first = next((found for found in headings(notebook) if found.level == 1), None)
        if first is None and not notebook.metadata.get("title"):
            yield Spot("no cell of text has a heading of the first level (# Title)")


@RULES.add(
    502,
    "several-titles",
    "info",
    "off",
    why="Tables of contents and readers with a screen reader expect one title.",
    bad="# Introduction ... # Data",
    good="# Title, ## Introduction, ## Data",
)
def several_titles(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """More than one heading of the first level."""
    first = [found for found in headings(notebook) if found.level == 1]
    for found in first[1:]:
        yield Spot(f"another heading of the first level: {found.text}", found.cell, found.line)


@RULES.add(
    503,
    "skipped-level",
    why="Tables of contents and screen readers take it for a missing section.",
    bad="# Title, ### Data",
    good="# Title, ## Data",
)
def skipped_level(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A heading is more than one level below the one before."""
    before = 0
    for found in headings(notebook):
        if before and found.level > before + 1:
            message = f"a heading of level {found.level} follows one of level {before}"
            yield Spot(message, found.cell, found.line)
        before = found.level


@RULES.add(
    504,
    "poor-heading",
    "info",
    "off",
    why="Links to a heading go to the first one of its name.",
    bad="## Solution, and again ## Solution below the same heading",
    good="## Solution of exercise 1",
)
def poor_heading(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A heading is empty, or has the text of another one."""
    seen = set()
    for found in headings(notebook):
        if not found.text:
            yield Spot("the heading is empty", found.cell, found.line)
        elif found.text in seen:
            yield Spot(f"the heading {found.text!r} is there already", found.cell, found.line)
        seen.add(found.text)


@RULES.add(
    505,
    "template-text",
    "error",
    "configured",
    why="Text of the template tells nothing about this notebook.",
    bad="*Replace this by an abstract of your notebook.*",
    good="an abstract",
)
def template_text(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """A cell is as the template has it."""
    left = _template_cells(settings.template or "")
    for cell in notebook.prose:
        if cell.source.strip() in left:
            yield Spot("the cell is as in the template", cell.index)


@RULES.add(
    506,
    "missing-section",
    default="configured",
    why="Readers of the collection find the same sections in every notebook.",
    bad='required-sections = ["References"] in [check], and no such heading',
    good="## References",
)
def missing_section(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """A heading of `required-sections` is missing."""
    if notebook.failure is not None:
        return
    there = {found.text.casefold() for found in headings(notebook)}
    for section in settings.required_sections:
        if section.casefold() not in there:
            yield Spot(f"the section {section!r} is missing")


@RULES.add(
    507,
    "todo",
    "info",
    "off",
    why="Users do not know whether what follows works.",
    bad="# TODO: check the units",
    good="done, or an issue of the repository",
)
def todo(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A cell holds TODO, FIXME or XXX."""
    for cell in notebook.cells:
        if match := _TODO.search(cell.source):
            line = cell.source.count("\n", 0, match.start()) + 1
            yield Spot(f"{match[0]} is left in the cell", cell.index, line)


@RULES.add(
    508,
    "code-without-text",
    "info",
    "off",
    why="Readers of a tutorial need to know what the next cell is for.",
    bad="nine cells of code in a row",
    good="a sentence before each step",
)
def code_without_text(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """More than `max-code-cells` code cells without text between them."""
    row = 0
    for cell in notebook.cells:
        row = row + 1 if cell.kind == "code" else 0
        if row == settings.max_code_cells + 1:
            message = f"more than {settings.max_code_cells} code cells in a row without text"
            yield Spot(message, cell.index)


@lru_cache(maxsize=4)
def _template_cells(file: str) -> frozenset[str]:
    """Return the texts of a template that an author replaces; headings alone stay."""
    try:
        content = Path(file).read_bytes()
    except OSError:
        return frozenset()
    texts = {cell.source.strip() for cell in read(file, file, content).prose}
    return frozenset(each for each in texts if not re.fullmatch(r"#{1,6}[^\n]*", each) and each)
