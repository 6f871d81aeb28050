"""One page of a comparison: every kind tells the same, in order, and nothing gets out of it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING

import pytest
from junitparser import JUnitXml
from manifests import PLAIN
from schemas import meaning

from nbpipe.comparison_reports import KINDS, reporter
from nbpipe.comparison_reports.console import ConsoleReporter
from nbpipe.errors import UsageError
from nbpipe.reference.comparison import Verdict, compare, default_rules, encode, schema
from nbpipe.reference.comparison.document import derived_schema
from nbpipe.reference.comparison.model import (
    ColumnDifference,
    FileComparison,
    KeywordChange,
    RowChange,
    SchemaChange,
    Tolerance,
    Worst,
)
from nbpipe.reports import Reporter, Request, check, parse, write

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.comparison import Comparison

from datetime import date


def render(comparison: Comparison, kind: str, width: int | None = None) -> str:
    stream = io.StringIO()
    console = ConsoleReporter(width=width)
    chosen = console if kind == "console" else reporter(Request(kind, None))
    chosen.report(comparison, stream)
    return stream.getvalue()


def write_page(comparison: Comparison, kind: str, path: Path) -> None:
    write(reporter(Request(kind, path)), comparison, path, stdout=io.StringIO())


EVIL = "</td><script>alert(1)</script>&\x1b[31m`|\n"

COLUMN = ColumnDifference(
    part="ZCAT",
    column=f"Z{EVIL}",
    unit=EVIL,
    verdict=Verdict.DIFFERENT,
    level="data",
    tolerance=Tolerance(absolute=1e-5, relative=1e-6),
    compared=1000,
    differing=900,
    beyond=40,
    beyond_10=30,
    beyond_100=20,
    max=0.003,
    mean=1e-4,
    rms=6e-4,
    excess=298.0,
    worst=(Worst(row=f"ID={EVIL}", reference=EVIL, new=EVIL, difference=0.003),),
    histogram={"-9": 40, "-20": 860},
)
DIFFERENT = FileComparison(
    path=f"zcat{EVIL}.fits",
    verdict=Verdict.DIFFERENT,
    kind="fits",
    level="data",
    bytes_reference=100,
    bytes_new=200,
    schema=(SchemaChange(part=EVIL, what=f"column {EVIL} is gone", breaking=True),),
    keywords=(KeywordChange(part=EVIL, keyword=EVIL, reference=EVIL, new=EVIL),),
    rows=(RowChange(part=EVIL, reference=5, new=4, only_reference=1, examples=(EVIL,)),),
    columns=(COLUMN,),
    compared_columns=3,
    notes=(EVIL,),
)


@pytest.fixture
def comparison() -> Comparison:
    evil = replace(
        PLAIN,
        name=EVIL,
        run="r2",
        release=EVIL,
        system=PLAIN.system,
        parameters={EVIL: EVIL},
        cells=tuple(replace(each, title=EVIL, seconds=99.0) for each in PLAIN.cells),
    )
    found = compare(
        PLAIN, None, evil, None, default_rules(), date(2026, 2, 1), history=(PLAIN, evil)
    )
    gone = FileComparison(path="gone.txt", verdict=Verdict.MISSING, bytes_reference=5_000_000)
    excused = FileComparison(path="a.csv", verdict=Verdict.EXPECTED, reason=EVIL)
    return replace(found, files=(DIFFERENT, gone, excused), verdict=Verdict.DIFFERENT)


def test_the_published_schema_is_the_one_of_the_classes(comparison: Comparison) -> None:
    assert meaning(schema()) == meaning(derived_schema())
    assert json.loads(encode(comparison))["files"][0]["columns"][0]["excess"] == 298.0


@pytest.mark.parametrize("kind", ["console", "markdown", "html", "junit"])
def test_no_control_character_leaves_a_page(kind: str, comparison: Comparison) -> None:
    page = render(comparison, kind)
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", page) == []


def test_html_holds_no_element_of_a_file(comparison: Comparison) -> None:
    page = render(comparison, "html")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 20
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("<svg") == 3


def test_html_tells_the_sections_in_the_order_of_a_release_manager(comparison: Comparison) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", render(comparison, "html")) == [
        "The two runs",
        "Changed since the reference",
        "Files missing, new, renamed",
        "Schema changes",
        "Values, the worst column first",
        "The worst values",
        "Keywords and attributes",
        "Rows",
        "Expected, not comparable, and why",
        "Performance against the reference",
        "Time in the queue, which is not judged",
        "Notebooks and logs",
        "Over the releases",
        "Every file",
        "Notes",
    ]


def test_markdown_keeps_files_in_code_and_tables_whole(comparison: Comparison) -> None:
    page = render(comparison, "markdown")
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", page)
    assert "<script>" not in outside
    widths: set[tuple[int, int]] = set()
    for number, block in enumerate(re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)):
        widths |= {(number, len(re.findall(r"(?<!\\)\|", line))) for line in block.splitlines()}
    assert len(widths) == len({number for number, _ in widths})


def test_junit_has_a_case_for_each_file(comparison: Comparison) -> None:
    page = render(comparison, "junit")
    (suite,) = JUnitXml.fromstring(page.encode())
    assert [(len(case.result), case.is_failure, case.is_skipped) for case in suite] == [
        (1, True, False),
        (1, True, False),
        (1, False, True),
    ]
    assert "298 times the tolerance" in unescape(page)


def test_the_console_page_begins_and_ends_with_the_verdict(comparison: Comparison) -> None:
    lines = render(comparison, "console", width=400).splitlines()
    assert lines[1] == lines[-1] == comparison.summary
    (row,) = (line for line in lines if line.startswith("different") and "298x" in line)
    assert "4 % / 3 % / 2 %" in row
    assert "1e-05 absolute + 1e-06 relative" in row


def test_a_narrow_console_names_a_file_once_and_keeps_a_column_in_a_line(
    comparison: Comparison,
) -> None:
    columns = tuple(
        replace(COLUMN, part="", column=f"COLUMN_{number}", unit=None, worst=())
        for number in range(30)
    )
    files = [
        FileComparison(path=f"a/long/folder/{name}.fits", verdict=Verdict.DIFFERENT, columns=each)
        for name, each in (("a rather long name", columns), ("another", columns[:2]))
    ]
    page = render(replace(comparison, files=tuple(files)), "console", width=80)
    assert "All files are in a/long/folder/\n" in page
    values = page.partition("Values, the worst column first\n")[2].partition("\n\n")[0]
    assert [line.rstrip() for line in values.splitlines()[:3]] == [
        "a rather long name.fits",
        "verdict    column       max  beyond  tolerance",
        "different  COLUMN_0   0.003    298x  1e-05 absolute + 1e-06 relative",
    ]
    assert values.splitlines()[-1] == "and 12 more: --report html=PAGE.html"


def test_markdown_leaves_words_and_numbers_plain(comparison: Comparison) -> None:
    (row,) = re.findall(
        r"^\| ❌ different.*0\.003 \|.*$", render(comparison, "markdown"), re.MULTILINE
    )
    assert " | 0.003 | 0.0001 | 0.0006 | 298x | 4 % / 3 % / 2 % | " in row


def test_colours_only_where_they_are_wanted(comparison: Comparison) -> None:
    for color, colored in (("always", True), ("never", False)):
        stream = io.StringIO()
        ConsoleReporter(color=color).report(comparison, stream)  # type: ignore[arg-type]
        assert ("\x1b[" in stream.getvalue()) is colored


def test_every_kind_that_a_comparison_has_is_one_of_a_run_and_has_its_reporter() -> None:
    assert KINDS == ("console", "junit", "json", "html", "markdown")
    assert [reporter(Request(kind, None)).kind for kind in KINDS] == list(KINDS)
    assert all(isinstance(reporter(Request(kind, None)), Reporter) for kind in KINDS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("github=x", "unknown report `github`\n.*console, junit, json, html, markdown;"),
        ("html", "the path is missing"),
        ("html=", "the path is missing"),
    ],
)
def test_a_report_of_a_comparison_is_asked_for_with_its_path(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"--report {text}: {why}"):
        parse(text, kinds=KINDS, output_dir=None)


def test_html_is_one_file_that_fits_into_a_stream(comparison: Comparison) -> None:
    request, stdout = parse("html=-", kinds=KINDS, output_dir=None), io.StringIO()
    check(request, reporter(request))
    write(reporter(request), comparison, request.path, stdout=stdout)
    assert stdout.getvalue().startswith("<!doctype html>")


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_written_whole(kind: str, comparison: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "deep" / f"page.{kind}"
    write_page(comparison, kind, path)
    assert path.read_text(encoding="utf-8").strip()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_page_never_replaces_a_notebook(comparison: Comparison, tmp_path: Path) -> None:
    notebook = tmp_path / "minitest.ipynb"
    notebook.write_text("{}")
    with pytest.raises(UsageError, match="it is a notebook, which no report replaces"):
        write_page(comparison, "html", notebook)
    assert notebook.read_text() == "{}"


def test_a_page_that_cannot_be_written_is_named(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="report cannot be written: "):
        write_page(comparison, "json", tmp_path / "file/x.json")


def test_links_lead_from_the_page_to_the_notebooks(tmp_path: Path) -> None:
    found = compare(
        PLAIN, tmp_path / "1 0", PLAIN, tmp_path / "1.1", default_rules(), date(2026, 2, 1)
    )
    write_page(found, "html", tmp_path / "pages/c.html")
    page = (tmp_path / "pages/c.html").read_text()
    assert re.findall(r'href="(.*?)"', page) == ["../1%200/minitest.ipynb", "../1.1/minitest.ipynb"]
