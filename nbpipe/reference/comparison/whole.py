"""One comparison: two manifests, what is left of their files, the rules, a day; one verdict.

Known differences do not count until a day, and their absence does. An expectation with columns
covers the values of these columns only; without, anything about the file. One that nothing fulfils
is an unexpected pass: it should be taken out of the settings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbpipe.reference.comparison.model import (
    FAILING,
    Change,
    Comparison,
    FileComparison,
    Measure,
    RunSide,
    Verdict,
    shown,
)
from nbpipe.reference.comparison.outputs import Folders, compare_outputs
from nbpipe.reference.comparison.performance import compare_performance, trend
from nbpipe.reference.comparison.rules import any_matches, path_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from nbpipe.config.settings import ReferenceExpected
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Manifest

SAME, DIFFERENT = 0, 1
"""Exit codes of a comparison."""

DONE = frozenset({"", "COMPLETED", "DONE", "FINISHED"})


def compare(  # noqa: PLR0913, PLR0917  (two runs, each with its files; the rules and the day)
    reference: Manifest,
    reference_files: Path | None,
    new: Manifest,
    new_files: Path | None,
    rules: Rules,
    today: date,
    *,
    history: Iterable[Manifest] = (),
) -> Comparison:
    """Compare a run with a reference; never raises because of a data product.

    Args:
        reference: The record of the reference.
        reference_files: The folder that its outputs are relative to; None where they are gone.
        new: The record of the run to judge.
        new_files: The folder of its outputs.
        rules: What counts as the same.
        today: The day by which expectations are judged.
        history: The manifests of all releases, for the trend.
    """
    folders = Folders(reference_files, new_files)
    raw = compare_outputs(reference.outputs, new.outputs, folders, rules)
    files, notes = judged(raw, rules, today)
    performance = compare_performance(reference, new, rules)
    verdict, code = overall(files, performance)
    if reference.name != new.name:
        notes = (*notes, f"the reference is of {reference.name}, the run of {new.name}")
    return Comparison(
        name=new.name,
        today=today.isoformat(),
        verdict=verdict,
        exit_code=code,
        summary=summary(verdict, files, performance),
        reference=_side(reference, reference_files),
        new=_side(new, new_files),
        packages=changes(reference.packages, new.packages),
        parameters=changes(reference.parameters, new.parameters),
        files=files,
        performance=performance,
        trend=trend(history, new),
        notes=notes,
    )


def overall(files: Sequence[FileComparison], performance: Sequence[Measure]) -> tuple[Verdict, int]:
    """Return the verdict on the run, and its exit code.

    A difference is a difference, whatever else could not be compared; and what could not be
    compared is never taken for the same.
    """
    verdicts = {each.verdict for each in files}
    slow = any(each.verdict in FAILING for each in performance)
    if slow or verdicts & FAILING:
        return Verdict.DIFFERENT, DIFFERENT
    if Verdict.NOT_COMPARABLE in verdicts:
        return Verdict.NOT_COMPARABLE, DIFFERENT
    if verdicts <= {Verdict.SAME}:
        return Verdict.SAME, SAME
    return Verdict.WITHIN, SAME


def summary(
    verdict: Verdict, files: Sequence[FileComparison], performance: Sequence[Measure]
) -> str:
    """Return the verdict in one sentence with its numbers."""
    counts = [
        f"{number} {each.value}"
        for each in sorted(Verdict, key=lambda each: each not in FAILING)
        if each is not Verdict.SAME and (number := sum(file.verdict is each for file in files))
    ]
    same = sum(file.verdict is Verdict.SAME for file in files)
    told = ", ".join([*counts, f"{same} same"])
    files_word = f"{len(files)} file{'' if len(files) == 1 else 's'}"
    slow = [each.name for each in performance if each.verdict in FAILING]
    beyond = f"; beyond the bounds of performance: {', '.join(slow)}" if slow else ""
    return f"{verdict.value}: {files_word}, {told}{beyond}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what differs between two tables of names and values."""
    return tuple(
        Change(
            name=name,
            reference=shown(old[name]) if name in old else None,
            new=shown(new[name]) if name in new else None,
        )
        for name in sorted(old.keys() | new.keys(), key=str.lower)
        if name not in old or name not in new or old[name] != new[name]
    )


def _side(run: Manifest, folder: Path | None) -> RunSide:
    return RunSide(
        run=run.run,
        release=run.release,
        created=run.created,
        system=run.system,
        host=run.host,
        commit=run.commit,
        notebook=run.notebook.path,
        executed=run.notebook.executed,
        log=run.notebook.log,
        folder=None if folder is None else str(folder.absolute()),
        states=tuple(f"{job.id}: {job.state}" for job in run.jobs if job.state.upper() not in DONE),
        accepted=tuple(
            f"{each.when}: {', '.join(each.only) or 'everything'}: {each.reason}"
            for each in run.accepted
        ),
    )


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
