"""Our patterns against git's own reading of them, on many small trees."""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from nbpipe import config
from nbpipe.collecting import Selection, plan
from nbpipe.errors import NothingCollected

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(25)
# only ASCII: a `?` is one byte of a name for git, and one letter for us
FOLDERS = ("a", "b", "ab", "a b", "[a]", ".h", "drafts")
STEMS = ("a", "b", "ab", "a.b", "x[1]", "-x", "#x", "!x", " x", "x ", "T")
PIECES = (
    "a",
    "b",
    "*",
    "**",
    "?",
    "a*",
    "*b",
    "[ab]",
    "[!a]",
    "[a-]",
    "?h",
    "drafts",
    "x\\[1\\]",
    "[[:alpha:]]",
    "[b-a]*",
    "[[a]*",
    "[a\\]]*",
    "a[!-]b",
)
ENDS = (
    "",
    "/",
    "*.ipynb",
    "a.ipynb",
    "?.ipynb",
    "[!a]*.ipynb",
    "a?b.ipynb",
    "x*",
    "[![:alpha:]]*.ipynb",
)


def git(folder: Path, *arguments: str, text: str = "") -> list[str]:
    """Return the NUL-separated answer of git; 1 is its code for an empty one."""
    done = subprocess.run(
        ["git", "-c", "core.precomposeunicode=false", *arguments],
        cwd=folder,
        input=text.encode(),
        capture_output=True,
        check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"},
    )
    assert done.returncode in {0, 1}, done.stderr
    return sorted(filter(None, done.stdout.decode().split("\0")))


def grow(folder: Path, dice: random.Random) -> list[str]:
    """Make a repository of about thirty notebooks and return their paths."""
    paths = set()
    for _ in range(30):
        depth = dice.randrange(4)
        parts = [dice.choice(FOLDERS) for _ in range(depth)]
        paths.add("/".join([*parts, f"{dice.choice(STEMS)}.ipynb"]))
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text('{"cells": [], "metadata": {}}')
    git(folder, "init", "-q")
    return sorted(paths)


def pattern(dice: random.Random) -> str:
    pieces = [dice.choice(PIECES) for _ in range(dice.randrange(3))]
    return "/".join([*pieces, dice.choice(ENDS) or dice.choice(PIECES)])


def run(folder: Path, *patterns: str, **test: object) -> list[str]:
    """Return what would run, without the exclusions by default."""
    loaded = config.load(folder)
    settings = msgspec.structs.replace(
        loaded.settings,
        test=msgspec.structs.replace(loaded.settings.test, default_exclude=False, **test),
    )
    try:
        found = plan(
            Selection(cwd=folder, patterns=patterns),
            replace(loaded, root=folder, settings=settings),
            kernels={},
        )
    except NothingCollected:
        return []
    return sorted(task.path for task in found.tasks)


@pytest.mark.parametrize("seed", SEEDS)
def test_exclude_is_read_as_a_gitignore(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  (a small world, the same every time)
    paths = grow(tmp_path, dice)
    for _ in range(8):
        lines = [pattern(dice) for _ in range(dice.randrange(1, 4))]
        (tmp_path / ".git/info/exclude").write_text("\n".join(lines) + "\n")
        ignored = git(tmp_path, "check-ignore", "-z", "--stdin", text="\0".join(paths))
        expected = sorted(set(paths) - set(ignored))
        assert run(tmp_path, exclude=tuple(lines)) == expected, lines


@pytest.mark.parametrize("seed", SEEDS)
def test_a_negated_line_is_read_as_git_does_where_git_looks(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    paths = grow(tmp_path, dice)
    for _ in range(8):
        # lines that match files only: git does not look into an ignored folder, we do
        lines = [f"{'!' * dice.randrange(2)}**/{dice.choice(ENDS[2:])}" for _ in range(3)]
        (tmp_path / ".git/info/exclude").write_text("\n".join(lines) + "\n")
        ignored = git(tmp_path, "check-ignore", "-z", "--stdin", text="\0".join(paths))
        assert run(tmp_path, exclude=tuple(lines)) == sorted(set(paths) - set(ignored)), lines


@pytest.mark.parametrize("seed", SEEDS)
def test_a_glob_is_read_as_gits_glob(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    grow(tmp_path, dice)
    git(tmp_path, "add", "--all", ".")
    for _ in range(8):
        glob = f"{pattern(dice)}"
        if not set(glob) & set("*?["):
            continue
        below = glob.rstrip("/")
        wanted = [] if glob.endswith("/") else [f":(top,glob){glob}"]
        expected = git(tmp_path, "ls-files", "-z", *wanted, f":(top,glob){below}/**")
        assert run(tmp_path, glob) == expected, glob
