"""Whatever stands in a file: it is planned, read, prepared and written, or refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbpipe import config
from nbpipe.collecting import InstalledKernel, Selection, plan
from nbpipe.execution import source
from nbpipe.execution.workspace import Workspace
from nbpipe.model import Task

KERNELS = {
    "python3": InstalledKernel(
        name="python3",
        display_name="Python 3",
        language="python",
        interpreter=None,
        resource_dir="",
        argv=(),
    )
}
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "x", "python3", "\ud83d", "\udcff", "é\n", "parameters"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
METADATA = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("kernelspec", "language_info", "jupytext", "tags", "execution", "nbsphinx", "mystnb",
         "widgets", "papermill", "nbmake", "kernel", "signature"),
        JUNK | st.fixed_dictionaries({}, optional={"name": JUNK, "timeout": JUNK, "mock": JUNK}),
    ),
)  # fmt: skip
OUTPUT = JUNK | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("output_type", "data", "text", "name", "metadata"), JUNK)
)
CELL = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown", "raw", "heading"]) | JUNK,
        "id": JUNK,
        "metadata": METADATA | JUNK,
        "source": st.sampled_from(["1 + 1", ["a = 1\n", "a"], "# NBVAL_SKIP\nx"]) | JUNK,
        "outputs": st.lists(OUTPUT, max_size=2) | JUNK,
        "attachments": JUNK,
        "execution_count": JUNK,
    },
)
NOTEBOOK = st.fixed_dictionaries(
    {"cells": st.lists(CELL | JUNK, max_size=3) | JUNK},
    optional={
        "metadata": METADATA | JUNK,
        "nbformat": st.sampled_from([2, 3, 4, 5, "4"]) | JUNK,
        "nbformat_minor": st.sampled_from([0, 4, 5, 9]) | JUNK,
        "worksheets": st.lists(
            st.fixed_dictionaries({}, optional={"cells": st.lists(CELL, max_size=2)}), max_size=2
        )
        | JUNK,
    },
)


def goes_its_way(folder: Path, content: bytes, **task: Any) -> str:  # noqa: ANN401
    """Plan, read, prepare and write a notebook; return what is wrong with it, if anything."""
    file = folder / "n.ipynb"
    file.write_bytes(content)
    [planned] = plan(
        Selection(cwd=folder, patterns=("n.ipynb",)), config.load(folder), kernels=KERNELS
    ).tasks
    if planned.failure is not None:
        return planned.failure.message
    given_task = {"kernel": "python3", "language": "python", **task}
    made = Task(path="n.ipynb", file=file, why="", **given_task)
    workspace = Workspace(folder / "out", made, 1)
    try:
        notebook = source.prepare(source.read(file), made)
        source.remarks(notebook)
        cells = source.code_cells(notebook)
        source.unsendable(cells)
        assert all(isinstance(cell.cell_id, str | None) for cell in cells)
        assert workspace.write(notebook) is None
        json.loads(workspace.copy.read_text(encoding="utf-8"))
    except source.UnreadableNotebookError as error:
        return str(error)
    finally:
        workspace.close()
    return ""


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(NOTEBOOK, st.booleans())
def test_a_notebook_of_wrong_types_goes_its_way(
    document: dict[str, Any],
    parameters: bool,  # noqa: FBT001
) -> None:
    content = json.dumps(document).encode()
    with tempfile.TemporaryDirectory() as folder:
        goes_its_way(Path(folder), content, parameters={"alpha": 1} if parameters else {})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | JUNK.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_are_no_notebook_are_told(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert goes_its_way(Path(folder), content) != ""


@pytest.mark.parametrize(
    "metadata",
    [None, 3, "x", [], {"kernelspec": 3}, {"kernelspec": "python3"}, {"language_info": []}],
)
@pytest.mark.parametrize("parameters", [{}, {"alpha": [1, {"b": None}]}])
def test_metadata_of_wrong_types_is_no_hindrance(
    tmp_path: Path, metadata: object, parameters: dict[str, Any]
) -> None:
    cell = {"cell_type": "code", "metadata": metadata, "source": "1"}
    document = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    assert goes_its_way(tmp_path, json.dumps(document).encode(), parameters=parameters) == ""
