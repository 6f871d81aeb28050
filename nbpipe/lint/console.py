"""What a check found, for people: differences, findings by notebook, counts; a rule explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.lint.findings import Severity, by_id
from nbpipe.lint.formats import FORMATS, explanation, rule_of
from nbpipe.lint.formats import statistics as by_rule
from nbpipe.lint.rules import RULES
from nbpipe.system import files
from nbpipe.system.text import plain
from nbpipe.system.units import count

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.lint.checks import Checked
    from nbpipe.reports.terminal import Page


def explained(identifier: str) -> str:
    """Return what a rule is about; of `ALL` a line for each.

    Raises:
        UsageError: There is no such rule.
    """
    wanted = identifier.upper()
    if wanted == "ALL":
        return "\n".join(
            f"{rule.id}  {rule.severity.value:7}  {rule.name:24}  {rule.summary}"
            for rule in RULES.values()
        )
    named = [rule for rule in RULES.values() if identifier.lower() == rule.name]
    rules = named or by_id(RULES, wanted)
    if not rules:
        raise UsageError(
            f"there is no rule {identifier}", hint="`nbpipe check --explain ALL` lists all rules."
        )
    return "\n\n".join(explanation(rule) for rule in rules)


def write(
    checked: Checked, page: Page, form: str, output: Path | None, *, statistics: bool
) -> None:
    """Write the findings where they are wanted; for people, the counts come last.

    Args:
        checked: What was found.
        page: Standard output.
        form: `full`, for people, or a key of `FORMATS`.
        output: The file for the findings in that form; None: the page.
        statistics: Whether findings are counted by rule.
    """
    if form != "full" and output is not None:
        files.replace(output.absolute(), FORMATS[form](checked).encode("utf-8", "replace"))
    elif form != "full" and (text := FORMATS[form](checked)):
        page.line(text.removesuffix("\n"))
    if form == "full" and not statistics:
        full(checked, page)
    if statistics:
        counted(checked, page)
    if form in {"full", "concise"} or output is not None:
        summary(checked, page)
    page.flush()


_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def full(checked: Checked, page: Page) -> None:
    """Write differences, then the findings by notebook."""
    for change in checked.changes:
        for line in change.splitlines():
            page.line(plain(line))
    path = ""
    for each in checked.findings:
        if each.path != path:
            path = each.path
            page.title(plain(path))
        where = "" if each.cell is None else f"cells[{each.cell}]:{each.cell_line}"
        mark = " [*]" if each.fixable else ""
        page.line(
            f"  {where:14} ",
            (f"{each.severity.value:7}", _STYLES[each.severity.value]),
            f" {each.rule} {plain(each.message)}{mark}",
        )
    if checked.findings:
        page.line()


def counted(checked: Checked, page: Page) -> None:
    """Write how often each rule found something."""
    for rule, findings, notebooks in by_rule(checked.findings):
        page.line(f"{findings:6}  {rule:7}  {rule_of(rule).name}  ({count(notebooks, 'notebook')})")


def summary(checked: Checked, page: Page) -> None:
    """Write the counts, and what can be done."""
    parts = [
        count(number, word)
        for severity, word in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
            (Severity.INFO, "remark"),
        )
        if (number := checked.count(severity))
    ]
    said = ", ".join(parts) or "nothing found"
    page.line(f"{said} in {count(checked.notebooks, 'notebook')}")
    if checked.fixed:
        verb = "would be repaired" if checked.changes else "repaired"
        page.line(f"{count(len(checked.fixed), 'finding')} {verb}")
    if checked.suppressed or checked.known:
        page.line(f"{checked.suppressed} silenced in notebooks, {checked.known} in the baseline")
    if not checked.fixed and any(each.fixable for each in checked.findings):
        number = sum(each.fixable for each in checked.findings)
        page.line(f"[*] {number} can be repaired: --fix (--diff shows how)")
    if not checked.ruff:
        page.line("ruff is not installed: undefined names were not looked for (pip install ruff)")
