from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

from nbformat import v4

from nbpipe.model import Attempt, Outcome, Result, Task
from nbpipe.reports import charts
from nbpipe.reports.html import rendering

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def ran(path: str, begun: float, seconds: float) -> Result:
    return Result(
        task=Task(path=path, file=Path("/c/x"), why="", kernel="python3"),
        outcome=Outcome.PASSED,
        kernel="python3",
        started=START + timedelta(seconds=begun),
        seconds=seconds,
    )


def bars(svg: str) -> list[tuple[str, str, str]]:
    found = ET.fromstring(svg).iter("rect")  # noqa: S314  (our own)
    return [(each.get("x", ""), each.get("y", ""), each.get("width", "")) for each in found]


def test_what_ran_at_once_stands_in_lanes_of_its_own() -> None:
    results = (ran("a", 0, 10), ran("b", 0, 4), ran("c", 5, 5))
    assert bars(charts.timeline(results)) == [
        ("0.0", "1", "899.0"),
        ("0.0", "19", "359.0"),
        ("450.0", "19", "449.0"),
    ]


def test_each_attempt_stands_where_it_ran() -> None:
    first = Attempt(number=1, outcome=Outcome.FAILED, started=START, seconds=4)
    later = START + timedelta(seconds=8)
    second = Attempt(number=2, outcome=Outcome.PASSED, started=later, seconds=2)
    retried = replace(ran("a", 0, 6), outcome=Outcome.FLAKY, attempts=2, tries=(first, second))
    svg = charts.timeline((retried, ran("b", 4, 4)))
    assert bars(svg) == [("0.0", "1", "359.0"), ("360.0", "1", "359.0"), ("720.0", "1", "179.0")]
    assert "a: failed, 4.0 s, attempt 1 of 2" in svg
    assert "a: passed, 2.0 s, attempt 2 of 2" in svg


def test_of_attempts_that_nobody_recorded_nothing_is_drawn() -> None:
    early = replace(ran("a", 0, 6), outcome=Outcome.FLAKY, attempts=2)
    assert charts.timeline((early,)) == ""


def test_the_slowest_come_first_and_what_never_ran_not_at_all() -> None:
    skipped = replace(ran("s", 0, 0), started=None)
    svg = charts.longest((ran("fast <b>", 0, 1), ran("slow", 0, 4), skipped))
    assert [width for _, _, width in bars(svg)] == ["480.0", "120.0"]
    assert "fast &lt;b&gt;" in svg


def test_nothing_that_ran_gives_no_chart() -> None:
    assert charts.longest(()) == charts.timeline(()) == ""


def test_long_outputs_are_shortened_and_say_so() -> None:
    cell = v4.new_code_cell("x")
    cell.outputs = [
        v4.new_output("stream", text="x" * 1_000_000),
        v4.new_output("display_data", data={"image/png": "A" * 5_000_000, "text/plain": "fig"}),
    ]
    notebook = v4.new_notebook(cells=[cell])
    rendering._shorten(notebook)
    assert len(cell.outputs[0].text) < 101_000
    assert "[... 900,000 characters: see the executed copy ...]" in cell.outputs[0].text
    assert cell.outputs[1].data == {
        "text/plain": "fig\n[image/png of 5,000,000 characters: see the executed copy]"
    }
