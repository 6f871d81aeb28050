"""What the HTML report shows of a notebook, and how it is put into the page."""

from __future__ import annotations

import base64
import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pasts import FAILURE, result

from nbpipe.errors import UsageError
from nbpipe.model import Attempt, CellTime, Earlier, Outcome, Past, Run
from nbpipe.reports.html import HtmlReporter, details, figures
from nbpipe.reports.html.report import STATIC_ROWS, soft, strip

if TYPE_CHECKING:
    from nbpipe.model import Result

SHOWN = details.Shown(rerun=lambda each: f"nbpipe test {each.path}", pages={}, figures={})
PAST = Past(
    outcome=Outcome.PASSED, run="r2", commit=None, runs=3, row=1, flakiness=0.5, seconds=2.0,
    earlier=(
        Earlier(run="r2", outcome=Outcome.PASSED, seconds=2.0),
        Earlier(run="r1", outcome=Outcome.FAILED, seconds=1.0),
    ),
)  # fmt: skip
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def times(*seconds: float) -> tuple[CellTime, ...]:
    return tuple(
        CellTime(cell=number, number=number + 1, seconds=each)
        for number, each in enumerate(seconds)
    )


def run(*results: Result) -> Run:
    return Run(
        id="r3",
        started=datetime(2026, 1, 31, 12, tzinfo=UTC),
        seconds=9.0,
        root=Path("/c"),
        output_dir=Path("/out"),
        commit=None,
        host="h",
        version="1",
        python="3.11",
        jobs=1,
        results=results,
        excluded=(),
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a/b_c-d.ipynb", "a/<wbr>b_<wbr>c-<wbr>d.ipynb"),
        ("a__b--c", "a__<wbr>b--<wbr>c"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("x\ny", "x\\ny"),
    ],
)
def test_a_name_goes_on_in_another_line_after_its_signs_only(name: str, told: str) -> None:
    assert soft(name) == told


def test_earlier_results_are_a_picture_with_words() -> None:
    told = str(strip(result("a.ipynb", "passed", past=PAST)))
    assert 'aria-label="before: 1 time passed, 1 time failed"' in told
    assert '<path class="failed" d="M0 0h6V16H0z"/>' in told
    assert '<path class="passed" d="M8 8h6V16H8z"/>' in told
    assert str(strip(result("a.ipynb", "passed"))) == ""


def test_a_failing_cell_has_its_index_and_its_prompt() -> None:
    assert details.place(times(1, 1, 1, 1), FAILURE) == "cells[3], In [4]"
    assert details.place((), FAILURE) == "cells[3]"
    assert details.place((), replace(FAILURE, cell=None)) == "outside of its cells"


def test_of_many_cells_the_slowest_are_shown_in_their_order() -> None:
    many = times(*(float(each) for each in range(details.CELLS + 2)))
    assert [each[0] for each in details.cells(many)] == list(range(2, details.CELLS + 2))


def test_packages_with_another_version_than_at_the_last_pass_are_named() -> None:
    past = replace(PAST, passed="r1", packages={"numpy": "2.4", "scipy": "1.1", "zarr": "3"})
    now = {"numpy": "2.5", "scipy": "1.1", "new": "1"}
    failed = result("a.ipynb", "failed", past=past, packages=now)
    assert details.changed(failed) == [["numpy", "2.4", "2.5"]]
    assert details.of(failed, SHOWN)["passed"] == "r1"


def test_the_data_end_no_element_and_share_what_is_the_same() -> None:
    evil = "</script><script>alert(1)</script>\x1b[31m"
    failure = replace(FAILURE, message=evil, traceback=evil, source=evil)
    packages = {"numpy": "2.5"}
    one = result("a.ipynb", "failed", failures=(failure,), packages=packages, past=PAST)
    other = result("b.ipynb", "passed", packages=packages, past=PAST)
    text = details.script([one, other], SHOWN)
    assert "<" not in text
    data: dict[str, Any] = json.loads(text)
    assert data["environments"] == [[["numpy", "2.5"]]]
    assert data["runs"] == ["r2", "r1"]
    first, second = data["results"]
    assert first["failures"][0]["traceback"] == "</script><script>alert(1)</script>"
    assert (first["packages"], second["packages"]) == (0, 0)
    assert second["earlier"] == [[0, "passed", 2.0], [1, "failed", 1.0]]
    assert "failures" not in second


