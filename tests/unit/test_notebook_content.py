"""Markdown and HTML of a notebook: formulas, pictures, alerts, diagrams, without a neighbour."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest
from nbformat import v4

from nbpipe.reports.html import labels
from nbpipe.reports.html.content import Content
from nbpipe.reports.html.formulas import Formulas
from nbpipe.reports.html.images import EACH_LIMIT, Images, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def content(place: Place | None = None) -> Content:
    return Content(Formulas(), Images(place))


def markdown(source: str, attachments: Mapping[str, object] | None = None) -> str:
    return content().markdown(source, attachments or {})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "collection"
    (root / "sub" / "figures").mkdir(parents=True)
    (root / "top.png").write_bytes(PNG)
    (root / "sub" / "figures" / "a b.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return Place(root, "sub/a.ipynb")


def test_formulas_in_markdown_are_drawn() -> None:
    html = markdown("$x$, $$y$$, \\\\(z\\\\) and\n\n\\begin{align}\na &= b\n\\end{align}\n")
    assert html.count("<math>") == 2
    assert html.count('<math display="block" tabindex="0">') == 2
    assert "$" not in html


def test_dollar_signs_and_code_stay() -> None:
    html = markdown("\\$5, `$x$` and\n\n```\n$y$\n```\n\nand 5 $ alone\n")
    assert "<math" not in html
    assert html.count("$") == 6


def test_a_formula_ends_where_its_braces_do() -> None:
    assert "$" not in markdown(r"$\text{if $x>0$}$")
    assert "$" not in content().html(r"<p>$\text{if $x>0$}$</p>")


def test_a_macro_of_one_cell_holds_in_the_outputs_of_the_next() -> None:
    shown = content()
    shown.markdown(r"$\newcommand{\vv}{\mathbf{v}}$", {})
    assert "\N{MATHEMATICAL BOLD SMALL V}" in shown.latex(r"$\displaystyle \vv$")
    assert "\N{MATHEMATICAL BOLD SMALL V}" in shown.html(r"<td>$\vv$</td>")


def test_formulas_in_html_are_drawn_and_all_else_stays() -> None:
    table = r"<table class=x><tr><td>$a&lt;b$ &amp; c<br/></td><td>\$5</td></tr></table>"
    html = content().html(table)
    assert html.startswith("<table class=x><tr><td><math><mi>a</mi><mo>&lt;</mo><mi>b</mi></math>")
    assert html.endswith(" &amp; c<br/></td><td>$5</td></tr></table>")


@pytest.mark.parametrize(
    "html",
    [
        "<p>no formula &eacute; &#233; <!-- $x$ --></p>",
        "<pre>$x$ <b>$y$</b></pre>",
        "<script>let a = '$x$ <b>'</script><style>a{}</style>",
        '<table class="dataframe tex2jax_ignore"><td>$x$</td></table>',
        "<p>$5</p><p>$6</p>",
        "<p a='$x$'>text</p>",
    ],
)
def test_html_without_a_formula_is_as_it_was(html: str) -> None:
    assert content().html(html) == html


def test_pictures_beside_the_notebook_are_in_the_page(place: Place) -> None:
    shown = content(place)
    html = shown.markdown("![a](figures/a%20b.png 'T') <img src='../top.png' width=20>", {})
    assert html.count(DATA) == 2
    assert 'alt="a" title="T"' in html
    assert 'width="20"' in html
    assert DATA in shown.html('<p><img src="../top.png"></p>')


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("gone.png", "no such file"),
        ("../../secret.png", "outside of the collection"),
        ("%2e%2e/../secret.png", "outside of the collection"),
        ("/etc/passwd.png", "outside of the collection"),
        ("file:///etc/passwd.png", "on another server"),
        ("https://example.org/a.png", "on another server"),
        ("//example.org/a.png", "on another server"),
        ("figures/link.png", "symbolic links are not followed"),
        ("linked/secret.png", "symbolic links are not followed"),
        ("figures/folder.png", "Is a directory"),
        ("figures/pipe.png", "not a regular file"),
        ("figures/large.png", "3.0 MB, too much"),
        ("a.ipynb", "not that of a picture"),
        ("a%00.png", "outside of the collection"),
        ("attachment:gone.png", "no such attachment"),
    ],
)
def test_a_picture_that_is_not_shown_is_named_with_the_reason(
    place: Place, source: str, why: str
) -> None:
    figures = place.root / "sub" / "figures"
    (figures / "link.png").symlink_to(place.root.parent / "secret.png")
    (place.root / "sub" / "linked").symlink_to(place.root.parent)
    (figures / "folder.png").mkdir()
    os.mkfifo(figures / "pipe.png")
    with (figures / "large.png").open("wb") as large:
        large.truncate(EACH_LIMIT + 1)
    html = content(place).markdown(f"![<i>pic]({source})", {})
    assert "<img" not in html
    assert why in html
    assert "<i>pic" not in html


def test_pictures_of_a_page_are_bounded_together(place: Place) -> None:
    for number in range(7):
        with (place.root / f"{number}.png").open("wb") as file:
            file.truncate(EACH_LIMIT)
    shown = content(place)
    html = "".join(shown.html(f'<img src="../{number}.png">') for number in range(7))
    assert html.count("<img") == 5
    assert html.count("too much for this page") == 2


def test_attachments_are_in_the_page() -> None:
    attachments = {"a b.png": {"image/png": ["iVBORw0K\n", "Ggo="]}, "b.txt": {"text/plain": "x"}}
    html = markdown("![x](attachment:a%20b.png) ![y](attachment:b.txt)", attachments)
    assert DATA in html
    assert "not a picture" in html


def test_alerts_of_github_are_alerts() -> None:
    html = markdown("> [!WARNING]\n> Read *this*.\n\n> quoted\n")
    assert '<div class="alert alert-warning" role="note"><p class="alert-title">Warning</p>' in html
    assert "<p>Read <em>this</em>.</p>" in html
    assert html.count("<blockquote>") == 1


def test_a_diagram_is_its_escaped_source() -> None:
    html = markdown("```mermaid\ngraph TD; A-->B<script>\n```\n")
    assert "<figcaption>Diagram, as its Mermaid source</figcaption>" in html
    assert "A--&gt;B&lt;script&gt;" in html


def test_cells_are_labelled_with_index_origin_and_time() -> None:
    timed = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}}
    timed["execution"]["shell.execute_reply"] = "2026-01-01T00:00:02.500Z"
    cells = [
        v4.new_code_cell("import os", metadata={"tags": ["injected-prerun"]}),
        v4.new_markdown_cell("text"),
        v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]}),
        v4.new_code_cell("slow", metadata=timed),
        v4.new_code_cell("slower"),
    ]
    notebook = v4.new_notebook(cells=cells)
    labels.add(notebook, {1: 0.01, 3: 75.0})
    told = [cell.metadata[labels.KEY] for cell in notebook.cells]
    assert [each["place"] for each in told] == [None, 0, 1, None, 2, 3]
    assert [bool(each["origin"]) for each in told] == [True, False, True, True, False, False]
    assert [each["seconds"] for each in told] == ["", "", "", "", "2.5 s", "1 min 15 s"]
    assert [each["slowest"] for each in told] == [False] * 5 + [True]
