"""The comparison for the test pages of CI systems: a case for each file and each bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from nbpipe.comparison_reports.wording import amount, number, text
from nbpipe.reference.comparison.model import FAILING, Verdict
from nbpipe.reports.junit import write_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from junit_xml import TestCase

    from nbpipe.reference.comparison.model import (
        ColumnDifference,
        Comparison,
        FileComparison,
        Measure,
    )
    from nbpipe.reports.reporter import Reporter


@dataclass(frozen=True, slots=True)
class JunitReporter:
    """Writes the JUnit report."""

    kind: str = "junit"

    def report(self, comparison: Comparison, stream: TextIO) -> None:
        """Write one suite with a case for each file and each bound."""
        name = f"reference.{text(comparison.name)}"
        cases = [_file(each, name) for each in comparison.files]
        cases += [_measure(each, name) for each in comparison.performance if each.bound]
        write_suite(stream, name, cases, hostname=text(comparison.new.host))


def reporter(path: Path | None) -> Reporter[Comparison]:  # noqa: ARG001  (alike for each kind)
    """Return the reporter of this kind."""
    return JunitReporter()


def _file(file: FileComparison, suite: str) -> TestCase:
    from junit_xml import TestCase  # noqa: PLC0415

    case = TestCase(text(file.path), classname=f"{suite}.files")
    told = "\n".join(_told(file))
    if file.verdict in FAILING:
        case.add_failure_info(f"{file.verdict.value}: {text(file.path)}", told, file.verdict.value)
    elif file.verdict in {Verdict.EXPECTED, Verdict.NOT_COMPARABLE}:
        reason = f"{file.verdict.value}: {text(file.reason)}"
        case.add_skipped_info(reason, reason)
    elif told:
        case.stdout = told
    return case


def _told(file: FileComparison) -> Iterator[str]:
    if file.renamed_from:
        yield f"was {text(file.renamed_from)}"
    if file.reason:
        yield text(file.reason)
    yield from (text(f"{each.part}: {each.what}") for each in file.schema)
    for each in file.keywords:
        yield text(f"{each.part} {each.keyword}: {each.reference} became {each.new}")
    for row in file.rows:
        yield text(
            f"{row.part}: {row.only_reference} rows gone, {row.only_new} came; "
            f"{row.reference} before, {row.new} now"
        )
    yield from (_column(each) for each in file.columns)


def _column(column: ColumnDifference) -> str:
    beyond = "" if column.excess is None else f", {column.excess:.3g} times the tolerance"
    return text(
        f"{column.part} {column.column}: {column.verdict.value}: {column.beyond:,} of "
        f"{column.compared:,} values beyond, max {number(column.max)}{beyond}"
    )


def _measure(measure: Measure, suite: str) -> TestCase:
    from junit_xml import TestCase  # noqa: PLC0415

    case = TestCase(text(measure.name), classname=f"{suite}.performance")
    figures = [amount(each, measure.unit) for each in (measure.reference, measure.new)]
    told = f"{figures[0]} before, {figures[1]} now; allowed: {measure.bound}"
    if measure.verdict in FAILING:
        case.add_failure_info(f"{text(measure.name)} is beyond its bound", told)
    elif measure.verdict is Verdict.NOT_COMPARABLE:
        case.add_skipped_info("not comparable: another system", told)
    else:
        case.stdout = told
    return case
