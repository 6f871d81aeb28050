"""The processes of the basement: what counts as an answer, which repository git is asked about."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from running import until

from nbpipe.system import git
from nbpipe.system.interpreters import MARK, NoAnswerError, ask, command, substituted

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [sys.executable, "-I"]


def test_what_is_printed_before_the_mark_is_not_the_answer() -> None:
    said = f"print('hello from a sitecustomize'); print('{MARK} 42 ')"
    assert ask(PYTHON, said, environ=os.environ) == "42"


def test_an_interpreter_gets_what_it_is_given_and_no_folder_of_anybodys() -> None:
    question = f"import os, sys; print('{MARK}', os.getcwd(), sys.stdin.read(), *sys.argv[1:])"
    assert ask(PYTHON, question, "a", "b", environ={"A": "1"}, given="x") == "/ x a b"


@pytest.mark.parametrize(
    ("python", "question", "said"),
    [
        (PYTHON, "raise SystemExit('no such thing')", "it does not answer: no such thing"),
        (PYTHON, "raise SystemExit(3)", "it does not answer: exit status 3"),
        (["/nonexistent/python"], "", "/nonexistent/python cannot be started: No such file"),
    ],
)
def test_why_there_is_no_answer_is_said(python: list[str], question: str, said: str) -> None:
    with pytest.raises(NoAnswerError) as caught:
        ask(python, question, environ=os.environ)
    assert str(caught.value).startswith(said)


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    child = f"""
import subprocess, time
child = subprocess.Popen(["sleep", "600"])
with open({str(tmp_path / "pid")!r}, "w") as file:
    file.write(str(child.pid))
time.sleep(600)
"""
    file = tmp_path / "pid"
    for patience in (2.0, 4.0, 8.0, 16.0, 32.0):  # until it came to start its child in that time
        with pytest.raises(NoAnswerError, match=f"it did not answer within {patience:g} s"):
            ask(PYTHON, child, environ=os.environ, patience=patience)
        if file.exists() and file.read_text():
            break
    pid = int(file.read_text())
    until(lambda: not psutil.pid_exists(pid) or _is_zombie(pid), "the child is gone")


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_how_a_kernels_python_is_started_is_read_off_its_words() -> None:
    launch = ("-m", "ipykernel_launcher", "-f", "{connection_file}")
    assert command("/opt/python", ("python", *launch)) == ["/opt/python"]
    assert command("env", ("env", "A=b", "python", *launch)) == ["env", "A=b", "python"]
    assert command("/usr/bin/pypy3.10", ("pypy3.10", "x.py")) == ["/usr/bin/pypy3.10"]
    assert command("/usr/bin/julia", ("julia", "x.jl")) is None


def test_variables_of_a_kernelspec_are_replaced() -> None:
    own = {"PATH": "/opt/bin:${PATH}", "N": 3, "LEFT": "${NOT_SET}"}
    assert substituted(own, {"PATH": "/bin"}) == {
        "PATH": "/opt/bin:/bin",
        "N": "3",
        "LEFT": "${NOT_SET}",
    }


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository; the environment is that of a hook of another one."""
    for name in ("one", "other"):
        git.run("init", "-q", "-b", name, str(tmp_path / name)).check_returncode()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "one/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "one/.git/index"))
    return tmp_path / "other"


def test_a_hooks_variables_lead_no_git_to_another_repository(other: Path) -> None:
    assert git.output(other, "symbolic-ref", "--short", "HEAD") == b"other\n"
    assert "GIT_DIR" not in git.environment()
    assert git.environment({"GIT_DIR": "x", "GIT_CONFIG_COUNT": "1", "A": "b"}) == {
        "GIT_CONFIG_COUNT": "1",  # a container's safe.directory
        "A": "b",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def test_a_git_that_cannot_say_is_an_error_and_its_version_is_known(tmp_path: Path) -> None:
    with pytest.raises(git.GitError):
        git.output(tmp_path, "rev-parse", "--verify", "HEAD")
    assert git.version()[0].isdigit()


def test_without_git_there_is_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.version() == ""
