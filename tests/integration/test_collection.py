"""The collection that is shipped with the project keeps the rules that it asks of others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest

COLLECTION = Path(__file__).parents[2] / "collections"
NOTEBOOKS = sorted(
    path for path in COLLECTION.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
SHOWN = [path for path in NOTEBOOKS if path.name != "testnotebooks.ipynb"]
LIMIT_OF_DATA = 1_000_000  # bytes


def name(path: Path) -> str:
    return path.relative_to(COLLECTION).as_posix()


def read(path: Path) -> Any:  # noqa: ANN401 - nbformat has no types
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=nbformat.NO_CONVERT)


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name)


def test_there_are_at_least_sixteen_notebooks_beside_the_template() -> None:
    assert len([path for path in SHOWN if path.name != "Template.ipynb"]) >= 16


def test_there_are_notebooks_in_three_languages() -> None:
    kernels = {read(path).metadata.kernelspec.name for path in SHOWN}

    assert kernels == {"python3", "bash", "ir"}


def test_the_data_are_those_that_the_script_makes() -> None:
    if find_spec("astropy") is None and os.environ.get("NBPIPE_REQUIRE") != "all":
        pytest.skip("astropy makes the data: pip install nbpipe-collections[collection]")

    check = subprocess.run(
        [sys.executable, "make_data.py", "--check"],
        cwd=COLLECTION / "data",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (check.returncode, check.stderr) == (0, "")


def test_the_data_are_small() -> None:
    files = [path for path in (COLLECTION / "data").iterdir() if path.is_file()]

    assert sum(path.stat().st_size for path in files) < LIMIT_OF_DATA


def test_no_package_shadows_the_standard_library_s_collections() -> None:
    assert list(COLLECTION.rglob("__init__.py")) == []


def test_the_readme_lists_every_notebook_once() -> None:
    readme = (COLLECTION / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[\w+\]\(([^)]+\.ipynb)\)", readme, flags=re.MULTILINE)

    assert sorted(listed) == [name(path) for path in SHOWN]


@every_notebook
def test_a_notebook_is_valid_and_its_cells_have_ids(path: Path) -> None:
    notebook = read(path)

    nbformat.validate(notebook)  # from 4.5 on the schema asks for ids

    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)


@every_notebook
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    code = [cell for cell in read(path).cells if cell.cell_type == "code"]

    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


@every_notebook
def test_a_notebook_begins_with_its_title_and_names_its_authors(path: Path) -> None:
    notebook = read(path)
    first = notebook.cells[0]
    title, *rest = first.source.splitlines()

    assert first.cell_type == "markdown"
    assert title == f"# {notebook.metadata.title}"
    assert any(line.startswith("**Authors:** ") for line in rest)
    assert all(author.name for author in notebook.metadata.authors)


@every_notebook
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize(
    "path", [path for path in SHOWN if path.name != "Template.ipynb"], ids=name
)
def test_a_notebook_ends_with_checks_of_what_it_found(path: Path) -> None:
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]

    assert re.search(r"^(assert|stopifnot|test) ?", code[-1], flags=re.MULTILINE)
