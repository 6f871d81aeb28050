"""The command line as a shell sees it: entry points, streams, permissions, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ondisk import Collection

    Need = Callable[[bool, str], None]

NOBODY = 65534
NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def shell(
    *command: str, cwd: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, with the scripts beside this Python found first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    clean = {key: os.environ[key] for key in os.environ if key not in {"NO_COLOR", "FORCE_COLOR"}}
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean | {"PATH": path} | (environ or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one notebook."""
    (tmp_path / "first.ipynb").write_text(NOTEBOOK)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "nbpipe"], ["nbpipe"], ["jupyter", "nbpipe"], ["jupyter-nbpipe"]],
    ids=" ".join,
)
def test_every_way_to_start_is_the_same(command: list[str], root: Path) -> None:
    helped = shell(*command, "--help", cwd=root)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith("Usage: nbpipe [OPTIONS] COMMAND [ARGS]...\n")
    assert shell(*command, "--version", cwd=root).stdout == f"nbpipe, version {__version__}\n"
    assert shell(*command, "test", "nosuch/*", cwd=root).returncode == 5
    assert shell(*command, "test", "--nosuch", cwd=root).returncode == 4


def test_errors_go_to_standard_error(root: Path) -> None:
    done = shell("nbpipe", "test", "gone.ipynb", cwd=root)
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith("nbpipe: gone.ipynb: no such file or folder\n")


@pytest.mark.parametrize(
    ("environ", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_a_pipe_gets_colours_only_where_they_are_forced(
    root: Path,
    environ: dict[str, str],
    colored: bool,  # noqa: FBT001  (a column of the table above)
) -> None:
    done = shell("nbpipe", "test", "--list", cwd=root, environ=environ)
    assert done.returncode == 0
    assert ("\x1b[" in done.stdout) is colored


def test_a_reader_that_leaves_early_is_no_error(root: Path) -> None:
    for number in range(3000):
        (root / f"{number:04}-{'x' * 60}.ipynb").write_text(NOTEBOOK)
    done = shell("bash", "-c", "set -o pipefail; nbpipe test --list | head -1", cwd=root)
    assert (done.returncode, done.stdout) == (
        0,
        "3,001 notebooks would run, reported in this order:\n",
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_the_command_to_run_again_survives_any_name(collection: Collection) -> None:
    name = "-q'u\x1b[31m\n$HOME [a]*.ipynb"
    collection.notebook(name, "1 / 0")
    command = ["nbpipe", "test", "--progress", "none", "--output-dir", "../out"]
    first = shell(*command, cwd=collection.root).stdout
    assert "\x1b" not in first
    (again,) = (line for line in first.splitlines() if "run it again:" in line)
    script = again.partition("run it again:")[2]
    done = shell("bash", "-c", script, cwd=collection.root)
    assert (done.returncode, done.stdout.splitlines()[-1].partition(" in ")[0]) == (1, "1 failed")


@pytest.mark.parametrize(("source", "code"), [("1", 0), ("1 / 0", 1)])
def test_the_verdict_and_the_reports_do_not_need_a_reader(
    collection: Collection, source: str, code: int
) -> None:
    collection.notebook("a.ipynb", source)
    command = "nbpipe test --progress none --report json=out.json --output-dir ../out | true"
    script = f"set -o pipefail; {command}"
    done = shell("bash", "-c", script, cwd=collection.root)
    assert (done.returncode, done.stderr) == (code, "")
    assert json.loads((collection.root / "out.json").read_text())["summary"]["total"] == 1


def test_a_name_that_the_locale_cannot_write_is_spelled(root: Path) -> None:
    (root / "été.ipynb").write_text(NOTEBOOK)
    done = shell("nbpipe", "test", "--list", cwd=root, environ={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "\\xe9t\\xe9.ipynb" in done.stdout
    missing = shell("nbpipe", "test", "ici/é", cwd=root, environ={"PYTHONIOENCODING": "ascii"})
    assert missing.returncode == 4
    assert "ici/\\xe9: no such file or folder" in missing.stderr


@pytest.fixture
def for_everybody() -> Iterator[Path]:
    """Return a folder that other users reach too, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="nbpipe-tests-"))
    folder.chmod(0o755)
    yield folder
    for each in folder.rglob("*"):
        if each.is_dir():
            each.chmod(0o755)
    shutil.rmtree(folder)


def as_a_user(need: Need) -> list[str]:
    """Return how a command is started by a user whom permissions stop; root they do not."""
    if os.geteuid() != 0:
        return []
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    need(shutil.which("setpriv") is not None, "setpriv")
    tried = shell(*drop, sys.executable, "-c", "import nbpipe.cli", cwd=Path("/"))
    need(tried.returncode == 0, "a Python with nbpipe that every user may read")
    return drop


def test_an_unreadable_folder_is_told_and_nothing_runs(for_everybody: Path, need: Need) -> None:
    (for_everybody / "first.ipynb").write_text(NOTEBOOK)
    (for_everybody / "secret").mkdir(mode=0)
    user = as_a_user(need)
    command = [*user, sys.executable, "-m", "nbpipe", "test"]
    done = shell(*command, cwd=for_everybody, environ={"HOME": "/nonexistent"})
    assert (done.returncode, done.stdout) == (4, "")
    assert f"cannot list folder {for_everybody}/secret: Permission denied" in done.stderr
    assert "Make it readable or exclude it" in done.stderr


def test_an_excluded_folder_need_not_be_readable(for_everybody: Path, need: Need) -> None:
    (for_everybody / "first.ipynb").write_text(NOTEBOOK)
    (for_everybody / "secret").mkdir(mode=0)
    user = as_a_user(need)
    command = [*user, sys.executable, "-m", "nbpipe", "test", "--list", "--exclude", "secret"]
    done = shell(*command, cwd=for_everybody, environ={"HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    assert "first.ipynb" in done.stdout


def test_an_unreadable_configuration_is_told(for_everybody: Path, need: Need) -> None:
    (for_everybody / "nbpipe.toml").write_text("[test]\n")
    user = as_a_user(need)
    (for_everybody / "nbpipe.toml").chmod(0)
    done = shell(*user, sys.executable, "-m", "nbpipe", "config", cwd=for_everybody)
    assert done.returncode == 4
    assert f"{for_everybody}/nbpipe.toml: cannot be read: Permission denied" in done.stderr


def test_an_output_directory_that_cannot_be_written_is_told(
    for_everybody: Path, need: Need
) -> None:
    (for_everybody / "first.ipynb").write_text(NOTEBOOK)
    user = as_a_user(need)
    for_everybody.chmod(0o555)
    command = [*user, sys.executable, "-m", "nbpipe", "test", "--output-dir", "out"]
    done = shell(*command, cwd=for_everybody, environ={"HOME": "/nonexistent"})
    assert done.returncode == 4
    assert f"the output directory {for_everybody}/out cannot be written" in done.stderr
    assert "Name another one with --output-dir." in done.stderr


def test_an_unreadable_notebook_fails_and_the_others_run(for_everybody: Path, need: Need) -> None:
    (for_everybody / "first.ipynb").write_text(NOTEBOOK)
    (for_everybody / "secret.ipynb").write_text(NOTEBOOK)
    (for_everybody / "secret.ipynb").chmod(0)
    user = as_a_user(need)
    command = [*user, sys.executable, "-m", "nbpipe", "test", "--list"]
    done = shell(*command, cwd=for_everybody, environ={"HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    assert "invalid-notebook: the file cannot be read: Permission denied" in done.stdout
