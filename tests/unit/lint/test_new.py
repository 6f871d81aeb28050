"""`nbpipe new`: a notebook from a template, with what a machine can know."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from cells import code, notebook, prose

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a collection in a repository whose git knows an author."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for key, value in (("name", "Jane Doe"), ("email", "jane@example.org")):
        subprocess.run(["git", "-C", str(tmp_path), "config", f"user.{key}", value], check=True)
    return tmp_path


def new(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbpipe", "new", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def written(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(file.read_bytes())
    nbformat.validate(nbformat.from_dict(data))
    return data


def test_the_built_in_template_is_filled_in(folder: Path) -> None:
    words = ("--license", "CC-BY-4.0", "--keyword", "photometry", "--date", "2026-01-31")
    ended = new(folder, "05_Contrib/light_curves.ipynb", *words)
    assert (ended.returncode, ended.stderr) == (0, "")
    data = written(folder / "05_Contrib/light_curves.ipynb")
    first = "".join(data["cells"][0]["source"])
    assert first.startswith("# Light curves\n")
    assert "**Authors:** Jane Doe<br>\n**Date:** 2026-01-31 · **License:** CC-BY-4.0" in first
    assert "jane@example.org" not in json.dumps(data)
    assert data["metadata"]["authors"] == [{"name": "Jane Doe"}]
    assert data["metadata"]["kernelspec"]["name"] == "python3"
    assert "{{" not in json.dumps(data)


def test_what_is_left_for_the_author_is_listed(folder: Path) -> None:
    ended = new(folder, "a.ipynb")
    assert "left for you to write:\n" in ended.stdout
    assert "  cells[1] ## Summary: the cell is as in the template (NBP505)\n" in ended.stdout
    assert "NBP501" not in ended.stdout


def test_the_collections_own_template_and_values_are_used(folder: Path) -> None:
    template = notebook(
        prose("# {{ title }}\n{{authors}}"),
        code("__author__ = 'Your Name'\n__keywords__ = ['one'],\n__version__ = '1'"),
        title="Template",
    )
    (folder / "Template.ipynb").write_text(json.dumps(template), encoding="utf-8")
    (folder / "nbpipe.toml").write_text(
        "[check]\ntemplate = 'Template.ipynb'\n[new]\nkernel = 'ir'\nkeywords = ['survey']\n",
        encoding="utf-8",
    )
    ended = new(folder, "a.ipynb", "--author", 'A "B" C', "--author", "D", "--title", "É {{x}}")
    assert ended.returncode == 0, ended.stderr
    data = written(folder / "a.ipynb")
    assert "".join(data["cells"][0]["source"]) == '# É {{x}}\nA "B" C, D'
    assert "".join(data["cells"][1]["source"]).splitlines() == [
        '__author__ = "A \\"B\\" C, D"',
        '__keywords__ = ["survey"]',
        "__version__ = '1'",
    ]
    assert data["metadata"]["kernelspec"] == {
        "display_name": "R",
        "language": "r",
        "name": "ir",
    }
    assert data["metadata"]["title"] == "É {{x}}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("there.ipynb",), "there.ipynb: exists already"),
        (("a.txt",), "a.txt: is not named .ipynb"),
        (("a.ipynb", "--date", "soon"), "--date soon: is not a date"),
        (("a.ipynb", "--template", "gone.ipynb"), "gone.ipynb: cannot be read"),
        (("a.ipynb", "--template", "there.ipynb"), "the file is not"),
        (("there.ipynb/a.ipynb",), "cannot be written"),
    ],
)
def test_wrong_input_says_what_and_loses_nothing(
    words: tuple[str, ...], said: str, folder: Path
) -> None:
    (folder / "there.ipynb").write_text("mine", encoding="utf-8")
    ended = new(folder, *words)
    assert ended.returncode == 4
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (folder / "there.ipynb").read_text(encoding="utf-8") == "mine"
    assert not (folder / "a.ipynb").exists()
