"""Text notebooks: which files are, what their header says, and pairs."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from ondisk import REPOSITORY, imported

from nbpipe.collecting import texts

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree

MARKDOWN = "---\njupyter:\n  kernelspec:\n    name: python3\n---\n\n# Title\n"
MYST = "---\njupytext:\n  text_representation: {format_name: myst}\n---\n"
PERCENT = "# ---\n# jupyter:\n#   kernelspec:\n#     name: python3\n# ---\n\n# %%\n1 + 1\n"


def is_locked(name: str) -> bool:
    """Return whether the release that is installed is the one in our lock."""
    pin = f"{name}=={version(name)} "
    return f"\n{pin}" in (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")


def test_the_endings_are_those_of_jupytext() -> None:
    formats = imported("jupytext.formats")
    theirs = {*formats.NOTEBOOK_EXTENSIONS} - {".ipynb"}
    assert len(theirs & {*texts.ENDINGS}) > 40
    if is_locked("jupytext"):  # one release has an ending more than another
        assert sorted(texts.ENDINGS) == sorted(theirs)


def test_the_marks_of_comments_are_those_of_jupytext() -> None:
    languages = imported("jupytext.languages")
    theirs = {
        ending: (script["comment"], script["language"])
        for ending, script in languages._SCRIPT_EXTENSIONS.items()
    }
    both = theirs.keys() & texts._SCRIPTS.keys()
    assert len(both) > 35
    assert {each: theirs[each] for each in both} == {each: texts._SCRIPTS[each] for each in both}
    if is_locked("jupytext"):
        assert theirs == texts._SCRIPTS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", MARKDOWN),
        ("a.md", "\ufeff" + MARKDOWN),
        ("a.md", MARKDOWN.replace("\n", "\r\n")),
        ("a.md", MYST),
        ("a.md", "---\nfile_format: mystnb\n---\n"),
        ("a.md", f"<!--\n\n{MARKDOWN}-->\n"),
        ("a.markdown", MARKDOWN),
        ("a.Rmd", MARKDOWN),
        ("a.qmd", MARKDOWN),
        ("a.py", PERCENT),
        ("a.py", f"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n{PERCENT}"),
        ("a.R", PERCENT),
        ("a.jl", PERCENT),
        ("a.sh", f"#!/bin/sh\n\n{PERCENT}"),
        ("a.cpp", PERCENT.replace("#", "//")),
        ("a.ml", "(* --- *)\n(* jupyter: *)\n(*   jupytext: {} *)\n(* --- *)\n"),
    ],
)
def test_a_text_is_a_notebook_if_its_header_says_so(tree: Tree, name: str, text: str) -> None:
    tree.write(name, text)
    assert tree.paths() == [name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "# Just text\n"),
        ("a.md", ""),
        ("a.md", "---\ntitle: About jupytext and kernelspec\n---\n"),
        ("a.md", "# Title\n" + MARKDOWN),
        ("a.md", "---\njupyter: [broken\n---\n"),
        ("a.md", "---\njupyter:\n  kernelspec: {}\n"),
        ("a.qmd", "---\njupyter: python3\n---\n"),
        ("a.py", "import os\n" + PERCENT),
        ("a.py", "# %%\n1 + 1\n"),
        ("a.py", "#" * 10000),
        ("a.txt", MARKDOWN),
        ("a.json", "{}"),
    ],
)
def test_any_other_text_is_not_a_notebook(tree: Tree, name: str, text: str) -> None:
    tree.notebook("b.ipynb")
    tree.write(name, text)
    assert tree.paths() == ["b.ipynb"]
    assert tree.excluded() == {}


def test_a_header_may_be_long(tree: Tree) -> None:
    long = MARKDOWN.replace("---\n\n", f"  note: {'x' * 20000}\n---\n\n")
    tree.write("a.md", long)
    assert tree.paths() == ["a.md"]


def test_a_named_script_is_a_notebook_without_a_header(tree: Tree) -> None:
    tree.write("plain.R", "1 + 1\n")
    task = tree.task("plain.R")
    assert (task.path, task.kernel, task.language) == ("plain.R", "ir", "r")


def test_the_ending_tells_the_language_where_no_kernel_is_named(tree: Tree) -> None:
    tree.write("a.sh", "# ---\n# jupyter:\n#   jupytext: {}\n# ---\n")
    assert tree.task().kernel == "bash"


def test_a_text_says_its_main_language(tree: Tree) -> None:
    tree.write("a.md", "---\njupytext:\n  main_language: R\n---\n")
    assert tree.task().kernel == "ir"


def test_the_header_is_honoured_as_metadata(tree: Tree) -> None:
    tree.write("a.md", MYST.replace("---\n", "---\nmystnb:\n  execution_timeout: 7\n", 1))
    assert tree.task().limits.cell_seconds == 7


def test_the_text_twin_of_a_notebook_is_excluded(tree: Tree) -> None:
    tree.notebook("d/a.ipynb")
    tree.write("d/a.md", MARKDOWN)
    tree.write("d/a.py", PERCENT)
    assert tree.paths() == ["d/a.ipynb"]
    twin = "the text twin of d/a.ipynb"
    assert tree.excluded() == {"d/a.md": twin, "d/a.py": twin}


def test_a_twin_stays_out_where_its_notebook_is_not_asked_for(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    tree.write("a.md", MARKDOWN)
    tree.write("b.md", MARKDOWN)
    assert tree.paths("*.md") == ["b.md"]


def test_a_named_twin_runs_unless_its_notebook_does(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    tree.write("a.md", MARKDOWN)
    assert tree.paths("a.md") == ["a.md"]
    assert tree.paths("a.md", "a.ipynb") == ["a.ipynb"]


def test_two_texts_of_one_notebook_run_once(tree: Tree) -> None:
    tree.write("a.md", MARKDOWN)
    tree.write("a.py", PERCENT)
    assert tree.paths() == ["a.md"]
    assert tree.excluded() == {"a.py": "the text twin of a.md"}


@pytest.mark.parametrize("who_says", ["the text", "the notebook"])
def test_a_pair_in_two_folders_runs_once(tree: Tree, who_says: str) -> None:
    imported("jupytext")
    formats = "notebooks///ipynb,scripts///py:percent"
    by_text = who_says == "the text"
    tree.notebook("notebooks/s/a.ipynb", jupytext={} if by_text else {"formats": formats})
    header = f"# jupyter:\n#   jupytext:\n#     formats: {formats if by_text else 'py'}\n"
    tree.write("scripts/s/a.py", f"# ---\n{header}# ---\n")
    assert tree.paths() == ["notebooks/s/a.ipynb"]
    assert tree.excluded() == {"scripts/s/a.py": "the text twin of notebooks/s/a.ipynb"}


@pytest.mark.parametrize("formats", ["", "ipynb,nonsense", ",", "a//b//c///ipynb,md", "md:"])
def test_broken_formats_harm_nothing(tree: Tree, formats: str) -> None:
    tree.write("a.md", f"---\njupytext:\n  formats: '{formats}'\n---\n")
    assert tree.paths() == ["a.md"]


def test_an_excluded_text_notebook_is_listed(tree: Tree) -> None:
    tree.notebook("b.ipynb")
    tree.write("drafts/a.md", MARKDOWN)
    tree.write("drafts/README.md", "text\n")
    assert tree.excluded(exclude=("drafts",)) == {"drafts/a.md": "excluded by --exclude: drafts"}


def test_texts_in_folders_that_are_excluded_by_default_are_not_even_opened(tree: Tree) -> None:
    tree.notebook("b.ipynb", "node_modules/n.ipynb")
    tree.write("node_modules/a.md", MARKDOWN)
    assert tree.excluded() == {"node_modules/n.ipynb": "excluded by default: node_modules/"}


def test_without_jupytext_a_text_notebook_is_skipped_with_the_reason(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "is_jupytext_installed", lambda: False)
    tree.notebook("b.ipynb", jupytext={"formats": "ipynb,md"})
    tree.write("a.md", MARKDOWN)
    text, notebook = tree.plan().tasks
    assert text.skip == "needs jupytext: pip install 'nbpipe-collections[text]'"
    assert notebook.skip is None


def test_without_jupytext_a_text_notebook_that_is_named_itself_fails(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "is_jupytext_installed", lambda: False)
    tree.write("a.md", MARKDOWN)
    (task,) = tree.plan("a.md").tasks
    assert task.skip is None
    assert task.failure is not None
    assert (task.failure.category, task.failure.signature) == (
        "missing-package",
        "ModuleNotFoundError: No module named 'jupytext'",
    )
    assert (
        task.failure.message
        == "a text notebook needs jupytext: pip install 'nbpipe-collections[text]'"
    )
