"""The JUnit report: a run for the test pages of GitHub, GitLab and Jenkins.

One suite for the run, one case for each notebook. None of the three shows a suite's name: they
group by `classname`, so folders become classes and more suites would add nothing. Jenkins splits
a class's name at its last dot and files what has no dot under "(root)": hence `notebooks.` before
the folder. GitLab drops a case whose class and name came before, so names are made unique.
`file` is what GitHub's annotations and GitLab's links need; Jenkins passes over it.

A `failure` is what a notebook did; an `error` is a notebook that could not be tried (no kernel,
an unreadable file). A flaky notebook passed: its failing attempt is in `system-out`
(Surefire's `flakyFailure` is known to nobody else), as is a line for each attempt of one that was
tried more than once. One element holds all the errors of a case,
as GitLab and Jenkins read only one. Excluded notebooks are no tests.

The document is written here for a comparison as well, which says only what its cases are.

Sources: GitLab's "Unit test reports", Jenkins' junit-10.xsd (times have at most three decimals).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, TextIO

from nbpipe.model import Category, Outcome
from nbpipe.reports.groups import NO_REASON
from nbpipe.system.text import cut, first_line, plain, plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from junit_xml import TestCase

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.reporter import Reporter

ERRORS = frozenset({Category.KERNEL_MISSING, Category.INVALID_NOTEBOOK})
"""Categories where the notebook itself was never tried."""

TEXT_LIMIT = 100_000
"""Characters of one traceback; GitLab refuses a report of more than 30 MB."""


@dataclass(frozen=True, slots=True)
class JunitReporter:
    """Writes the JUnit report."""

    kind: str = "junit"

    def report(self, run: Run, stream: TextIO) -> None:
        """Write one suite with a case for each notebook."""
        seen: set[tuple[str, str]] = set()
        properties = {"run": run.id, "commit": run.commit or "", "nbpipe": run.version}
        write_suite(
            stream,
            "nbpipe",
            [_case(result, seen) for result in run.results],
            seconds=run.seconds,
            hostname=plain_name(run.host),
            timestamp=run.started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            properties={**properties, "python": run.python, "jobs": str(run.jobs)},
        )


def reporter(console: ConsoleReporter) -> Reporter[Run]:  # noqa: ARG001  (alike for each kind)
    """Return the reporter of this kind."""
    return JunitReporter()


def write_suite(
    stream: TextIO,
    name: str,
    cases: Sequence[TestCase],
    *,
    seconds: float | None = None,
    **details: str | dict[str, str],
) -> None:
    """Write a document of one suite, as all three readers take it.

    Args:
        stream: Where to.
        name: The suite's.
        cases: Its cases, of harmless text; a time that is known shows, also one of 0.
        seconds: What all took; None: the sum of the cases.
        details: What else `junit_xml.TestSuite` takes.
    """
    from xml.etree import ElementTree as ET  # noqa: PLC0415  (only where one is wanted)

    from junit_xml import TestSuite  # noqa: PLC0415

    suite: Element = TestSuite(name, cases, **details).build_xml_doc()
    suite.attrib.pop("disabled", None)  # junit-10.xsd does not know it
    if seconds is not None:
        suite.set("time", f"{seconds:.3f}")
    for element, case in zip(suite.iter("testcase"), cases, strict=True):
        if case.elapsed_sec is not None:
            element.attrib.pop("time", None)  # of six decimals; Jenkins takes three at most
            element.set("time", f"{case.elapsed_sec:.3f}")
    suites = ET.Element("testsuites", {"name": "nbpipe"})
    for key in ("tests", "failures", "errors", "time"):
        suites.set(key, suite.get(key, "0"))
    suites.append(suite)
    ET.indent(suites)
    text = ET.tostring(suites, encoding="unicode")
    stream.write(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def _case(result: Result, seen: set[tuple[str, str]]) -> TestCase:
    from junit_xml import TestCase  # noqa: PLC0415

    classname, name = _names(result.path)
    if (classname, name) in seen:
        name = plain_name(result.path)
    seen.add((classname, name))
    file = plain_name(result.path)
    case = TestCase(name, classname=classname, file=file, elapsed_sec=result.seconds)
    if result.outcome is Outcome.SKIPPED:
        reason = first_line(result.reason or "") or NO_REASON
        case.add_skipped_info(reason, reason)  # Jenkins reads the message, GitLab the text
    elif result.outcome is Outcome.FLAKY:
        after = f"{_text(result)}{_tries(result)}"
        case.stdout = f"passed at attempt {result.attempts}, after:\n{after}"
    elif (failure := result.failure) is not None:
        add = case.add_error_info if failure.category in ERRORS else case.add_failure_info
        add(_message(failure), _text(result), failure.category.value)
        if result.retried:
            case.stdout = _tries(result).lstrip()
    elif result.outcome is Outcome.FAILED:
        case.add_error_info(NO_REASON)
    return case


def _names(path: str) -> tuple[str, str]:
    """Return the class, `notebooks.folder.folder`, and the name of a notebook."""
    *folders, name = plain_name(path).split("/")
    classes = [folder.replace(".", "_") for folder in folders if folder]
    return ".".join(["notebooks", *classes]), name


def _message(failure: Failure) -> str:
    message = first_line(failure.message)
    named = ": ".join(part for part in (first_line(failure.name), message) if part)
    return named or failure.category.value


def _text(result: Result) -> str:
    """Return everything that helps to find the cause."""
    parts = [_one(failure) for failure in result.failures]
    if result.executed:
        parts.append(f"executed copy: {plain_name(result.executed)}")
    if result.log:
        parts.append(f"log: {plain_name(result.log)}")
    return "\n\n".join(parts)


def _tries(result: Result) -> str:
    """Return a line for each attempt: its end, its time, and where its copy and log are."""
    lines = [
        f"attempt {each.number}: {each.outcome}"
        + (f" ({_message(each.failure)})" if each.failure else "")
        + f", {duration(each.seconds)}"
        + "".join(f"; {plain_name(file)}" for file in (each.executed, each.log) if file)
        for each in result.retried
    ]
    return "".join(f"\n{line}" for line in lines)


def _one(failure: Failure) -> str:
    where = "" if failure.cell is None else f" in cells[{failure.cell}]"
    parts = [f"{failure.category.value}{where}: {_message(failure)}"]
    if failure.source.strip():
        parts.append(cut(plain(failure.source).strip("\n"), TEXT_LIMIT))
    parts.append(cut(plain(failure.traceback or failure.message).strip("\n"), TEXT_LIMIT))
    return "\n\n".join(parts)