def test_all_tracebacks_together_stay_within_a_limit() -> None:
    few = [result("a.ipynb", "failed")]
    assert details.traceback_limit(few) == details.TRACEBACK_LIMIT
    assert details.traceback_limit(few * 4_000) == 2_000
    assert details.traceback_limit(few * 100_000) == details.SHORT_TRACEBACK


def test_of_a_large_run_the_browser_reads_few_rows_and_without_script_all(tmp_path: Path) -> None:
    results = [result(f"{each}.ipynb", "passed") for each in range(STATIC_ROWS + 5)]
    HtmlReporter().write(run(*results), tmp_path / "r")
    page = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    read, later = page.split('<noscript id="others">')
    assert read.count("<tr data-outcome") == STATIC_ROWS
    assert later.split("</noscript>")[0].count("<tr data-outcome") == 5


def copy(folder: Path, *outputs: dict[str, Any]) -> Path:
    file = folder / "a.ipynb"
    cells = [{"cell_type": "markdown", "source": ""}, {"outputs": [{"text": "x"}, *outputs]}]
    file.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return file


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_the_first_picture_is_scaled_down(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    large = io.BytesIO()
    image.new("RGB", (2000, 1000), "red").save(large, "PNG")
    pictures = ({"data": {"image/png": encoded(large.getvalue())}}, {"data": {"image/png": "x"}})
    assert figures.write(copy(tmp_path, *pictures), tmp_path / "figure") == "figure.png"
    with image.open(tmp_path / "figure.png") as small:
        assert small.size == (480, 240)


def test_a_broken_picture_is_passed_over_for_the_next(tmp_path: Path) -> None:
    svg = ["<svg xmlns='http://www.w3.org/2000/svg'>", "</svg>"]
    broken = {"data": {"image/jpeg": "%%%"}}
    made = figures.write(copy(tmp_path, broken, {"data": {"image/svg+xml": svg}}), tmp_path / "f")
    assert made == "f.svg"
    assert (tmp_path / made).read_text(encoding="utf-8") == "".join(svg)
    assert figures.write(copy(tmp_path), tmp_path / "none") is None
    (tmp_path / "a.ipynb").write_text("{", encoding="utf-8")
    assert figures.write(tmp_path / "a.ipynb", tmp_path / "none") is None


def test_a_picture_is_shown_as_it_is_without_what_scales_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    made = figures.write(copy(tmp_path, {"data": {"image/png": encoded(PNG)}}), tmp_path / "f")
    assert made == "f.png"
    assert (tmp_path / "f.png").read_bytes() == PNG


def test_a_report_in_one_file_replaces_a_report_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "one.html"
    reporter = HtmlReporter()
    reporter.write(run(result("a.ipynb", "passed")), file)
    reporter.write(run(result("b.ipynb", "passed")), file)
    assert "b.ipynb" in file.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["one.html"]
    file.write_text("precious", encoding="utf-8")
    with pytest.raises(UsageError, match="would replace what is there"):
        reporter.check(file)
    assert (reporter.index(file), reporter.index(tmp_path)) == (file, tmp_path / "index.html")


def test_each_attempt_has_its_failures_and_its_page() -> None:
    second = replace(FAILURE, message="another")
    tries = (
        Attempt(number=1, outcome=Outcome.FAILED, failures=(FAILURE,), executed="a.ipynb"),
        Attempt(number=2, outcome=Outcome.FAILED, failures=(second,), executed="a.2.ipynb"),
    )
    failed = result("a.ipynb", "failed", failures=(second,), tries=tries, executed="a.2.ipynb")
    told = details.of(failed, replace(SHOWN, pages={"a.ipynb": "1.html", "a.2.ipynb": "2.html"}))
    assert [(each["page"], each["chosen"]) for each in told["attempts"]] == [
        ("1.html", False),
        ("2.html", True),
    ]
    assert [each["failures"][0]["error"] for each in told["attempts"]] == [
        "ModuleNotFoundError: No module named 'x'",
        "ModuleNotFoundError: another",
    ]
    assert (told["failures"], told["page"]) == ([], "2.html")
