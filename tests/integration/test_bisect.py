from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ondisk import write_notebook

if TYPE_CHECKING:
    from pathlib import Path


class Repository:
    """A collection below a repository, one commit at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.root = self.folder / "collection"
        self.root.mkdir(parents=True)
        self.environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.environ["PYTHONWARNINGS"] = ""
        self.git("init", "-q", "-b", "main")
        write_notebook(self.root / "a.ipynb", "from data import value", "1 / value")

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, code: str, subject: str) -> str:
        (self.root / "data.py").write_text(code)
        self.git("add", ".")
        self.git("commit", "-qm", subject, "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def nbpipe(self, *words: str, code: int = 0) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "nbpipe", *words],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_commit_that_broke_a_notebook_is_found_with_few_runs(repository: Repository) -> None:
    commits = [repository.commit(f"value = {n}", f"number {n}") for n in range(1, 8)]
    guilty = repository.commit("value = 0", "Zero, of all numbers")
    commits += [guilty, *(repository.commit(f"value = 0  # {n}", "more") for n in range(8))]
    out, err = repository.nbpipe("bisect", "a.ipynb", "--good", commits[0], "--retries", "0")
    assert out.startswith(f"the first bad commit:\n\n  {guilty}\n  Ada <ada@example.org>, 20")
    assert "\n  Zero, of all numbers\n    M collection/data.py\n" in out
    assert 5 <= len(err.splitlines()) <= 7
    assert f"  {guilty[:12]}  bad   ZeroDivisionError: division by zero" in err
    assert repository.git("worktree", "list").count("\n") == 0
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("for-each-ref", "refs/bisect") == ""
    assert "no history yet" in repository.nbpipe("history", code=4)[1]


def test_what_the_history_knows_is_not_run_again(repository: Repository) -> None:
    good = repository.commit("value = 1", "good")
    repository.nbpipe("test", "a.ipynb", "--no-fork")
    guilty = repository.commit("value = 0", "bad")
    repository.nbpipe("test", "a.ipynb", "--no-fork", code=1)
    out, err = repository.nbpipe("bisect", "a.ipynb", "--good", good)
    assert guilty in out
    assert err.count("(run 2") == 2
    assert "(run" not in repository.nbpipe("bisect", "a.ipynb", "--good", good, "--no-history")[1]


def test_commits_that_cannot_be_judged_are_told_together(repository: Repository) -> None:
    good = repository.commit("value = 1", "good")
    (repository.root / "nbpipe.toml").write_text("nonsense = 1\n")
    skipped = repository.commit("value = 2", "a configuration that is none")
    (repository.root / "nbpipe.toml").unlink()
    last = repository.commit("value = 0", "bad")
    out, err = repository.nbpipe("bisect", "a.ipynb", "--good", good, "--retries", "0")
    assert "one of these is the first bad commit" in out
    assert skipped in out
    assert last in out
    assert "1 problem" in err or "a problem" in err


def test_a_notebook_that_is_not_there_is_told_by_its_own_name(repository: Repository) -> None:
    bad = repository.commit("value = 0", "bad")
    _, err = repository.nbpipe("bisect", "no.ipynb", "--good", "HEAD", code=4)
    told = f"--bad {bad[:12]}: no.ipynb cannot be judged there: no.ipynb: no such file or folder"
    assert told in err


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("HEAD", "HEAD", "--good "),
        ("HEAD~1", "HEAD~1", "--bad "),
        ("nosuch", "HEAD", "nosuch: not a revision"),
        ("--output=x", "HEAD", "not a revision"),
    ],
)
def test_a_revision_that_is_not_what_it_should_be_is_told(
    repository: Repository, good: str, bad: str, said: str
) -> None:
    repository.commit("value = 1", "good")
    repository.commit("value = 0", "bad")
    words = [f"--good={good}", f"--bad={bad}", "--retries", "0"]
    assert said in repository.nbpipe("bisect", "a.ipynb", *words, code=4)[1]
