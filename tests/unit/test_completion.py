"""What a shell proposes: asked as bash asks, through click."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete
from pasts import opened, past_run, record, result

from nbpipe.cli import nbpipe
from nbpipe.cli.getlatest import command as getlatest
from nbpipe.reference.store import VARIABLE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a collection with a profile and two runs, as the working directory."""
    (tmp_path / "nbpipe.toml").write_text(
        "[history]\nurl = 'sqlite:///history.sqlite'\n[profiles.big]\nscheduler = 'local'\n"
        "[[collection]]\nname = 'notebooks-latest'\norigin = 'https://h/x'\nroot = '/srv'\n",
        encoding="utf-8",
    )
    with opened("sqlite:///history.sqlite", tmp_path) as history:
        for number in (1, 2):
            run = past_run(f"2026013{number}T120000-abcdef", days=number)
            record(history, run, result("a.ipynb", "passed"))
    run = tmp_path / "store" / "desi" / "runs" / "20260101T120000-a1b2c3"
    run.mkdir(parents=True)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proposed(*words: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return type and value of each proposal for the last word."""
    monkeypatch.setenv("COMP_WORDS", " ".join(("nbpipe", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    complete = BashComplete(nbpipe, {}, "nbpipe", "_NBPIPE_COMPLETE")
    found = complete.get_completions(list(words[:-1]), words[-1])
    return [(each.type, each.value) for each in found]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("command", ["test", "check", "doctor", "history", "bisect", "new"])
def test_notebooks_are_paths_of_the_shells_own(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proposed(command, "no", monkeypatch=monkeypatch) == [("file", "no")]


def test_the_folder_of_a_copy_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = BashComplete(getlatest, {}, "getlatest", "_GETLATEST_COMPLETE")
    found = complete.get_completions([], "fo")
    assert [(each.type, each.value) for each in found] == [("file", "fo")]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("test", "--kernel", "pyth"), ("plain", "python3")),
        (("test", "--report", "ju"), ("plain", "junit")),
        (("test", "--report", "html=re"), ("file", "re")),
        (("test", "--cluster", "b"), ("plain", "big")),
        (("test", "--resume", "20260132"), ("plain", "20260132T120000-abcdef")),
        (("test", "--resume", "la"), ("plain", "latest")),
        (("te",), ("plain", "test")),
        (("show", "20260131"), ("plain", "20260131T120000-abcdef")),
        (("notify", "l"), ("plain", "latest")),
        (("publish", "note"), ("plain", "notebooks-latest")),
        (("reference", "submit", "a.ipynb", "--profile", "b"), ("plain", "big")),
        (("reference", "status", "20260101"), ("plain", "20260101T120000-a1b2c3")),
    ],
)
def test_a_word_is_completed(
    words: tuple[str, ...], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert expected in proposed(*words, monkeypatch=monkeypatch)


def test_what_is_wrong_is_passed_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "nbpipe.toml").write_text("[test", encoding="utf-8")
    assert proposed("test", "--cluster", "b", monkeypatch=monkeypatch) == []
    assert proposed("test", "--resume", "2", monkeypatch=monkeypatch) == []
    os.unlink("nbpipe.toml")  # noqa: PTH108
    assert proposed("test", "--resume", "2", monkeypatch=monkeypatch) == []
