"""The table of a run in Jupyter while it goes on: what it shows, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nbpipe.model import Outcome, Plan, Progress, Result, Task
from nbpipe.reports import live_table
from nbpipe.reports.html_table import FileBrowser
from nbpipe.reports.live_table import LiveTable, file_browser


@dataclass
class Shown:
    """An output that keeps what it is given."""

    pages: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    def show(self, page: str) -> None:
        self.pages.append(page)

    def again(self, page: str) -> None:
        self.copies.append(page)


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def task(path: str) -> Task:
    return Task(path=path, file=Path("/c") / path, why="", kernel="python3")


A, B, C = (task(f"{name}.ipynb") for name in "abc")
PLAN = Plan(root=Path("/c"), tasks=(A, B, C), excluded=())
PASSED = Result(task=B, outcome=Outcome.PASSED, kernel="python3")


def table(shown: Shown | None, clock: Clock, plan: Plan = PLAN) -> LiveTable:
    return LiveTable(plan, lambda state: state, shown, clock=clock, redraw=0)


def test_the_whole_plan_is_there_before_anything_runs() -> None:
    shown = Shown()
    table(shown, Clock()).draw()
    (page,) = shown.pages
    assert page.count(">PLANNED<") == 3
    assert "0 of 3 notebooks done" in page


def test_it_shows_what_runs_for_how_long_and_what_became_of_the_rest() -> None:
    shown, clock = Shown(), Clock()
    live = table(shown, clock)
    live.started(Progress(task=A, cell=0, cells=0))
    live.started(Progress(task=B, cell=0, cells=0))
    live.moved(Progress(task=A, cell=3, cells=9))
    live.finished(PASSED)
    clock.now += 65
    live.tick()
    page = shown.pages[-1]
    assert [page.count(f">{word}<") for word in ("RUNNING", "PASSED", "PLANNED")] == [1, 1, 1]
    assert ">3/9<" in page
    assert page.count(">1 min 05 s<") == 1  # of a.ipynb; the run's own is in the line above
    assert live.results == (PASSED,)


def drawings(plan: Plan, seconds: int) -> list[str]:
    """Return what is sent in so many seconds of a run of which everything runs at once."""
    shown, clock = Shown(), Clock()
    live = table(shown, clock, plan)
    for each in plan.tasks:
        live.started(Progress(task=each, cell=0, cells=0))
    for _ in range(2 * seconds):
        clock.now += 0.5
        live.tick()
    return shown.pages


def test_a_large_table_is_drawn_less_often_than_a_small_one() -> None:
    many = Plan(root=Path("/c"), tasks=tuple(task(f"{n}.ipynb") for n in range(2_000)), excluded=())
    assert len(drawings(PLAN, 20)) == 20
    large = drawings(many, 20)
    assert 2 <= len(large) < 10
    assert sum(map(len, large[1:])) <= live_table.RATE * 20


def test_a_long_run_is_drawn_less_often_than_a_short_one() -> None:
    assert 1_500 < len(drawings(PLAN, 3_600)) < 2_000


def test_after_its_end_it_stays_as_it_is() -> None:
    shown, clock = Shown(), Clock()
    live = table(shown, clock)
    with live:
        live.draw()
    live.draw(is_over=True)
    clock.now += 60
    live.tick()
    assert len(shown.pages) == 2
    assert "as of" in shown.pages[0]
    assert "as of" not in shown.pages[1]


def test_without_an_output_it_only_keeps_the_results() -> None:
    live = table(None, Clock())
    live.finished(PASSED)
    live.draw()
    assert not live.again()
    assert live.results == (PASSED,)


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory; `latest` beside it is a link to it."""
    folder = tmp_path.resolve() / "release"
    folder.mkdir()
    (folder.parent / "latest").symlink_to("release")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder.parent / "runtime"))
    return folder


def test_the_notebooks_folder_is_as_jupyter_names_it(release: Path) -> None:
    latest = release.parent / "latest"
    found = file_browser({"JPY_SESSION_NAME": str(latest / "a.ipynb")})
    assert found == FileBrowser(folder=latest, cwd=release, root=latest)


@pytest.mark.parametrize("session", [None, "a.ipynb", "/nowhere/a.ipynb"])
def test_without_its_name_it_is_the_working_directory(release: Path, session: str | None) -> None:
    environ = {} if session is None else {"JPY_SESSION_NAME": session}
    assert file_browser(environ) == FileBrowser(folder=release, cwd=release, root=release)


@pytest.mark.parametrize(
    ("text", "is_known"),
    [
        ('{"root_dir": "HOME"}', True),
        ('{"root_dir": "/elsewhere"}', False),
        *(("", False), ("[]", False), ('{"root_dir": 1}', False)),
    ],
)
def test_the_root_is_what_the_server_says(release: Path, text: str, *, is_known: bool) -> None:
    home = release.parent
    (home / "runtime").mkdir()
    (home / "runtime/jpserver-17.json").write_text(text.replace("HOME", str(home)))
    session = {"JPY_SESSION_NAME": str(release / "a.ipynb"), "JPY_PARENT_PID": "17"}
    assert file_browser(session).root == (home if is_known else release)
    assert file_browser(session | {"JPY_PARENT_PID": "18"}).root == release
