"""A collection is the same one in every clone."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from pasts import opened, past_run, record, result

from nbpipe.history import identity

if TYPE_CHECKING:
    from pathlib import Path


def git(*arguments: str | Path) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e@x", *map(str, arguments)],
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    git("init", "-q", folder)
    for number in range(2):
        git("-C", folder, "commit", "-q", "--allow-empty", "-m", str(number))
    return folder


def test_a_clone_has_a_key_in_common(repository: Path, tmp_path: Path) -> None:
    git("clone", "-q", repository, tmp_path / "clone")
    (key,) = identity.keys(repository)
    assert key.startswith("root:")
    assert identity.keys(tmp_path / "clone")[0] == key


def test_a_shallow_clone_is_known_by_its_origin(repository: Path, tmp_path: Path) -> None:
    git("clone", "-q", f"file://{repository}", tmp_path / "whole")
    git("clone", "-q", "--depth=1", f"file://{repository}", tmp_path / "shallow")
    (key,) = identity.keys(tmp_path / "shallow")
    assert key.startswith("origin:")
    assert identity.keys(tmp_path / "whole")[1] == key


def test_two_folders_of_a_repository_are_two_collections(repository: Path) -> None:
    (repository / "inner").mkdir()
    (outer,) = identity.keys(repository)
    assert identity.keys(repository / "inner") == (f"{outer}inner/",)


def test_a_name_is_all_that_counts(repository: Path) -> None:
    assert identity.keys(repository, name="ours") == ("name:ours",)


def test_a_folder_outside_of_a_repository_is_known_by_its_path(tmp_path: Path) -> None:
    assert identity.keys(tmp_path) == (f"path:{tmp_path.resolve()}",)


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/Org/Repo.git",
        "https://user:password@github.com/org/repo/",
        "git@github.com:Org/Repo.git",
        "ssh://git@GitHub.com/Org/Repo",
    ],
)
def test_an_origin_is_the_same_however_it_is_written(origin: str) -> None:
    assert identity.address(origin) == "github.com/org/repo"


def test_results_are_found_in_every_clone(repository: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    git("clone", "-q", f"file://{repository}", tmp_path / "whole")
    git("clone", "-q", "--depth=1", f"file://{repository}", tmp_path / "shallow")
    with opened(url, repository) as history:
        record(history, past_run("r1"), result("a.ipynb", "failed"))
    with opened(url, tmp_path / "whole") as history:
        assert [run.id for run in history.runs(9)] == ["r1"]
        record(history, past_run("r2", days=1), result("a.ipynb", "passed"))
    with opened(url, tmp_path / "shallow") as history:
        assert [run.id for run in history.runs(9)] == ["r2", "r1"]
