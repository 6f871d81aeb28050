"""What cannot be forked is started anew, with the reason in the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

PIDFD_FORBIDDEN = """
import ctypes, struct
ALLOW, REFUSE, PIDFD_OPEN = 0x7FFF0000, 0x00050000 | 38, 434
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, PIDFD_OPEN), (6, 0, 0, REFUSE), (6, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) == 0
"""
"""A seccomp filter, as containers have them (seccomp(2)): pidfd_open(2) is not implemented."""

A_THREAD = """
import sys, threading, time
if sys.orig_argv[-1].startswith("-") or "CONTROL" in str(sys.orig_argv):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""
"""Like a profiler that is started with every Python process."""


ENDS_WHEN_FORKED = """
import os, sys
forks = []
def forked():
    forks.append(1)
    if len(forks) == 2:  # the guard is the first
        os.write(2, b"cannot live here")
        os._exit(3)
if "CONTROL" in str(sys.orig_argv):
    os.register_at_fork(after_in_child=forked)
"""
"""Like a library that its vendor has not made for processes that are forked."""

NO_FORK = """
import os, sys
def fork():
    raise OSError(11, "Resource temporarily unavailable")
if "CONTROL" in str(sys.orig_argv):
    os.fork = fork
"""
"""As where the user has no process left (setrlimit(2), RLIMIT_NPROC)."""


@pytest.fixture
def two(collection: Collection) -> Collection:
    """Return a collection of two notebooks."""
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", "print('fine')")
    return collection


def log(collection: Collection, name: str) -> str:
    """Return a notebook's log."""
    return (collection.output_dir / f"{name}.log").read_text(encoding="utf-8")


def at_start(collection: Collection, folder: Path, code: str) -> None:
    """Have every Python process execute this when it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    folders = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    collection.environ["PYTHONPATH"] = os.pathsep.join(folders)


def test_kernels_are_forked_unless_that_is_switched_off(two: Collection) -> None:
    assert two.test().code == 0
    assert "not forked" not in log(two, "a") + log(two, "b")
    assert two.test("--no-fork").code == 0
    assert "kernel not forked: switched off" in log(two, "a")


def test_the_configuration_switches_it_off(two: Collection) -> None:
    (two.root / "nbpipe.toml").write_text("[test]\nfork = false\n", encoding="utf-8")
    assert two.test().code == 0
    assert "kernel not forked: switched off" in log(two, "b")
    assert two.test("--fork").code == 0
    assert "not forked" not in log(two, "b")


def test_the_only_notebook_on_a_kernel_is_spawned(collection: Collection) -> None:
    collection.notebook("a.ipynb", "print('fine')")
    assert collection.test().code == 0
    assert "kernel not forked: the only notebook on this kernel" in log(collection, "a")


def test_where_pidfd_open_is_forbidden_kernels_are_spawned(two: Collection, tmp_path: Path) -> None:
    at_start(two, tmp_path / "site", PIDFD_FORBIDDEN)
    ended = two.test()
    assert ended.code == 0, ended.out
    assert "kernel not forked: pidfd_open is not available here" in log(two, "a")
    assert "Function not implemented" in log(two, "a")


def test_a_thread_in_the_server_keeps_it_from_forking(two: Collection, tmp_path: Path) -> None:
    at_start(two, tmp_path / "site", A_THREAD)
    ended = two.test()
    assert ended.code == 0, ended.out
    assert "kernel not forked: the fork server has 2 threads" in log(two, "a")


def test_an_interpreter_without_ipykernel_is_reported_as_without_a_server(
    collection: Collection, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    spec = tmp_path / "jupyter/kernels/bare/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(tmp_path / "venv/bin/python"), "-m", "ipykernel_launcher"]
    content = {"argv": [*argv, "-f", "{connection_file}"], "language": "python"}
    spec.write_text(json.dumps(content | {"display_name": "Bare"}), encoding="utf-8")
    collection.environ |= {"JUPYTER_PATH": str(tmp_path / "jupyter"), "PYTHONPATH": ""}
    if "PYTHONPATH" in os.environ:  # nbpipe itself is found there, and no ipykernel
        collection.environ["PYTHONPATH"] = os.environ["PYTHONPATH"]
    named = {"name": "bare", "display_name": "Bare"}
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", "1", kernelspec=named)
    forked = collection.test("--fork")["a.ipynb"]["failure"]
    assert "the fork server ended (exit code 1) ModuleNotFoundError" in log(collection, "a")
    spawned = collection.test("--no-fork")["a.ipynb"]["failure"]
    assert forked["message"] == spawned["message"] != ""
    assert forked["category"] == spawned["category"] == "kernel-died"


def test_a_kernel_that_ends_when_it_is_forked_is_spawned_and_told(
    two: Collection, tmp_path: Path
) -> None:
    at_start(two, tmp_path / "site", ENDS_WHEN_FORKED)
    for name in ("c", "d"):
        two.notebook(f"{name}.ipynb", "print('fine')")
    ended = two.test("-n", "1")
    assert ended.code == 0, ended.out
    assert {each["attempts"] for each in ended.report["notebooks"]} == {1}
    for name in ("a", "b"):
        assert "ended before it was ready: exit code 3: it was forked; starting it again" in log(
            two, name
        )
        assert "kernel not forked: the forked one did not start" in log(two, name)
    assert "kernel not forked: 2 forked kernels did not start" in log(two, "d")


def test_a_server_that_cannot_fork_any_more_says_why_and_lives_on(
    two: Collection, tmp_path: Path
) -> None:
    at_start(two, tmp_path / "site", NO_FORK)
    ended = two.test("-n", "1")
    assert ended.code == 0, ended.out
    for name in ("a", "b"):
        told = "kernel not forked: fork: Resource temporarily unavailable"
        assert told in log(two, name)
