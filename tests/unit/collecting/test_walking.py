"""Links, circles, vanished and closed folders, and how often a file is read."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.collecting.conftest import Tree

NOBODY = 65534


def test_a_symlink_loop_is_followed_once(tree: Tree) -> None:
    tree.notebook("a/b/one.ipynb")
    (tree.root / "a/b/up").symlink_to("../..")
    (tree.root / "a/self").symlink_to(".")
    (tree.root / "circle").symlink_to("circle")
    assert tree.paths() == ["a/b/one.ipynb"]


def test_a_link_to_a_folder_above_is_a_loop_too(tree: Tree) -> None:
    tree.notebook("root/one.ipynb", "next-door/two.ipynb")
    tree.write("root/nbpipe.toml")
    (tree.root / "root/above").symlink_to("..")
    (tree.root / "root/everything").symlink_to("/")
    assert tree.paths(cwd="root") == ["one.ipynb"]


def test_a_link_to_a_folder_above_may_be_named(tree: Tree) -> None:
    tree.notebook("root/one.ipynb")
    (tree.root / "root/above").symlink_to("..")
    assert tree.paths("root/above/root/*.ipynb") == ["root/above/root/one.ipynb"]
    assert tree.paths("root/above") == ["root/above/root/one.ipynb"]


def test_a_folder_is_listed_under_its_real_path(tree: Tree) -> None:
    tree.notebook("real/one.ipynb")
    (tree.root / "a-link").symlink_to("real")
    assert tree.paths() == ["real/one.ipynb"]
    assert tree.paths("a-link", "real") == ["real/one.ipynb"]


def test_a_linked_folder_from_elsewhere_is_followed(tree: Tree) -> None:
    tree.notebook("elsewhere/one.ipynb")
    tree.write("root/nbpipe.toml")
    (tree.root / "root/link").symlink_to("../elsewhere")
    (tree.root / "root/second").symlink_to("../elsewhere")
    assert tree.paths(cwd="root") == ["link/one.ipynb"]


def test_a_glob_through_a_link_finds_what_is_there(tree: Tree) -> None:
    tree.notebook("real/one.ipynb")
    (tree.root / "a-link").symlink_to("real")
    assert tree.paths("a-link/*.ipynb") == ["a-link/one.ipynb"]
    assert tree.paths("a-*/*.ipynb", "real") == ["real/one.ipynb"]


def test_a_linked_file_runs_once_under_its_real_path(tree: Tree) -> None:
    tree.notebook("one.ipynb")
    (tree.root / "a.ipynb").symlink_to("one.ipynb")
    plan = tree.plan()
    assert [task.path for task in plan.tasks] == ["one.ipynb"]
    assert [(out.path, out.reason) for out in plan.excluded] == [
        ("a.ipynb", "the same file as one.ipynb")
    ]


def test_a_named_link_runs_under_its_own_path(tree: Tree) -> None:
    tree.notebook("one.ipynb", "two.ipynb")
    (tree.root / "a.ipynb").symlink_to("one.ipynb")
    assert tree.paths("a.ipynb") == ["a.ipynb"]


def test_a_dangling_link_is_a_notebook_that_cannot_be_read(tree: Tree) -> None:
    (tree.root / "gone.ipynb").symlink_to("nowhere.ipynb")
    for task in (tree.task(), tree.task("gone.ipynb")):
        assert task.failure is not None
        assert task.failure.category == "invalid-notebook"
        assert task.failure.name == "FileNotFoundError"
        assert task.failure.message == "the file cannot be read: No such file or directory"


def test_a_pipe_is_not_waited_for(tree: Tree) -> None:
    os.mkfifo(tree.root / "pipe.ipynb")
    failure = tree.task().failure
    assert failure is not None
    assert failure.message == "the file is not a notebook: it is not a regular file"


def test_a_folder_with_the_name_of_a_notebook_is_a_folder(tree: Tree) -> None:
    tree.notebook("book.ipynb/one.ipynb")
    assert tree.paths() == ["book.ipynb/one.ipynb"]


def test_each_notebook_is_opened_once(tree: Tree) -> None:
    names = [f"f{number % 7}/n{number}.ipynb" for number in range(100)]
    tree.notebook(*names)
    opened: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and watching and str(arguments[0]).endswith(".ipynb"):
            opened.append(str(arguments[0]))

    watching = True
    sys.addaudithook(note)  # there is no way to take it out again, so it is told to be still
    try:
        assert len(tree.paths(".", "**/*.ipynb", names[0], "f1", "f2/*")) == 100
    finally:
        watching = False
    assert sorted(opened) == sorted(str(tree.root / name) for name in names)


def test_a_glob_without_stars_for_folders_looks_into_no_folder(tree: Tree) -> None:
    tree.notebook("top.ipynb", "deep/er/x.ipynb")
    listed: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.scandir" and watching:
            listed.append(str(arguments[0]))

    watching = True
    sys.addaudithook(note)
    try:
        assert tree.paths("*.ipynb") == ["top.ipynb"]
    finally:
        watching = False
    assert listed == [str(tree.root)]


@pytest.fixture
def closed(tree: Tree) -> Iterator[Tree]:
    """A tree with a folder that this user cannot list."""
    if os.geteuid() == 0:  # root can list everything: be nobody, in a place nobody can reach
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            public = type(tree)(Path(place).resolve())
            _close(public)
            os.seteuid(NOBODY)
            try:
                yield public
            finally:
                os.seteuid(0)
    else:
        _close(tree)
        yield tree
        (tree.root / "secret").chmod(0o755)


def _close(tree: Tree) -> None:
    tree.notebook("open/a.ipynb", "top.ipynb", "secret/lost.ipynb")
    (tree.root / "secret").chmod(0)


def test_a_closed_folder_is_an_error_not_a_silent_loss(closed: Tree) -> None:
    for patterns in ((), (".",), ("**/*.ipynb",), ("secret",), ("s*",)):
        with pytest.raises(UsageError) as refused:
            closed.plan(*patterns)
        assert str(refused.value) == (
            f"cannot list folder {closed.root}/secret: Permission denied\n"
            "  Make it readable or exclude it: its notebooks would be lost in silence."
        )


def test_a_closed_folder_may_be_excluded(closed: Tree) -> None:
    assert closed.paths(exclude=("secret",)) == ["open/a.ipynb", "top.ipynb"]


def test_a_closed_folder_that_no_pattern_asks_for_does_not_matter(closed: Tree) -> None:
    assert closed.paths("open") == ["open/a.ipynb"]
    assert closed.paths("*.ipynb") == ["top.ipynb"]


def test_a_file_in_a_closed_folder_cannot_be_reached(closed: Tree) -> None:
    with pytest.raises(UsageError, match=r"secret/lost\.ipynb: cannot be reached: Permission"):
        closed.plan("secret/lost.ipynb")
