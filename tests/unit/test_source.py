"""Notebooks of every age and form, and the copy that is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ondisk import write_notebook

from nbpipe.execution import source
from nbpipe.model import Prerun, Task


def task(**kwargs: Any) -> Task:  # noqa: ANN401
    given: dict[str, Any] = {"kernel": "python3", "language": "python"} | kwargs
    return Task(path="n.ipynb", file=Path("/c/n.ipynb"), why="n.ipynb", **given)


def cells(path: Path, **kwargs: Any) -> list[source.CodeCell]:  # noqa: ANN401
    return source.code_cells(source.prepare(source.read(path), task(**kwargs)))


def sources(path: Path, **kwargs: Any) -> list[tuple[int | None, str]]:  # noqa: ANN401
    return [(cell.origin, cell.node.source) for cell in cells(path, **kwargs)]


def dump(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_format_3_is_read(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "language": "python", "input": ["a = 1\n", "a"], "outputs": []}
    sheets = [{"cells": [cell]}, {"cells": [cell]}]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets}
    assert sources(dump(tmp_path / "n.ipynb", old)) == [(0, "a = 1\na"), (1, "a = 1\na")]


def test_format_2_is_read(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "language": "python", "input": "a = 1", "outputs": []}
    old = {"nbformat": 2, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}]}
    assert sources(dump(tmp_path / "n.ipynb", old)) == [(0, "a = 1")]


def test_what_real_files_leave_out_is_filled_in(tmp_path: Path) -> None:
    bare = {"cells": [{"cell_type": "code", "source": ["a\n", "b"]}, {"source": "text"}]}
    notebook = source.read(dump(tmp_path / "n.ipynb", bare))
    assert notebook.metadata == {}
    assert notebook.cells[0].outputs == []
    assert notebook.cells[1].cell_type == "raw"


def test_a_byte_order_mark_is_no_hindrance(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert sources(path) == [(0, "1")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"{", "is not JSON: "),
        (b"[]", "is JSON, but not a notebook: its top is not an object"),
        (b"{}", "is JSON, but not a notebook: it has no list of cells"),
        (b'{"cells": {}}', "is JSON, but not a notebook: it has no list of cells"),
        (b'{"cells": [1]}', "has cells[0], which is not an object"),
        (b"\xff\xfe", "is not UTF-8 text: "),
        (b'{"nbformat": 3, "worksheets": 7}', "not a notebook: "),
        (b'{"cells": [], "nbformat": 9}', "has nbformat 9, and the newest that is known here is 4"),
    ],
)
def test_what_is_no_notebook_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "n.ipynb").write_bytes(content)
    with pytest.raises(source.UnreadableNotebookError) as caught:
        source.read(tmp_path / "n.ipynb")
    assert str(caught.value).startswith(message)


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(source.UnreadableNotebookError, match="cannot be read: No such file"):
        source.read(tmp_path / "n.ipynb")


@pytest.mark.parametrize(
    ("code", "metadata", "skip", "raises"),
    [
        ("1", {}, False, False),
        ("1", {"tags": ["skip-execution"]}, True, False),
        ("1", {"tags": ["nbval-skip"]}, True, False),
        ("1", {"tags": ["raises-exception", "other"]}, False, True),
        ("# NBVAL_SKIP\n1", {}, True, False),
        ("#NBVAL_SKIP", {}, True, False),
        ("1\n  # NBVAL_RAISES_EXCEPTION  \n2", {}, False, True),
        ("x = '# NBVAL_SKIP'", {}, False, False),
        ("1  # NBVAL_SKIP", {}, False, False),
        ("# NBVAL_IGNORE_OUTPUT\n1", {}, False, False),
        ("1", {"tags": "skip-execution"}, False, False),
        ("1", {"tags": None}, False, False),
    ],
)
def test_tags_and_nbvals_comments_say_what_to_do(
    tmp_path: Path,
    code: str,
    metadata: dict[str, Any],
    skip: bool,  # noqa: FBT001  (columns of the table above)
    raises: bool,  # noqa: FBT001
) -> None:
    document = {"cells": [{"cell_type": "code", "source": code, "metadata": metadata}]}
    (cell,) = cells(dump(tmp_path / "n.ipynb", document))
    assert (cell.skip, cell.raises) == (skip, raises)


def test_cells_remember_where_they_were_after_others_are_injected(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "n.ipynb", "import os", ("n = 1", {"tags": ["parameters"]}), " ", "n"
    )
    first = Prerun(name="a.py", language="python", source="first = 1")
    second = Prerun(name="b.py", language="python", source="second = 1")
    told = cells(path, parameters={"n": 2}, prerun=(first, second))
    assert [(cell.origin, cell.index) for cell in told] == [
        (None, 0),
        (None, 1),
        (0, 2),
        (1, 3),
        (None, 4),
        (3, 6),
    ]
    assert [cell.node.source for cell in told[:2]] == ["first = 1", "second = 1"]
    assert told[4].node.source == "# Parameters\nn = 2\n"
    assert [cell.cell_id is None for cell in told] == [True, True, False, False, True, False]


def test_the_marks_of_origin_do_not_stay(tmp_path: Path) -> None:
    notebook = source.read(write_notebook(tmp_path / "n.ipynb", "1", "2"))
    source.code_cells(notebook)
    assert [dict(cell.metadata) for cell in notebook.cells] == [{}, {}]


def test_old_outputs_do_not_stay(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": "1", "outputs": [1], "execution_count": 7}
    notebook = source.read(dump(tmp_path / "n.ipynb", {"cells": [cell]}))
    assert (notebook.cells[0].outputs, notebook.cells[0].execution_count) == ([], None)


def test_parameters_that_have_no_translation_are_told(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1")
    with pytest.raises(source.UntranslatableParametersError, match="cobol"):
        cells(path, parameters={"n": 1}, kernel="cobol", language="cobol")


def test_a_text_notebook_is_read(tmp_path: Path) -> None:
    text = "---\nkernelspec:\n  name: python3\n---\n\n# Title\n\n```python\na = 1\n```\n"
    (tmp_path / "n.md").write_text(text, encoding="utf-8")
    assert [code for _, code in sources(tmp_path / "n.md")] == ["a = 1"]


def test_requests_of_peers_that_are_not_followed_are_remarked(tmp_path: Path) -> None:
    mocked = ("1", {"nbmake": {"mock": {"x": 1}, "post_cell_execute": ["y"]}})
    notebook = source.read(write_notebook(tmp_path / "n.ipynb", "0", mocked))
    assert source.remarks(notebook) == [
        "cells[1]: nbmake's `mock` is not supported; the cell runs as it stands",
        "cells[1]: nbmake's `post_cell_execute` is not supported; the cell runs as it stands",
    ]


def test_ids_that_a_converter_makes_up_are_nobodys(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "language": "python", "input": ["1"], "outputs": []}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell]}]}
    assert [each.cell_id for each in cells(dump(tmp_path / "3.ipynb", old))] == [None]
    bare = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": []}
    younger = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [bare]}
    file = dump(tmp_path / "4.ipynb", younger)
    assert [each.cell_id for each in cells(file, parameters={"alpha": 1})] == [None, None]
    (tmp_path / "t.py").write_text("# %%\n1\n")
    assert [each.cell_id for each in cells(tmp_path / "t.py")] == [None]


def test_ids_of_the_file_stay_with_parameters(tmp_path: Path) -> None:
    bare = {"cell_type": "code", "id": "mine", "source": "1", "metadata": {}, "outputs": []}
    new = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [bare]}
    file = dump(tmp_path / "n.ipynb", new)
    assert [each.cell_id for each in cells(file, parameters={"alpha": 1})] == [None, "mine"]


def test_half_a_character_cannot_be_sent(tmp_path: Path) -> None:
    def cell(source: str, *tags: str) -> dict[str, object]:
        return {"cell_type": "code", "source": source, "metadata": {"tags": tags}, "outputs": []}

    document = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}}
    half, skipped = cell("# \ud83d"), cell("# \ud83d", "skip-execution")
    file = dump(tmp_path / "n.ipynb", document | {"cells": [cell("1"), skipped, half]})
    found = source.unsendable(cells(file))
    assert found is not None
    assert (found[0].origin, found[1][:42]) == (2, "the source holds half a character (U+D83D)")
    assert source.unsendable(cells(dump(file, document | {"cells": [skipped]}))) is None


def test_cells_that_name_a_kernel_of_sos_are_noted(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": "1", "metadata": {"kernel": "R"}, "outputs": []}
    document = {"nbformat": 4, "nbformat_minor": 4, "cells": [cell]}
    sos = dump(tmp_path / "n.ipynb", document | {"metadata": {"kernelspec": {"name": "sos"}}})
    assert source.remarks(source.read(sos))[0].startswith("cells name kernels of SoS (R), which")
    other = dump(tmp_path / "o.ipynb", document | {"metadata": {}})
    assert source.remarks(source.read(other)) == []
