"""Headers of text notebooks that hold the wrong types: the notebook runs, as `--list` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ondisk import imported

from nbpipe.collecting import texts
from nbpipe.execution import source
from nbpipe.execution.source import without_header, without_misfits

if TYPE_CHECKING:
    from pathlib import Path

imported("jupytext")

HEADERS = [
    "kernelspec: python3",
    "kernelspec: [a]",
    "kernelspec: null",
    "kernelspec:\n  name: 3",
    "kernelspec:\n  display_name: x",
    "kernelspec:\n  name:\n    a: b",
    "kernelspec:\n  name: python3\n  language: 3",
    "jupytext: 3\nkernelspec:\n  name: python3",
    "jupytext: {formats: [a], x: y}\nkernelspec:\n  name: python3",
    "jupytext:\n  text_representation: x",
    "jupytext:\n  text_representation:\n    extension: 3\n    format_name: myst",
    "jupytext:\n  formats: 3",
    "jupyter: text",
    "jupyter: null",
    "jupyter:\n  kernelspec: python3",
    "jupyter:\n  jupytext: [1]\n  kernelspec:\n    name: python3\n    display_name: P",
    "language_info: python\nkernelspec:\n  name: python3",
    "kernelspec:\n  name: python3\nmystnb: 3\ntitle: 3\nauthors: x",
    "- a\n- b",
    "kernelspec: [",
    "? [a]\n: 3\nkernelspec: x",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    ("ending", "mark", "cell"),
    [
        (".md", "", "```{code-cell}\nprint(1)\n```\n"),
        (".md", "", "```python\nprint(1)\n```\n"),
        (".py", "# ", "# %%\nprint(1)\n"),
        (".R", "# ", "# %%\nprint(1)\n"),
    ],
    ids=["myst", "markdown", "python", "r"],
)
def test_a_header_of_wrong_types_is_no_hindrance(
    tmp_path: Path, header: str, ending: str, mark: str, cell: str
) -> None:
    lines = ["---", *header.split("\n"), "---"]
    file = tmp_path / f"a{ending}"
    file.write_text("".join(f"{mark}{line}\n" for line in lines) + "\n" + cell)
    notebook = source.read(file)
    assert [each.source for each in notebook.cells if each.cell_type == "code"] == ["print(1)"]
    assert texts.read_text(str(file), named=True) is not None


def test_only_the_misfits_go() -> None:
    text = "---\ntitle: x\nkernelspec: python3\njupytext:\n  formats: md\n---\n\ntext\n"
    assert without_misfits(text) == "---\ntitle: x\njupytext:\n  formats: md\n---\n\ntext\n"
    assert without_header(text) == "text\n"


@pytest.mark.parametrize("text", ["", "text\n", "---\n", "---\na: 1\n", "# %%\nx = 1\n"])
def test_a_text_without_a_header_stays_as_it_is(text: str) -> None:
    assert (without_misfits(text), without_header(text)) == (text, text)
