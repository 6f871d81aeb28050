"""`nbpipe check` as a person calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cells import code, notebook, prose
from ondisk import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE = "open('/home/jane/a.fits')"


def nbpipe(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbpipe", "check", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a collection with a warning, an error and a file that is no notebook."""
    files: dict[str, dict[str, Any] | str] = {
        "a/warning.ipynb": notebook(prose("# Title"), code(PRIVATE)),
        "error.ipynb": notebook(prose("# Title\n[next](gone.ipynb)")),
        "broken.ipynb": "<<<<<<< HEAD\n",
    }
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
        file.write_text(text, encoding="utf-8")
    (tmp_path / "nbpipe.toml").write_text("[check]\nruff = 'off'\n", encoding="utf-8")
    return tmp_path


def test_errors_decide_and_warnings_do_where_strict(folder: Path) -> None:
    ended = nbpipe(folder)
    assert ended.returncode == 1
    assert "cells[0]:2" in ended.stdout
    assert "2 errors, 1 warning in 3 notebooks" in ended.stdout
    assert nbpipe(folder, "a").returncode == 0
    assert nbpipe(folder, "a", "--strict").returncode == 1


def test_rules_are_chosen_on_the_command_line_and_in_the_file(folder: Path) -> None:
    assert "NBP209" not in nbpipe(folder, "--ignore", "NBP2").stdout
    (folder / "nbpipe.toml").write_text(
        "[check]\nignore = ['NBP0']\nper-file-ignores = {'error.ipynb' = ['NBP601']}\n",
        encoding="utf-8",
    )
    ended = nbpipe(folder, "--format", "json")
    assert [each["rule"] for each in json.loads(ended.stdout)["findings"]] == ["NBP209"]
    assert ended.returncode == 0


def test_a_baseline_is_written_once_and_used_from_then_on(folder: Path) -> None:
    ended = nbpipe(folder, "--write-baseline")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "3 findings written" in ended.stdout
    assert 'baseline = "nbpipe-baseline.json"' in ended.stdout
    again = nbpipe(folder, "--baseline", "nbpipe-baseline.json")
    assert again.returncode == 0
    assert "3 in the baseline" in again.stdout


def test_sources_are_written_with_fix_only(folder: Path) -> None:
    file = folder / "a/warning.ipynb"
    file.write_text(json.dumps(notebook(prose("# T"), colab={}), indent=1), encoding="utf-8")
    before = file.read_bytes()
    assert nbpipe(folder, "a").returncode == 0
    shown = nbpipe(folder, "a", "--diff")
    assert shown.returncode == 1
    assert '-  "colab": {}' in shown.stdout
    assert file.read_bytes() == before
    assert nbpipe(folder, "a", "--fix").returncode == 0
    assert b"colab" not in file.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--select", "NBP999"), "there is no rule NBP999"),
        (("--explain", "X1"), "there is no rule X1"),
        (("gone.ipynb",), "gone.ipynb"),
        (("--baseline", "gone.json"), "gone.json: cannot be read"),
        (("--format", "xml"), "xml"),
    ],
)
def test_wrong_input_says_what_and_writes_nothing(
    words: tuple[str, ...], said: str, folder: Path
) -> None:
    before = {file: file.read_bytes() for file in folder.rglob("*.ipynb")}
    ended = nbpipe(folder, *words)
    assert ended.returncode == 4
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert {file: file.read_bytes() for file in folder.rglob("*.ipynb")} == before


def test_a_secret_is_never_shown(folder: Path) -> None:
    secret = "Tr0ub4dor&3"  # noqa: S105  (it must look like one)
    (folder / "s.ipynb").write_text(
        json.dumps(notebook(code(f"password = '{secret}'"))), encoding="utf-8"
    )
    for form in ("full", "concise", "json", "sarif", "github", "gitlab"):
        ended = nbpipe(folder, "s.ipynb", "--format", form)
        assert "NBP301" in ended.stdout
        assert secret not in ended.stdout + ended.stderr


def test_rules_are_listed_and_explained(folder: Path) -> None:
    listed = nbpipe(folder, "--explain", "ALL").stdout.splitlines()
    assert len(listed) > 50
    ended = nbpipe(folder, "--explain", "dead-link")
    assert ended.stdout.startswith("NBP601 dead-link (error, on by default)")


def test_our_own_collection_passes() -> None:
    ended = nbpipe(REPOSITORY / "collections", "--strict")
    assert ended.returncode == 0, ended.stdout
