"""Places where the author of a notebook has silenced a rule, each with a reason.

    x = "/home/jane/data"  # nbpipe: ignore[NBP209] an example of a bad path
    # nbpipe: ignore[NBP405] the course installs the newest on purpose     (the whole cell)
    <!-- nbpipe: ignore[NBP601] made by the exercise -->                   (the whole cell)
    "nbpipe": {"ignore": {"NBP103": "made on the platform"}}   (metadata of a cell or a notebook)

What must not be decided by whoever contributes a notebook is silenced in the configuration alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbpipe.lint.notebook import mapping
from nbpipe.lint.selection import covers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.lint.findings import Finding
    from nbpipe.lint.notebook import Cell, Notebook

ONLY_CONFIGURED = frozenset(("NBP301", "NBP302", "NBP406"))
"""Silenced by `ignore` and `per-file-ignores` only."""

_COMMENT = re.compile(
    r"(?P<before>.*?)(?:#|//|--|<!--)\s*nbpipe:\s*ignore\[(?P<rules>[\w\s,]+)\]\s*(?P<why>.*?)"
    r"\s*(?:-->.*)?$"
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """One place that silences rules."""

    rules: tuple[str, ...]
    reason: str = ""
    cell: int | None = None
    """None: the whole notebook."""
    line: int | None = None
    """Of the cell; None: the whole cell."""

    def covers(self, finding: Finding) -> bool:
        """Return whether it silences a finding."""
        if finding.rule in ONLY_CONFIGURED or not covers(self.rules, finding.rule):
            return False
        if self.cell is None:
            return True
        return self.cell == finding.cell and self.line in (None, finding.cell_line)


def suppressions(notebook: Notebook) -> list[Suppression]:
    """Return what a notebook silences."""
    found = [Suppression(*each) for each in _listed(notebook.metadata)]
    for cell in notebook.cells:
        found += [Suppression(*each, cell=cell.index) for each in _listed(cell.metadata)]
        if "nbpipe:" in cell.source:
            found += _written(cell)
    return found


def _listed(metadata: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    ignored = mapping(metadata.get("nbpipe")).get("ignore")
    if isinstance(ignored, list):
        yield tuple(map(str, ignored)), ""
    for rule, reason in mapping(ignored).items():
        yield (rule,), str(reason)


def _written(cell: Cell) -> Iterator[Suppression]:
    for number, line in enumerate(cell.source.splitlines(), start=1):
        if match := _COMMENT.match(line):
            rules = tuple(each.strip() for each in match["rules"].split(",") if each.strip())
            alone = cell.kind != "code" or not match["before"].strip()
            yield Suppression(rules, match["why"].strip(), cell.index, None if alone else number)
