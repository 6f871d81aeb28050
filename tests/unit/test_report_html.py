from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from nbpipe.model import Category, Excluded, Failure, Outcome, Progress, Result, Task
from nbpipe.reports import html_table

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
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.names.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_matrix_has_a_row_for_each_notebook() -> None:
    page = html_table.table(
        [PASSED, FAILED, SKIPPED],
        [Excluded(path="T.ipynb", reason="template")],
        running=[Progress(task=task("now.ipynb"), cell=2, cells=9)],
    )
    reader = Reader(page)
    assert reader.open == []
    assert reader.texts == [
        *("1 passed", ", ", "1 failed", ", ", "1 skipped"),
        *("Outcome", "Notebook", "Kernel", "Cells", "Time", "Why"),
        *("PASSED", "a.ipynb", "python3", "3/3", "1.2 s"),
        *("FAILED", "b.ipynb", "python3", "3/3", "1.2 s"),
        "ConnectionError to archive.example.org  [network]",
        *("SKIPPED", "s.ipynb", "python3", "0/3", "1.2 s", "no R"),
        *("RUNNING", "now.ipynb", "python3", "2/9"),
        *("1 notebook excluded", "T.ipynb: template"),
    ]


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
    assert Reader(html_table.table([])).texts[0] == "No notebook has finished."


def test_nothing_from_a_notebook_becomes_markup() -> None:
    failure = replace(FAILURE, name=EVIL, message=EVIL, signature=EVIL, traceback=EVIL, source=EVIL)
    failed = replace(FAILED, task=task(EVIL), kernel=EVIL, failures=(failure,))
    skipped = replace(SKIPPED, task=task(EVIL), reason=EVIL)
    page = html_table.table([failed, skipped], [Excluded(path=EVIL, reason=EVIL)])
    page += html_table.failures([failed])
    reader = Reader(page)
    assert "script" not in reader.tags
    assert reader.names <= {"style", "class", "scope"}
    assert "\x1b" not in page


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = html_table.table([PASSED, FAILED]) + html_table.failures([FAILED])
    assert not {"script", "link", "img", "iframe", "style"} & set(Reader(page).tags)
    assert "url(" not in page


def test_a_traceback_of_a_megabyte_does_not_fill_the_notebook() -> None:
    failure = replace(FAILURE, traceback="x" * 1_000_000)
    assert len(html_table.failures([replace(FAILED, failures=(failure,))])) < 25_000


def test_what_a_run_noted_stands_in_the_matrix() -> None:
    note = "cells[1] is tagged raises-exception and did not raise"
    assert note in Reader(html_table.table([replace(PASSED, notes=(note,))])).texts
