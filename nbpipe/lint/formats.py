"""Findings as other programs read them: JSON, SARIF, GitHub's annotations, GitLab's code quality.

Sources: SARIF 2.1.0 (OASIS, docs.oasis-open.org/sarif/sarif/v2.1.0) and what GitHub takes of it
(at most 25,000 results); GitHub's workflow commands; GitLab's Code Quality report format.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nbpipe._version import __version__
from nbpipe.lint.findings import Severity
from nbpipe.lint.ruff import as_rule
from nbpipe.lint.rules import RULES
from nbpipe.system.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nbpipe.lint.checks import Checked
    from nbpipe.lint.findings import Finding, Rule

FORMAT = 1
_MOST = 25_000
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_GITLAB = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.INFO: "info"}


def rule_of(identifier: str) -> Rule:
    """Return a rule of ours, or one that stands for ruff's."""
    return RULES.get(identifier) or as_rule(identifier)


def as_json(checked: Checked) -> str:
    """Return all findings as JSON."""
    document = {
        "format": FORMAT,
        "version": __version__,
        "notebooks": checked.notebooks,
        "suppressed": checked.suppressed,
        "known": checked.known,
        "ruff": checked.ruff,
        "findings": [_entry(each) for each in checked.findings],
        "fixed": [_entry(each) for each in checked.fixed],
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def _entry(found: Finding) -> Mapping[str, Any]:
    return {
        "rule": found.rule,
        "name": rule_of(found.rule).name,
        "severity": found.severity.value,
        "message": found.message,
        "path": found.path,
        "line": found.line,
        "cell": found.cell,
        "cell_line": found.cell_line if found.cell is not None else None,
        "column": found.column,
        "fixable": found.fixable,
        "fingerprint": found.fingerprint,
    }


def as_sarif(checked: Checked) -> str:
    """Return the findings as a SARIF log, for code scanning."""
    shown = checked.findings[:_MOST]
    used = sorted({each.rule for each in shown})
    place = {rule: number for number, rule in enumerate(used)}
    driver = {
        "name": "nbpipe",
        "version": __version__,
        "rules": [_sarif_rule(rule_of(each)) for each in used],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(each, place) for each in shown],
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return f"{json.dumps(document, indent=1, ensure_ascii=False)}\n"


def _sarif_rule(rule: Rule) -> Mapping[str, Any]:
    help_text = f"{rule.why}\n\nBad: {rule.bad}\n\nGood: {rule.good}" if rule.bad else rule.why
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": help_text},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _sarif_result(found: Finding, place: Mapping[str, int]) -> Mapping[str, Any]:
    where = f" (cell {found.cell}, line {found.cell_line})" if found.cell is not None else ""
    return {
        "ruleId": found.rule,
        "ruleIndex": place[found.rule],
        "level": _LEVELS[found.severity],
        "message": {"text": f"{found.message}{where}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(found.path)},
                    "region": {"startLine": found.line},
                }
            }
        ],
        "partialFingerprints": {"nbpipe/v1": found.fingerprint},
    }


def as_github(checked: Checked) -> str:
    """Return the findings as workflow commands, which GitHub shows beside the lines."""
    return "".join(_annotation(each) for each in checked.findings)


def _annotation(found: Finding) -> str:
    where = f"cells[{found.cell}]:{found.cell_line}: " if found.cell is not None else ""
    title = _property(f"{found.rule} {rule_of(found.rule).name}")
    file = _property(found.path)
    message = _escaped(f"{where}{found.message}")
    return f"::{_COMMANDS[found.severity]} file={file},line={found.line},title={title}::{message}\n"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def as_gitlab(checked: Checked) -> str:
    """Return the findings as a Code Quality report."""
    seen: dict[str, int] = {}
    issues = []
    for each in checked.findings:
        number = seen[each.fingerprint] = seen.get(each.fingerprint, 0) + 1
        mark = each.fingerprint if number == 1 else f"{each.fingerprint}-{number}"
        issues.append(
            {
                "description": each.message,
                "check_name": each.rule,
                "fingerprint": mark,
                "severity": _GITLAB[each.severity],
                "location": {"path": each.path, "lines": {"begin": each.line}},
            }
        )
    return f"{json.dumps(issues, indent=1, ensure_ascii=False)}\n"


def as_concise(checked: Checked) -> str:
    """Return one line for each finding."""
    return "".join(
        f"{plain(each.place)}: {each.rule} {plain(each.message)}\n" for each in checked.findings
    )


FORMATS: Mapping[str, Callable[[Checked], str]] = {
    "concise": as_concise,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
    "gitlab": as_gitlab,
}
"""What gives the text of each format but `full`, which is for people."""


def statistics(findings: Iterable[Finding]) -> list[tuple[str, int, int]]:
    """Return for each rule: its id, how many findings and in how many notebooks; most first."""
    by_rule: dict[str, list[str]] = {}
    for each in findings:
        by_rule.setdefault(each.rule, []).append(each.path)
    rows = [(rule, len(paths), len(set(paths))) for rule, paths in by_rule.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def explanation(rule: Rule) -> str:
    """Return what `--explain` says of a rule."""
    fix = {"safe": "--fix", "unsafe": "--fix --unsafe-fixes"}.get(rule.fix.value, "by hand")
    default = {
        "on": "on by default",
        "off": "off by default; --extend-select turns it on",
        "configured": "on as soon as [check] says what it needs to know",
    }[rule.default.value]
    lines = [
        f"{rule.id} {rule.name} ({rule.severity.value}, {default})",
        "",
        rule.summary,
        "",
        f"Why:    {rule.why}",
        f"Bad:    {rule.bad}",
        f"Better: {rule.good}",
        f"Repair: {fix}",
    ]
    return "\n".join(lines)
