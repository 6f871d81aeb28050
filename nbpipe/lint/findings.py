"""What a rule found, and what a rule is: an id, its documentation, and the function that looks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook


class Severity(StrEnum):
    """How bad a finding is; only errors and warnings of the selected rules decide the exit code."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Default(StrEnum):
    """Whether a rule looks where nobody has asked for it."""

    ON = "on"
    OFF = "off"
    CONFIGURED = "configured"
    """As soon as the configuration says what it needs to know."""


class Fix(StrEnum):
    """Whether `--fix` repairs it."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    """Only with `--unsafe-fixes`: the notebook could mean something else afterwards."""
    NONE = "none"


class Spot(NamedTuple):
    """What a rule yields: where something is, and what is wrong with it."""

    message: str
    cell: int | None = None
    """0-based, over all cells; None: the notebook as a whole."""
    line: int = 1
    """Of the cell's source, from 1."""
    column: int = 1
    fixed: bool = False
    """`--fix` can repair this very one."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule, with all that `--explain` tells."""

    id: str
    name: str
    """For people: `private-path-in-outputs`."""
    summary: str
    severity: Severity
    default: Default
    fix: Fix
    why: str
    bad: str
    good: str
    look: Callable[[Notebook, CheckSettings], Iterator[Spot]]


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A rule's finding in a notebook."""

    path: str
    """Of the notebook, relative to the collection's root, with `/`."""
    line: int
    """Of the .ipynb file, from 1."""
    column: int
    rule: str
    message: str
    severity: Severity
    cell: int | None = None
    """0-based, over all cells; None: the notebook as a whole."""
    cell_line: int = 1
    """Of the cell's source, from 1."""
    fingerprint: str = ""
    """The same for the same finding when cells move: of rule, cell id or text, message."""
    fixable: bool = False

    @property
    def place(self) -> str:
        """Where it is, for people: `a/b.ipynb:cells[3]:2`."""
        return (
            self.path if self.cell is None else f"{self.path}:cells[{self.cell}]:{self.cell_line}"
        )


def finding(rule: Rule, notebook: Notebook, spot: Spot) -> Finding:
    """Return a finding of a rule in a notebook."""
    cell = notebook.cells[spot.cell] if spot.cell is not None else None
    here = (cell.id or cell.source) if cell else ""
    mark = f"{rule.id}\0{notebook.path}\0{here}\0{spot.message}"
    return Finding(
        path=notebook.path,
        line=notebook.line(spot.cell, spot.line),
        column=spot.column,
        rule=rule.id,
        message=spot.message,
        severity=rule.severity,
        cell=spot.cell,
        cell_line=spot.line,
        fingerprint=hashlib.sha256(mark.encode("utf-8", "replace")).hexdigest()[:32],
        fixable=spot.fixed,
    )


def by_id(rules: Mapping[str, Rule], prefix: str) -> list[Rule]:
    """Return the rules whose id is, or begins with, a prefix such as `NBP2`."""
    return [rule for rule in rules.values() if rule.id.startswith(prefix)]
