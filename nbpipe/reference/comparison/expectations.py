"""Differences that are known: until a day they do not count, and their absence does.

An expectation with columns covers the values of these columns only; without, anything about the
file. One that nothing fulfils is an unexpected pass: it should be taken out of the settings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import FAILING, FileComparison, Verdict
from nbpipe.reference.comparison.rules import any_matches, path_matches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from nbpipe.config.settings import ReferenceExpected
    from nbpipe.reference.comparison.rules import Rules


def judged(
    files: Sequence[FileComparison], rules: Rules, today: date
) -> tuple[tuple[FileComparison, ...], tuple[str, ...]]:
    """Return the files as judged by what is expected today, and notes about what was."""
    found = list(files)
    for each in rules.expected(today):
        found = _judged(found, each)
    notes = [
        f"expected until {each.until}, which is over: {each.reason} ({', '.join(each.paths)})"
        for each in rules.expired(today)
    ]
    return tuple(found), tuple(notes)


def _judged(files: list[FileComparison], expected: ReferenceExpected) -> list[FileComparison]:
    mine = [each for each in files if path_matches(expected.paths, each.path)]
    reason = f"{expected.reason} (until {expected.until})"
    excused = {id(each): _excused(each, expected, reason) for each in mine}
    if any(excused.values()):
        return [excused.get(id(each)) or each for each in files]
    passed = f"expected to differ, and does not: {reason}"
    return [
        replace(each, verdict=Verdict.UNEXPECTED, reason=passed)
        if id(each) in excused and each.verdict not in FAILING | {Verdict.NOT_COMPARABLE}
        else each
        for each in files
    ]


def _excused(
    file: FileComparison, expected: ReferenceExpected, reason: str
) -> FileComparison | None:
    """Return the file without what was expected; None where nothing of it was."""
    if not expected.columns:
        if file.verdict not in FAILING:
            return None
        columns = [
            replace(each, verdict=Verdict.EXPECTED) if each.verdict in FAILING else each
            for each in file.columns
        ]
        return replace(file, verdict=Verdict.EXPECTED, reason=reason, columns=tuple(columns))
    columns = [
        replace(each, verdict=Verdict.EXPECTED, note=reason)
        if each.verdict is Verdict.DIFFERENT
        and any_matches(expected.columns, each.column, f"{each.part}/{each.column}")
        else each
        for each in file.columns
    ]
    if columns == list(file.columns):
        return None
    file = replace(file, columns=tuple(columns))
    if file.verdict is not Verdict.DIFFERENT or not _only_expected(file):
        return file
    return replace(file, verdict=Verdict.EXPECTED, reason=reason)


def _only_expected(file: FileComparison) -> bool:
    rows = any(
        each.only_reference or each.only_new or each.reference != each.new for each in file.rows
    )
    rest = any(each.verdict is Verdict.DIFFERENT for each in file.columns)
    return not (rows or rest or file.keywords or file.schema)
