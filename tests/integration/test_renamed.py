"""A notebook that was renamed is the same notebook: for `--lf`, `--ff`, `--resume` and `bisect`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ondisk import Collection, write_notebook

from nbpipe import worktree

if TYPE_CHECKING:
    from pathlib import Path

LONG = "\n".join(f"value_{number} = {number} ** 2" for number in range(40))


def git(root: Path, *words: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", *names, "-C", str(root), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, subject: str) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-qm", subject, "--allow-empty")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def failed(collection: Collection, tmp_path: Path) -> Collection:
    """Return a repository in `sub`, of whose two notebooks `old.ipynb` failed last."""
    git(collection.root, "init", "-q", "-b", "main")
    made = Collection(collection.root / "sub", tmp_path / "output")
    made.environ["XDG_STATE_HOME"] = str(tmp_path / "state")
    made.notebook("old.ipynb", LONG, "1/0")
    made.notebook("good.ipynb", "1")
    (made.root / "nbpipe.toml").touch()
    commit(collection.root, "both")
    assert made.test().code == 1
    return made


def planned(collection: Collection, *options: str) -> list[str]:
    """Return which notebooks would run, in their order."""
    ended = collection.test("--list", *options)
    assert ended.code == 0, ended.err
    return re.findall(r"^ +\d+  (\S+) ", ended.out, re.MULTILINE)


def test_one_that_failed_last_under_another_name_runs(failed: Collection) -> None:
    git(failed.root, "mv", "old.ipynb", "new.ipynb")
    assert planned(failed, "--lf") == ["new.ipynb"]
    commit(failed.root, "renamed")
    assert planned(failed, "--lf") == ["new.ipynb"]
    assert planned(failed, "--ff") == ["new.ipynb", "good.ipynb"]


def test_one_that_was_moved_and_not_added_yet_runs(failed: Collection) -> None:
    (failed.root / "folder").mkdir()
    (failed.root / "old.ipynb").rename(failed.root / "folder/new.ipynb")
    assert planned(failed, "--lf") == ["folder/new.ipynb"]


def test_renamed_twice_and_rewritten_in_between_it_runs(failed: Collection) -> None:
    git(failed.root, "mv", "old.ipynb", "second.ipynb")
    commit(failed.root, "once")
    failed.notebook("second.ipynb", LONG.replace("value", "other"), "1/0")
    commit(failed.root, "rewritten")
    git(failed.root, "mv", "second.ipynb", "third.ipynb")
    commit(failed.root, "twice")
    assert planned(failed, "--lf") == ["third.ipynb"]


def test_a_copy_and_a_new_notebook_are_others(failed: Collection) -> None:
    failed.notebook("copy.ipynb", LONG, "1/0")
    failed.notebook("new.ipynb", "x = 1")
    commit(failed.root, "more")
    assert planned(failed, "--lf") == ["old.ipynb"]


def test_a_run_that_is_resumed_knows_it(failed: Collection) -> None:
    git(failed.root, "mv", "old.ipynb", "new.ipynb")
    commit(failed.root, "renamed")
    ended = failed.test("--resume")
    assert "nothing to run" in ended.out
    assert "new.ipynb" not in [each["path"] for each in (ended.report or {})["notebooks"]]


def test_bisect_follows_a_notebook_to_its_former_names(collection: Collection) -> None:
    root = collection.root
    git(root, "init", "-q", "-b", "main")
    (root / "nbpipe.toml").touch()
    write_notebook(root / "a/first.ipynb", LONG)
    good = commit(root, "good")
    write_notebook(root / "a/first.ipynb", LONG, "1 / 0")
    broken = commit(root, "broken")
    git(root, "mv", "a", "b")
    commit(root, "another folder")
    git(root, "mv", "b/first.ipynb", "b/last.ipynb")
    commit(root, "another name")
    command = [sys.executable, "-m", "nbpipe", "bisect", "b/last.ipynb", "--good", good]
    done = subprocess.run(
        command,
        cwd=root,
        env=os.environ | {"PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert broken in done.stdout
    assert "broken" in done.stdout


def test_renames_are_told_from_a_folder_up_to_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write_notebook(tmp_path / "x/1.ipynb", LONG)
    write_notebook(tmp_path / "y/1.ipynb", LONG + "\nmore = 1")
    first = commit(tmp_path, "1")
    git(tmp_path, "mv", "x/1.ipynb", "x/2.ipynb")
    second = commit(tmp_path, "2")
    git(tmp_path, "mv", "x/2.ipynb", "x/3\nä.ipynb")
    git(tmp_path, "mv", "y/1.ipynb", "y/2.ipynb")
    assert worktree.renames(tmp_path / "x", first) == {"3\nä.ipynb": "1.ipynb"}
    assert worktree.renames(tmp_path / "x", first, second) == {"2.ipynb": "1.ipynb"}
    assert worktree.renames(tmp_path, second) == {
        "x/3\nä.ipynb": "x/2.ipynb",
        "y/2.ipynb": "y/1.ipynb",
    }
