from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import junitparser
import pytest

from nbpipe.model import Category, Excluded, Failure, Outcome, Result, Run, Task
from nbpipe.reports.junit import JunitReporter

FAILURE = Failure(
    category=Category.MISSING_FILE,
    name="FileNotFoundError",
    message="No such file: 'x.csv'\nmore",
    traceback="Cell In[2], line 1\n----> 1 open('x.csv')",
    cell=3,
    source="open('x.csv')",
)


def result(path: str, outcome: Outcome = Outcome.PASSED, *failures: Failure) -> Result:
    return Result(
        task=Task(path=path, file=Path("/c/x"), why="", kernel="python3"),
        outcome=outcome,
        kernel="python3",
        seconds=1.23456,
        attempts=1,
        failures=failures,
    )


def report(*results: Result) -> str:
    run = Run(
        id="r1",
        started=datetime(2026, 1, 31, 12, tzinfo=UTC),
        seconds=12.30001,
        root=Path("/c"),
        output_dir=Path("/out"),
        commit="abc",
        host="h",
        version="1",
        python="3.11.7",
        jobs=2,
        results=results,
        excluded=(Excluded(path="T.ipynb", reason="r"),),
    )
    stream = io.StringIO()
    JunitReporter().report(run, stream)
    return stream.getvalue()


def case(*results: Result) -> ET.Element:
    found = ET.fromstring(report(*results)).find(".//testcase")  # noqa: S314  (our own)
    assert found is not None
    return found


def child(element: ET.Element, name: str) -> ET.Element:
    found = element.find(name)
    assert found is not None
    return found


def test_the_whole_report() -> None:
    skipped = replace(result("s.ipynb", Outcome.SKIPPED), reason="no R", seconds=0.0)
    assert report(result("01.a/b c.ipynb"), skipped) == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<testsuites name="nbpipe" tests="2" failures="0" errors="0" time="12.300">\n'
        '  <testsuite errors="0" failures="0" name="nbpipe" skipped="1" tests="2" time="12.300"'
        ' hostname="h" timestamp="2026-01-31T12:00:00">\n'
        "    <properties>\n"
        '      <property name="run" value="r1" />\n'
        '      <property name="commit" value="abc" />\n'
        '      <property name="nbpipe" value="1" />\n'
        '      <property name="python" value="3.11.7" />\n'
        '      <property name="jobs" value="2" />\n'
        "    </properties>\n"
        '    <testcase name="b c.ipynb" classname="notebooks.01_a" file="01.a/b c.ipynb"'
        ' time="1.235" />\n'
        '    <testcase name="s.ipynb" classname="notebooks" file="s.ipynb" time="0.000">\n'
        '      <skipped type="skipped" message="no R">no R</skipped>\n'
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_a_failure_has_its_category_its_cell_and_its_traceback() -> None:
    failed = replace(result("a.ipynb", Outcome.FAILED, FAILURE), log="logs/a.log")
    failure = child(case(failed), "failure")
    assert failure.attrib == {
        "type": "missing-file",
        "message": "FileNotFoundError: No such file: 'x.csv'",
    }
    assert failure.text == (
        "missing-file in cells[3]: FileNotFoundError: No such file: 'x.csv'\n\n"
        "open('x.csv')\n\n"
        "Cell In[2], line 1\n----> 1 open('x.csv')\n\n"
        "log: logs/a.log"
    )


@pytest.mark.parametrize("category", [Category.KERNEL_MISSING, Category.INVALID_NOTEBOOK])
def test_a_notebook_that_could_not_be_tried_is_an_error(category: Category) -> None:
    failure = Failure(category=category, name="", message="no kernel 'ir'")
    found = case(result("a.ipynb", Outcome.FAILED, failure))
    assert [each.tag for each in found] == ["error"]
    assert found[0].attrib == {"type": category.value, "message": "no kernel 'ir'"}


def test_a_failure_without_any_word_still_counts() -> None:
    empty = Failure(category=Category.TIMEOUT, name="", message="")
    assert [each.tag for each in case(result("a.ipynb", Outcome.FAILED, empty))] == ["failure"]
    assert [each.tag for each in case(result("a.ipynb", Outcome.FAILED))] == ["error"]


def test_several_errors_are_one_element_as_ci_reads_only_one() -> None:
    second = replace(FAILURE, cell=7, name="ValueError", message="bad")
    found = case(result("a.ipynb", Outcome.FAILED, FAILURE, second))
    assert [each.tag for each in found] == ["failure"]
    assert "missing-file in cells[7]: ValueError: bad" in (found[0].text or "")


def test_a_flaky_notebook_passed_and_tells_its_failing_attempt() -> None:
    flaky = replace(result("a.ipynb", Outcome.FLAKY, FAILURE), attempts=2)
    found = case(flaky)
    assert [each.tag for each in found] == ["system-out"]
    assert (found[0].text or "").startswith(
        "passed at attempt 2, after:\nmissing-file in cells[3]: FileNotFoundError: No such file"
    )


