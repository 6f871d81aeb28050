from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.checkup.needs import Lack, Needs, read_needs
from nbpipe.execution.source import UnreadableNotebookError
from nbpipe.model import Prerun, Task

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def needs(root: Path, *cells: Any, path: str = "a/b/n.ipynb", **task: Any) -> Needs:  # noqa: ANN401
    """Return what a notebook needs; a cell is its source, or (source, tags)."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    nodes = []
    for cell in cells:
        source, tags = cell if isinstance(cell, tuple) else (cell, [])
        nodes.append({"cell_type": "code", "source": source, "metadata": {"tags": tags}})
    document = {"cells": nodes, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    file.write_text(json.dumps(document))
    given = {"language": "python", "kernel": "python3", **task}
    return read_needs(Task(path=path, file=file, why="", **given), root)


def lacking(found: Needs, *missing: str) -> list[str]:
    return [each.module for each in found.lacks(frozenset(missing)) if each.sure]


def test_what_the_interpreter_lacks_is_lacking(root: Path) -> None:
    found = needs(root, "import a, b")
    assert found.names == {"a", "b"}
    assert lacking(found, "b") == ["b"]


def test_modules_and_packages_beside_the_notebook_are_local(root: Path) -> None:
    found = needs(root, "import beside, package, compiled, above")
    folder = root / "a/b"
    (folder / "beside.py").touch()
    (folder / "package").mkdir()
    (folder / "compiled.cpython-311-x86_64-linux-gnu.so").touch()
    (root / "a/above.py").touch()
    assert lacking(found, "beside", "package", "compiled", "above") == ["above"]


def test_folders_that_the_notebook_adds_are_looked_into(root: Path) -> None:
    found = needs(root, "import sys\nsys.path.append('..')\nimport above")
    (root / "a/above.py").touch()
    assert lacking(found, "above") == []


def test_unknown_folders_are_looked_for_up_to_the_root(root: Path) -> None:
    found = needs(root, "import sys\nsys.path.append(HERE)\nimport tool, nowhere")
    (root / "lib").mkdir()
    (root / "lib/tool.py").touch()
    assert lacking(found, "tool", "nowhere") == ["nowhere"]


def test_a_module_that_the_notebook_writes_is_not_lacking(root: Path) -> None:
    assert lacking(needs(root, "%%writefile made.py\n", "import made"), "made") == []


def test_a_fallback_is_lacking_only_if_nothing_else_is_there(root: Path) -> None:
    found = needs(root, "try:\n    import first\nexcept ImportError:\n    import second")
    assert found.names == {"first", "second"}
    assert lacking(found, "second") == []
    assert lacking(found, "first") == []
    assert lacking(found, "first", "second") == ["second"]


def test_a_package_that_the_notebook_installs_is_told_apart(root: Path) -> None:
    found = needs(root, "%pip install scikit_learn\nimport sklearn")
    assert list(found.lacks(frozenset({"sklearn"}))) == [Lack("sklearn", sure=True, installs=True)]


def test_a_possible_import_is_told_apart_unless_another_one_is_certain(root: Path) -> None:
    found = needs(root, "if x:\n    import a, b\nimport b")
    assert list(found.lacks(frozenset({"a", "b"}))) == [
        Lack("a", sure=False, installs=False),
        Lack("b", sure=True, installs=False),
    ]


def test_cells_that_are_skipped_or_may_raise_need_nothing(root: Path) -> None:
    found = needs(
        root, ("import a", ["skip-execution"]), ("import b", ["raises-exception"]), "import c"
    )
    assert found.names == {"c"}


def test_a_notebook_that_expects_errors_needs_nothing(root: Path) -> None:
    assert needs(root, "import a", allow_errors=True).names == set()


def test_code_that_runs_first_counts(root: Path) -> None:
    prerun = Prerun(name="prerun.py", language="python", source="import first")
    assert needs(root, "import a", prerun=(prerun,)).names == {"first", "a"}


def test_r_packages_are_needed_by_r_notebooks(root: Path) -> None:
    found = needs(root, "library(a)\nlibrary(b)", language="r", kernel="ir")
    assert lacking(found, "b") == ["b"]


def test_nothing_is_known_about_other_languages(root: Path) -> None:
    assert needs(root, "using Plots", language="julia", kernel="julia-1.9").names == set()


def test_a_notebook_that_cannot_be_read_says_so(root: Path) -> None:
    file = root / "n.ipynb"
    file.write_text("{")
    task = Task(path="n.ipynb", file=file, why="", kernel="python3", language="python")
    with pytest.raises(UnreadableNotebookError, match="is not JSON"):
        read_needs(task, root)
