"""`nbpipe.test` inside a notebook, executed by nbclient: the table while it goes on and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient
from ondisk import REPOSITORY, Collection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbformat import NotebookNode

SHIPPED = REPOSITORY / "collections/tests/testnotebooks.ipynb"


class Watched(NotebookClient):
    """Executes a notebook and hands over every page that it shows, when it shows it."""

    def __init__(self, notebook: NotebookNode, folder: Path, shown: Callable[[str], None]) -> None:
        super().__init__(
            notebook,
            timeout=180,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
        )
        self.shown = shown

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        if page := msg["content"].get("data", {}).get("text/html"):
            self.shown(page)
        output: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return output


def pages_in(cell: NotebookNode) -> list[str]:
    return [each.data["text/html"] for each in cell.outputs if "text/html" in each.get("data", {})]


def errors_in(cell: NotebookNode) -> list[str]:
    return [each.ename for each in cell.outputs if each.output_type == "error"]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the history that the kernel writes out of the user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)


@pytest.mark.usefixtures("state")
def test_the_table_is_there_at_once_lives_and_stays_in_the_saved_notebook(
    collection: Collection,
) -> None:
    """Its first notebook ends only when the table has shown that it runs."""
    waits = "import pathlib, time\nwhile not pathlib.Path('seen').exists():\n    time.sleep(0.05)"
    collection.notebook("a.ipynb", waits)
    collection.notebook("b.ipynb", "1/0")
    pages: list[str] = []

    def shown(page: str) -> None:
        pages.append(page)
        if ">RUNNING<" in page:
            (collection.root / "seen").touch()

    options = "jobs=1, notebook_timeout=120, report='html', output_dir='results'"
    sources = [f"import nbpipe\nrun = nbpipe.test({options})\nrun.wait()", "run.failures()", "run"]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources)))
    Watched(notebook, collection.root, shown).execute()
    assert [errors_in(cell) for cell in notebook.cells] == [[], [], []]
    assert pages[0].count(">PLANNED<") == 2
    assert "0 of 2 notebooks done" in pages[0]
    assert any("1 running" in page and "1 planned" in page for page in pages)
    (page,) = pages_in(notebook.cells[0])
    assert [page.count(f">{word}<") for word in ("PASSED", "FAILED", "RUNNING", "PLANNED")] == [
        *(1, 1, 0, 0)
    ]
    for link in ("b.ipynb", "b.log", "html/index.html"):
        assert f'href="results/{link}"' in page
        assert (collection.root / "results" / link).is_file()
    assert "ZeroDivisionError" in pages_in(notebook.cells[1])[0]
    assert pages_in(notebook.cells[2]) == [page]


@pytest.mark.usefixtures("state")
def test_after_an_interrupt_the_shipped_notebook_shows_what_there_is(
    collection: Collection, tmp_path: Path
) -> None:
    """Its kernel is interrupted, as by the stop button, once the first notebook has passed."""
    collection.notebook("a.ipynb", "1")
    collection.notebook(
        "b.ipynb",
        f"import os, pathlib, signal, time\nkernel = pathlib.Path({str(tmp_path / 'kernel')!r})\n"
        "os.kill(int(kernel.read_text()), signal.SIGINT)\ntime.sleep(600)",
    )
    collection.notebook("c.ipynb", "1")
    notebook = nbformat.read(SHIPPED, as_version=4)
    parameters, *others = [each for each in notebook.cells if each.cell_type == "code"]
    parameters.source += (
        "\nnotebooks, jobs, prerun, report = ['a.ipynb', 'b.ipynb', 'c.ipynb'], 1, None, 'json'"
        f"\nopen({str(tmp_path / 'kernel')!r}, 'w').write(str(os.getpid()))"
    )
    Watched(notebook, collection.root, lambda _: None).execute()
    run, failures, numbers = others
    assert errors_in(parameters) == errors_in(failures) == errors_in(numbers) == []
    assert errors_in(run) == ["RunStopped"]
    assert "the run was stopped: 3 of 3: 1 passed" in run.outputs[-1].evalue
    (page,) = pages_in(run)
    assert "<b>Stopped</b>" in page
    assert [page.count(f">{word}<") for word in ("PASSED", "SKIPPED", "RUNNING")] == [1, 2, 0]
    assert pages_in(failures) == ['<div class="nbpipe"><p>No notebook failed.</p></div>']
    assert numbers.outputs[0].text.startswith("1 passed, 0 failed, 0 flaky, 2 skipped in 0 min")
    assert (collection.root / "results/report.json").is_file()
