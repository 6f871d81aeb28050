"""How long a run takes, as far as earlier ones say: in the list, and while it goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pasts import START, opened, past_run, record, result

from nbpipe.config.settings import HistorySettings
from nbpipe.history import by_duration, expected
from nbpipe.model import Plan, Progress, Task
from nbpipe.reports import listing
from nbpipe.reports.progress import Display, remaining

URL = "sqlite:///history.sqlite"


def task(path: str, seconds: float | None = None) -> Task:
    return Task(path=path, file=Path("/c") / path, why="", kernel="python3", expected=seconds)


def test_the_quick_look_says_what_the_history_says(tmp_path: Path) -> None:
    settings = HistorySettings(url=URL)
    with opened(URL, tmp_path) as history:
        run = past_run("r1")
        record(history, run, result("a.ipynb", "passed", 2.5), result("é.ipynb", "failed", 7.0))
    tasks = (task("a.ipynb"), task("é.ipynb"), task("new.ipynb"))
    start, problem = by_duration(settings, tmp_path, tasks)
    assert problem is None
    known = {each.path: each.expected for each in start if each.expected is not None}
    assert expected(settings, tmp_path) == known == {"a.ipynb": 2.5, "é.ipynb": 7.0}


@pytest.mark.parametrize("url", ["postgresql://h/x", "env:NOWHERE", "sqlite:///gone.sqlite"])
def test_where_there_is_nothing_to_look_at_nothing_is_known(url: str, tmp_path: Path) -> None:
    assert expected(HistorySettings(url=url), tmp_path) == {}


def test_a_file_that_is_no_database_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("no database " * 100, encoding="utf-8")
    assert expected(HistorySettings(url=URL), tmp_path) == {}


@pytest.mark.parametrize(
    ("seconds", "jobs", "whole"),
    [([], 2, 0), ([5, 3, 3], 1, 11), ([5, 3, 3], 2, 6), ([5, 3, 3], 9, 5)],
)
def test_the_longest_start_first(seconds: list[float], jobs: int, whole: float) -> None:
    assert remaining(seconds, jobs) == whole


def test_the_list_says_how_long_each_and_all_will_take() -> None:
    stream = io.StringIO()
    tasks = (task("a.ipynb", 60.0), task("b.ipynb", 30.0), task("c.ipynb"))
    plan = Plan(root=Path("/c"), tasks=tasks, excluded=())
    listing(plan, stream, color="never", environ={}, jobs=2)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "    1  a.ipynb  python3  about 1 min 00 s"
    assert lines[3] == "    3  c.ipynb  python3"
    assert lines[4] == (
        "expected: 1 min 00 s with 2 notebooks in parallel,"
        " 1 notebook not counted: nothing is known of it"
    )


def test_what_runs_and_what_has_ended_count_less() -> None:
    now = 0.0
    known = {"a.ipynb": 10.0, "b.ipynb": 4.0}
    display = Display(2, clock=lambda: now, redraw=0, expected=known, jobs=1)
    assert display.left() == 14
    display.started(Progress(task=task("a.ipynb"), cell=0, cells=0))
    now = 6.0
    assert display.left() == 8
    display.finished(result("a.ipynb", "passed", 6.0, started=START))
    assert display.left() == 4
    now = 1_000.0
    display.started(Progress(task=task("b.ipynb"), cell=0, cells=0))
    now = 2_000.0
    assert display.left() == 0


def test_of_too_few_notebooks_nothing_is_foretold() -> None:
    display = Display(9, redraw=0, expected={"a.ipynb": 10.0})
    assert display.left() is None
