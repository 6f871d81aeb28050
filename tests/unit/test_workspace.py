"""Where executed copies and logs go."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbformat import v4

from nbpipe.execution.workspace import Workspace, copy_path
from nbpipe.model import Task

if TYPE_CHECKING:
    from nbpipe.execution.kernels.spool import StreamText


def task(path: str) -> Task:
    return Task(path=path, file=Path("/c", path), why=path, kernel="python3")


@pytest.mark.parametrize(
    ("path", "copy"),
    [
        ("n.ipynb", "n.ipynb"),
        ("a/b c/ñ.ipynb", "a/b c/ñ.ipynb"),
        ("v1.2.ipynb", "v1.2.ipynb"),
        ("a.md", "a.md.ipynb"),
        ("sub/a.py", "sub/a.py.ipynb"),
        ("a.md.ipynb", "a.md.ipynb.ipynb"),
        ("a.attempt-2.ipynb", "a.attempt-2.ipynb.ipynb"),
    ],
)
def test_a_copy_has_the_place_of_its_source(path: str, copy: str) -> None:
    assert copy_path(task(path)).as_posix() == copy


def test_no_two_notebooks_share_a_copy() -> None:
    paths = ["a.ipynb", "a.md", "a.py", "a.md.ipynb", "a.md.ipynb.ipynb", "a.ipynb.ipynb"]
    paths += ["/other/a.ipynb", "/more/a.ipynb", "../a.ipynb", "../b/a.ipynb", "sub/a.ipynb"]
    assert len({copy_path(task(path)) for path in paths}) == len(paths)


@pytest.mark.parametrize("path", ["/other/a.ipynb", "../a.ipynb", "sub/../../a.ipynb"])
def test_a_copy_stays_inside_whatever_the_source(path: str) -> None:
    copy = copy_path(task(path))
    assert copy.parts[0] == "outside"
    assert copy.name == "a.ipynb"
    assert not copy.is_absolute()
    assert ".." not in copy.parts


@pytest.mark.parametrize("letter", ["a", "é", "字", "🔭"])
def test_the_longest_names_leave_room_for_every_ending(tmp_path: Path, letter: str) -> None:
    stem = letter * ((255 - len(".ipynb")) // len(letter.encode()))
    copy = copy_path(task(f"{stem}.ipynb"))
    assert copy != copy_path(task(f"{stem[:-1]}b.ipynb"))
    workspace = Workspace(tmp_path, task(f"{stem}.ipynb"), 10)
    assert workspace.write(v4.new_notebook()) is None
    workspace.close()
    assert {path.suffix for path in tmp_path.iterdir()} == {".ipynb", ".log"}


def test_later_attempts_stand_beside_the_first(tmp_path: Path) -> None:
    for attempt in (1, 2):
        workspace = Workspace(tmp_path, task("s/n.ipynb"), attempt)
        assert workspace.write(v4.new_notebook()) is None
        workspace.close()
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == ["n.attempt-2.ipynb", "n.attempt-2.log", "n.ipynb", "n.log"]
    assert copy_path(task("s/n.ipynb")) == PurePosixPath("s/n.ipynb")


def test_a_copy_is_what_jupyter_writes(tmp_path: Path) -> None:
    notebook = v4.new_notebook(cells=[v4.new_code_cell("print('ä')\n1")])
    notebook.cells[0].outputs = [v4.new_output("stream", name="stdout", text="ä\nb\n")]
    workspace = Workspace(tmp_path, task("n.ipynb"), 1)
    assert workspace.write(notebook) is None
    workspace.close()
    nbformat.write(notebook, tmp_path / "jupyter.ipynb")
    assert (tmp_path / "n.ipynb").read_bytes() == (tmp_path / "jupyter.ipynb").read_bytes()


def test_long_text_is_put_in_its_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, task("n.ipynb"), 1)
    long: StreamText = workspace.spool.new()
    for _ in range(30):
        workspace.spool.append(long, 'a "quoted" line\n' * 10_000)
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1")])
    value = workspace.spool.value(long)
    assert len(value) < 100
    notebook.cells[0].outputs = [v4.new_output("stream", name="stdout", text=value)]
    assert workspace.write(notebook) is None
    workspace.close()
    copy = nbformat.read(tmp_path / "n.ipynb", as_version=4)
    assert copy.cells[0].outputs[0].text == 'a "quoted" line\n' * 300_000


def test_a_copy_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").mkdir()
    (tmp_path / "n.ipynb/occupied").touch()
    workspace = Workspace(tmp_path, task("n.ipynb"), 1)
    problem = workspace.write(v4.new_notebook())
    workspace.close()
    assert problem == "the executed copy could not be written: Is a directory"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.ipynb", "n.log"]


def test_a_copy_that_no_json_can_be_made_of_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, task("n.ipynb"), 1)
    notebook = v4.new_notebook(metadata={"odd": {1, 2}})
    problem = workspace.write(notebook)
    assert problem is not None
    assert problem.startswith("the executed copy could not be written: TypeError: ")
    assert "Traceback" in workspace.said(0)
    workspace.close()
    assert [path.name for path in tmp_path.iterdir()] == ["n.log"]


def test_a_log_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a file, where a folder should be", encoding="utf-8")
    workspace = Workspace(tmp_path, task("s/n.ipynb"), 1)
    workspace.logger.info("nowhere to go")
    assert workspace.said(0) == ""
    problem = workspace.write(v4.new_notebook())
    assert problem == "the executed copy could not be written: Not a directory"
    workspace.close()


def test_what_was_said_since_a_moment_is_the_end_of_the_log(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, task("n.ipynb"), 1)
    workspace.log.write(b"early\n")
    moment = workspace.log_bytes()
    workspace.log.write(b"late \xff\n")
    assert workspace.said(moment) == "late \ufffd\n"
    workspace.log.write(b"x" * 100_000)
    assert workspace.said(0) == "x" * 8_000
    workspace.close()
