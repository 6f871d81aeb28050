from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nbpipe.model import Category, Excluded, Failure, Outcome, Progress, Result, Task
from nbpipe.reports import html_table
from nbpipe.reports.html_table import FileBrowser, State

EVIL = "<script>alert(1)</script>\x1b[31m\"'&\n"
FAILURE = Failure(
    category=Category.NETWORK,
    name="ConnectionError",
    message="refused",
    signature="ConnectionError to archive.example.org",
    traceback="Cell In[1], line 2\n----> 2 1 < 2",
    cell=3,
    source="x = 1\nget()",
)


def task(path: str) -> Task:
    return Task(path=path, file=Path("/c/x"), why="", kernel="python3")


PASSED = Result(
    task=task("a.ipynb"),
    outcome=Outcome.PASSED,
    kernel="python3",
    seconds=1.2,
    cells_total=3,
    cells_executed=3,
)
FAILED = replace(PASSED, task=task("b.ipynb"), outcome=Outcome.FAILED, failures=(FAILURE,))
SKIPPED = replace(
    PASSED, task=task("s.ipynb"), outcome=Outcome.SKIPPED, reason="no R", cells_executed=0
)


class Reader(HTMLParser):
    """Collects tags, attributes and the text between tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in {"br", "wbr"} else [tag]
        self.tags.append(tag)
        self.names.update(name for name, _ in attrs)
        self.links += [value for name, value in attrs if name == "href" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_matrix_has_a_row_for_each_notebook() -> None:
    state = State(
        results=[PASSED, FAILED, SKIPPED],
        excluded=[Excluded(path="T.ipynb", reason="template")],
        running=[(Progress(task=task("now.ipynb"), cell=2, cells=9, attempt=2), 61.0)],
        planned=[task("later.ipynb")],
        seconds=62.0,
        moment="12:00:01",
    )
    reader = Reader(html_table.table(state))
    assert reader.open == []
    assert "".join(reader.texts[:12]) == (
        "3 of 5 notebooks done · 1 passed, 1 failed, 1 skipped, 1 running, 1 planned"
        " · 1 min 02 s · as of 12:00:01Outcome"
    )
    assert reader.texts[12:] == [
        *("Notebook", "Kernel", "Cells", "Time"),
        *("RUNNING", "now.ipynb", "attempt 2", "python3", "2/9", "1 min 01 s"),
        *("FAILED", "b.ipynb"),
        "ConnectionError to archive.example.org  [network] in cells[3]",
        *("python3", "3/3", "1.2 s"),
        *("PASSED", "a.ipynb", "python3", "3/3", "1.2 s"),
        *("SKIPPED", "s.ipynb", "no R", "python3", "0/3", "1.2 s"),
        *("PLANNED", "later.ipynb", "python3"),
        *("1 notebook excluded", "T.ipynb: template"),
    ]


HOME = Path("/h/me")
BROWSER = FileBrowser(folder=HOME / "nb", cwd=HOME / "nb", root=HOME)


def test_what_jupyter_can_open_is_linked() -> None:
    failed = replace(FAILED, executed="a b/c#.ipynb", log="a b/c#.log")
    reports = (("html", HOME / "results/html"), ("json", HOME / ".state/r.json"))
    state = State(results=[failed], folder=HOME / "results", browser=BROWSER, reports=reports)
    reader = Reader(html_table.table(state))
    assert reader.links == [
        *("../results/a%20b/c%23.ipynb", "../results/a%20b/c%23.log"),
        "../results/html/index.html",
    ]
    assert reader.texts[-6:] == [
        *("Executed copies and logs: ", "/h/me/results"),
        *("HTML report: ", "/h/me/results/html/index.html"),
        *("JSON report: ", "/h/me/.state/r.json"),
    ]


@pytest.mark.parametrize("folder", ["/h/me/.local/state/nbpipe/runs/1", "/scratch/1", "/h/other"])
def test_a_folder_that_jupyter_does_not_show_is_not_linked_and_the_page_says_so(
    folder: str,
) -> None:
    failed = replace(FAILED, executed="c.ipynb", log="c.log")
    state = State(results=[failed], folder=Path(folder), browser=BROWSER)
    reader = Reader(html_table.table(state))
    assert reader.links == []
    assert "Files" not in reader.texts
    assert f"{folder} (not in Jupyter's file browser;" in "".join(reader.texts)


def test_links_hold_where_the_notebook_is_reached_through_a_symbolic_link() -> None:
    """`~/latest` leads to a release; `~/scratch` to another file system."""
    reached = FileBrowser(folder=HOME / "latest/sub", cwd=Path("/srv/release/sub"), root=HOME)
    assert reached.link(HOME / "results/a.log") == "../../results/a.log"
    assert reached.link(Path("/srv/release/sub/results/a.log")) == "results/a.log"
    assert reached.link(Path("/srv/release/other/a.log")) is None


def test_of_many_notebooks_those_that_fail_are_shown_and_the_others_counted() -> None:
    passed = [replace(PASSED, task=task(f"{number}.ipynb")) for number in range(1000)]
    failed = [replace(FAILED, task=task(f"f{number}.ipynb")) for number in range(300)]
    planned = [task(f"p{number}.ipynb") for number in range(5000)]
    reader = Reader(html_table.table(State(results=[*passed, *failed], planned=planned)))
    assert reader.texts.count("FAILED") == 300
    assert [text for text in reader.texts if text.startswith("and ")] == [
        *("and 800 more", "and 4,800 more"),
    ]


def test_a_name_breaks_between_its_words() -> None:
    failed = replace(FAILED, task=task("04_HowTos/Photometric-Calibration.ipynb"))
    page = html_table.table(State(results=[failed]))
    assert ">04_<wbr>HowTos/<wbr>Photometric-<wbr>Calibration.ipynb<" in page
    assert '"04_HowTos/Photometric-Calibration.ipynb"' in page


def test_what_never_started_has_no_time() -> None:
    reader = Reader(html_table.table(State(results=[replace(SKIPPED, seconds=0.0)])))
    assert reader.texts[-4:] == ["SKIPPED", "s.ipynb", "no R", "python3"]


def test_how_a_run_ended_comes_first() -> None:
    reader = Reader(html_table.table(State(results=[PASSED], headline="Stopped <b>", seconds=1.2)))
    assert "".join(reader.texts[:5]) == "Stopped <b> · 1 passed · 1.2 sOutcome"


def test_failures_are_grouped_by_cause_with_their_tracebacks() -> None:
    second = replace(FAILED, task=task("c.ipynb"))
    reader = Reader(html_table.failures([PASSED, FAILED, second]))
    assert reader.open == []
    assert reader.texts == [
        "2 notebooks: ConnectionError to archive.example.org  [network]",
        *("b.ipynb cells[3]", "    1 x = 1\n>   2 get()", "Cell In[1], line 2\n----> 2 1 < 2"),
        *("c.ipynb cells[3]", "    1 x = 1\n>   2 get()", "Cell In[1], line 2\n----> 2 1 < 2"),
    ]


def test_a_run_without_failures_says_so() -> None:
    assert Reader(html_table.failures([PASSED])).texts == ["No notebook failed."]


def test_nothing_yet_is_a_table_too() -> None:
    assert Reader(html_table.table(State())).texts[0] == "No notebook has finished."


def test_nothing_from_a_notebook_becomes_markup() -> None:
    failure = replace(FAILURE, name=EVIL, message=EVIL, signature=EVIL, traceback=EVIL, source=EVIL)
    failed = replace(FAILED, task=task(EVIL), kernel=EVIL, failures=(failure,))
    skipped = replace(SKIPPED, task=task(EVIL), reason=EVIL)
    page = html_table.table(
        State(
            results=[failed, skipped],
            excluded=[Excluded(path=EVIL, reason=EVIL)],
            running=[(Progress(task=task(EVIL), cell=1, cells=2), 1.0)],
            planned=[replace(task(EVIL), because=EVIL)],
            headline=EVIL,
            folder=Path("/h") / EVIL,
            browser=FileBrowser(folder=Path("/h"), cwd=Path("/h"), root=Path("/h")),
            reports=[(EVIL, Path("/h/e") / EVIL)],
        )
    )
    page += html_table.failures([failed])
    reader = Reader(page)
    assert "script" not in reader.tags
    assert reader.names <= {"style", "class", "scope", "colspan", "href", "title"}
    assert all(link.startswith("%3Cscript%3E") or "/%3C" in link for link in reader.links)
    assert "\x1b" not in page


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = html_table.table(State(results=[PASSED, FAILED])) + html_table.failures([FAILED])
    assert not {"script", "link", "img", "iframe", "style"} & set(Reader(page).tags)
    assert "url(" not in page


def test_a_traceback_of_a_megabyte_does_not_fill_the_notebook() -> None:
    failure = replace(FAILURE, traceback="x" * 1_000_000)
    assert len(html_table.failures([replace(FAILED, failures=(failure,))])) < 25_000


def test_what_a_run_noted_stands_in_the_matrix() -> None:
    note = "cells[1] is tagged raises-exception and did not raise"
    assert note in Reader(html_table.table(State(results=[replace(PASSED, notes=(note,))]))).texts