def test_a_skip_without_a_reason_is_still_a_skip() -> None:
    found = case(result("a.ipynb", Outcome.SKIPPED))
    assert child(found, "skipped").attrib["message"] == "no reason was recorded"


def test_names_that_would_be_the_same_for_gitlab_are_told_apart() -> None:
    text = report(result("a.b/n.ipynb"), result("a_b/n.ipynb"))
    names = [
        (each.attrib["classname"], each.attrib["name"])
        for each in ET.fromstring(text).iter("testcase")  # noqa: S314  (our own)
    ]
    assert names == [("notebooks.a_b", "n.ipynb"), ("notebooks.a_b", "a_b/n.ipynb")]


HOSTILE = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 \x1b \x9b ]]> <&\"'> 😀 [bold] %0A \udcff \ufffe"
)


def test_hostile_text_is_valid_xml_and_reads_as_what_it_is() -> None:
    failure = replace(FAILURE, name=HOSTILE, message=HOSTILE, source=HOSTILE, traceback=HOSTILE)
    path = f"d/{HOSTILE}\n.ipynb"
    text = report(result(path, Outcome.FAILED, failure))
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", text)
    found = ET.fromstring(text).find(".//failure")  # noqa: S314  (our own)
    assert found is not None
    shown = "red  \\x00 \\x1b \\x9b ]]> <&\"'> 😀 [bold] %0A \\udcff \\ufffe"
    assert found.attrib["message"] == f"{shown}: {shown}"


def test_a_traceback_of_a_megabyte_is_cut_in_its_middle() -> None:
    failure = replace(FAILURE, traceback="start" + "x" * 1_000_000 + "end", source="")
    text = child(case(result("a.ipynb", Outcome.FAILED, failure)), "failure").text or ""
    assert len(text) < 101_000
    assert " [... 900,008 characters left out ...] " in text
    assert text.endswith("end")


def test_another_reader_counts_the_same() -> None:
    suites = junitparser.JUnitXml.fromstring(
        report(
            result("a.ipynb"),
            result("b.ipynb", Outcome.FAILED, FAILURE),
            result("c.ipynb", Outcome.FAILED, replace(FAILURE, category=Category.KERNEL_MISSING)),
            result("d.ipynb", Outcome.FLAKY, FAILURE),
            replace(result("e.ipynb", Outcome.SKIPPED), reason="no R"),
        ).encode()
    )
    written = next(iter(suites))
    passed = [each.name for each in written if each.is_passed]
    assert passed == ["a.ipynb", "d.ipynb"]
    counted = junitparser.TestSuite("counted")
    counted.add_testcases(list(written))
    counted.update_statistics()  # type: ignore[no-untyped-call]
    for suite in (written, counted):
        assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 1, 1, 1)


def test_thirty_failures_of_three_causes_stay_valid_whatever_they_say() -> None:
    causes = (HOSTILE, "50%,\r\nb: c|d\x1b[0m 😀" * 10, "m" * 1_000_000)
    results = [
        result(f"{number}.ipynb", Outcome.FAILED, replace(FAILURE, message=causes[number % 3]))
        for number in range(30)
    ]
    (suite,) = junitparser.JUnitXml.fromstring(report(*results).encode())
    assert (suite.tests, suite.failures, suite.errors) == (30, 30, 0)
    assert [each.name for each in suite] == [f"{number}.ipynb" for number in range(30)]


KNOWN = {
    # Jenkins' junit-10.xsd; `error` stands there misspelt, as `errors`
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {
        *("name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp"),
        *("hostname", "id", "package", "file", "log", "url", "version"),
    },
    "testcase": {"name", "time", "classname", "group", "file"},  # `file`: GitHub's and GitLab's
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
    "properties": set[str](),
    "property": {"name", "value"},
    "system-out": set[str](),
}
NEEDED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name"}}


def test_elements_and_attributes_are_those_that_jenkins_knows() -> None:
    flaky = result("d.ipynb", Outcome.FLAKY, FAILURE)
    missing = replace(FAILURE, category=Category.KERNEL_MISSING)
    text = report(
        result("a.ipynb", Outcome.FAILED, FAILURE),
        result("b.ipynb", Outcome.FAILED, missing),
        flaky,
        result("c.ipynb", Outcome.SKIPPED),
    )
    elements = list(ET.fromstring(text).iter())  # noqa: S314  (our own)
    assert {each.tag for each in elements} == set(KNOWN)
    for element in elements:
        assert set(element.attrib) <= KNOWN[element.tag]
        assert set(element.attrib) >= NEEDED.get(element.tag, set())
        if "time" in element.attrib:
            assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
