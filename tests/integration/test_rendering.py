"""Executed copies are rendered in a process of its own; what breaks a limit says so."""

from __future__ import annotations

import json
import os
import re
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import EVERYWHERE, look, sound
from ondisk import write_notebook

from nbpipe.model import Category, Failure
from nbpipe.reports.html import rendering
from nbpipe.reports.html.images import Place
from nbpipe.reports.html.rendering import Limits, NotShown, Renderer

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).parents[2] / "collections"
DEEP = "{" * 400 + "#1" + "}" * 400
SHOWN = r"""# Title $x^2$

$$\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}$$

\begin{align}a &= b \\ c &= d\end{align}

> [!CAUTION]
> Care, $\unknown{x}$ and ![A](gone.png)

<div class="alert alert-block alert-success">done</div>

```mermaid
graph TD; A-->B
```
"""
CRASH = rf"$\def\a#1{{{DEEP}}}" + r"\a{" * 99 + "x" + "}" * 99 + "$"
"""A short formula that exhausts the stack of what converts it."""
TABLE = "<table>" + "<tr><td>1</td><td>2</td></tr>" * 8_000 + "</table>"
MARKDOWN = "| a | b |\n|---|---|\n" + "| **x** `y` [l](http://e) | $z$ |\n" * 25


def notebook(file: Path, cells: list[dict[str, Any]]) -> Path:
    kernel = {"name": "python3", "display_name": "P", "language": "python"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    file.write_text(json.dumps({**content, "nbformat_minor": 5}))
    return file


def tables(file: Path, count: int) -> Path:
    """Write a copy with that many tables of 230 kB each."""
    shown = {"output_type": "execute_result", "execution_count": 1, "metadata": {}}
    shown["data"] = {"text/html": TABLE}
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": "df"}
    cells = [cell | {"id": f"c{number}", "outputs": [shown]} for number in range(count)]
    return notebook(file, cells)


def markdown(file: Path, count: int) -> Path:
    """Write a copy with that many Markdown tables of 1 kB each."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": MARKDOWN}
    return notebook(file, [cell | {"id": f"m{number}"} for number in range(count)])


def code(file: Path, size: int) -> Path:
    """Write a copy with one cell of that many characters, which the highlighter has to read."""
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 1, "outputs": []}
    return notebook(file, [cell | {"source": "f(a[0], {'b': 1.5}, c=\"d\")\n" * (size // 27)}])


def test_a_copy_is_shown_with_its_failing_cell_marked(tmp_path: Path) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "print('<script>')", "1/0")
    failure = Failure(category=Category.EXCEPTION, name="E", message="", cell=1, source="1/0")
    page = rendering.frame(copy, [failure])
    assert page is not None
    assert page.count(' celltag_nbpipe-failed"') == 1
    assert "scrollIntoView" in page


def test_what_is_not_a_notebook_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("{")
    assert rendering.frame(tmp_path / "a.ipynb", []) is None
    assert rendering.frame(tmp_path / "gone.ipynb", []) is None
    with Renderer() as renderer:
        assert renderer.draw(tmp_path / "a.ipynb", [], tmp_path / "page") is False
    assert not (tmp_path / "page").exists()


def test_fourteen_megabytes_of_tables_cost_this_process_nothing(tmp_path: Path) -> None:
    copy = tables(tmp_path / "a.ipynb", 60)
    assert copy.stat().st_size > 13_000_000
    began = time.process_time()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Renderer() as renderer:
        assert renderer.draw(copy, [], tmp_path / "page")
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 50_000
    assert (tmp_path / "page").stat().st_size > 13_000_000
    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("make", "size", "limits", "said"),
    [
        (markdown, 1_500, Limits(seconds=1), "rendering takes more than 1 s"),
        (code, 3_000_000, Limits(seconds=1), "rendering takes more than 1 s"),
        (tables, 80, Limits(memory=100 * 2**20), "rendering takes more than 100 MiB of memory"),
        (tables, 10, Limits(output=1_000_000), "as a page it has more than 1 MB"),
    ],
    ids=["markdown", "code", "memory", "output"],
)
def test_a_copy_that_breaks_a_limit_says_which(
    tmp_path: Path, make: Callable[[Path, int], Path], size: int, limits: Limits, said: str
) -> None:
    copy = make(tmp_path / "a.ipynb", size)
    with Renderer(limits) as renderer:
        with pytest.raises(NotShown) as caught:
            renderer.draw(copy, [], tmp_path / "page")
        assert caught.value.reason == said
        assert caught.value.lasting
        assert not (tmp_path / "page").exists()
        small = write_notebook(tmp_path / "b.ipynb", "1")
        assert renderer.draw(small, [], tmp_path / "page")  # the next one is not harmed
        assert said in (renderer.frame(copy, []) or "")


def test_a_page_that_cannot_be_written_is_not_called_a_fault_of_the_copy(tmp_path: Path) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    with Renderer() as renderer:
        with pytest.raises(NotShown, match="cannot be written: No such file") as caught:
            renderer.draw(copy, [], tmp_path / "none" / "page")
        assert not caught.value.lasting
        assert renderer.draw(copy, [], tmp_path / "page")


def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    with Renderer() as renderer:
        assert renderer.draw(copy, [], tmp_path / "1")
        child = renderer._child
        assert child is not None
        child.kill()
        with pytest.raises(NotShown) as caught:
            renderer.draw(copy, [], tmp_path / "2")
        assert not caught.value.lasting
        assert renderer.draw(copy, [], tmp_path / "2")


def test_many_copies_are_rendered_by_one_process_that_ends(tmp_path: Path) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    with Renderer() as renderer:
        children = set()
        for number in range(5):
            assert renderer.draw(copy, [], tmp_path / str(number))
            assert renderer._child is not None
            children.add(renderer._child.pid)
    (child,) = children
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_the_process_has_no_secret_and_nothing_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBPIPE_WEBHOOK_SECRET", "s3cr3t")
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    with Renderer() as renderer:
        assert renderer.draw(copy, [], tmp_path / "page")
        assert renderer._child is not None
        environment = Path(f"/proc/{renderer._child.pid}/environ").read_bytes()
    assert b"s3cr3t" not in environment


def texts(page: str) -> str:
    """Return the text of a page without what is code, as a reader sees it."""
    body = page[page.index("<main>") :]
    kept = re.sub(r"(?s)<(pre|code|script|style)\b.*?</\1>", "", body)
    return re.sub(r"<[^<>]*>", "", kept)


def test_no_formula_of_the_shipped_notebooks_is_raw() -> None:
    drawn = 0
    for file in sorted(SHIPPED.rglob("*.ipynb")):
        page = rendering.document(file, [])
        assert page is not None, file
        assert not re.search(r"\$[^$]+\$|\\begin\{|\\[(\[]", texts(page)), file
        assert '<code class="tex' not in page, file
        drawn += page.count("<math")
    assert drawn >= 30


def test_a_macro_of_one_copy_is_unknown_in_the_next(tmp_path: Path) -> None:
    cell = {"cell_type": "markdown", "metadata": {}}
    first = [cell | {"id": "a", "source": r"$\newcommand{\mine}{x}\mine$"}]
    second = [cell | {"id": "a", "source": r"$\mine$"}]
    with Renderer() as renderer:
        one = renderer.frame(notebook(tmp_path / "1.ipynb", first), []) or ""
        two = renderer.frame(notebook(tmp_path / "2.ipynb", second), []) or ""
    assert "<math><mi>x</mi></math>" in one
    assert r">\mine</code>" in two


@pytest.mark.parametrize(
    "source",
    ["$" + "{" * 3_000_000 + "$", "$a$ " * 5_000, "${ " * 3_000, CRASH],
    ids=["braces", "soup", "unclosed", "stack"],
)
def test_hostile_formulas_leave_the_rest_of_the_page(tmp_path: Path, source: str) -> None:
    cell = {"cell_type": "markdown", "metadata": {}, "source": source}
    rest = {"cell_type": "markdown", "metadata": {}, "source": "the *rest*"}
    copy = notebook(tmp_path / "a.ipynb", [cell | {"id": "a"}, rest | {"id": "b"}])
    with Renderer() as renderer:
        page = renderer.frame(copy, [])
    assert page is not None
    assert "the <em>rest</em>" in page
    assert ("formulas of this notebook are shown as TeX" in page) is (source == CRASH)


def test_pictures_are_read_beside_the_source_not_beside_the_copy(tmp_path: Path) -> None:
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "a.png").write_bytes(b"picture")
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "![A](../a.png)"}
    copy = notebook(tmp_path / "copy.ipynb", [cell])
    known = rendering.Source(place=Place(tmp_path / "root", "sub/a.ipynb"))
    with Renderer() as renderer:
        assert "data:image/png;base64,cGljdHVyZQ==" in (renderer.frame(copy, [], known) or "")
        assert "Picture not shown" in (renderer.frame(copy, []) or "")


def test_what_is_drawn_is_seen_and_accessible_everywhere(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "stream", "name": name, "text": f"to {name}\n"}
        for name in ("stdout", "stderr")
    ]
    cell = {"cell_type": "code", "id": "c", "metadata": {"tags": ["injected-parameters"]}}
    cells = [
        {"cell_type": "markdown", "id": "m", "metadata": {}, "source": SHOWN},
        cell | {"execution_count": 1, "outputs": outputs, "source": "a = 1"},
    ]
    page = rendering.frame(notebook(tmp_path / "a.ipynb", cells), [])
    (tmp_path / "page.html").write_text(page or "")
    drawn = "[...document.querySelectorAll('math')].map(each => each.clientHeight > 8)"
    answers = look(
        [
            {
                "url": (tmp_path / "page.html").as_uri(),
                "scheme": scheme,
                "width": width,
                "evaluate": drawn,
            }
            for scheme, width in EVERYWHERE
        ]
    )
    for answer in answers:
        sound(answer)
        assert answer["value"] == [True] * 3
