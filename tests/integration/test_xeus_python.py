"""xeus-python, a Python kernel that is not ipykernel: from PyPI, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import venv
from typing import TYPE_CHECKING

import pytest
from ondisk import Collection, lacking

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Ended

VERSION = "0.19.0"
XPYTHON = {"kernelspec": {"name": "xpython", "display_name": "XPython", "language": "python"}}


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of Jupyter's data with the kernel xpython."""
    folder = tmp_path_factory.mktemp("xeus")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env/bin/python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", f"xeus-python=={VERSION}"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        lacking(f"xeus-python {VERSION} (pip install: {done.stderr.strip()[-200:]})")
    spec = folder / "jupyter/kernels/xpython"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "xpython_launcher", "-f", "{connection_file}"]
    document = {"argv": argv, "display_name": "XPython", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(document))
    return folder / "jupyter"


@pytest.fixture(scope="module")
def ended(jupyter: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a run of notebooks on it."""
    folder = tmp_path_factory.mktemp("xpython")
    made = Collection(folder / "collection", folder / "output", {"JUPYTER_PATH": str(jupyter)})
    made.notebook("good.ipynb", "1 + 1", "print('hello')", **XPYTHON)
    made.notebook("error.ipynb", "x = 1", "def f():\n    return 1 / 0\nf()", "2", **XPYTHON)
    made.notebook("package.ipynb", "import nosuchpackage", **XPYTHON)
    made.notebook("syntax.ipynb", "def (", **XPYTHON)
    made.notebook("input.ipynb", "input('name? ')", **XPYTHON)
    made.notebook("timeout.ipynb", "print('before')", "import time\ntime.sleep(600)", **XPYTHON)
    made.notebook("death.ipynb", "import os\nos.kill(os.getpid(), 9)", **XPYTHON)
    made.notebook("exit.ipynb", "raise SystemExit(0)", "1 / 0", **XPYTHON)
    made.notebook("exit3.ipynb", "raise SystemExit(3)", **XPYTHON)
    made.notebook("raises.ipynb", ("1 / 0", {"tags": ["raises-exception"]}), "1", **XPYTHON)
    (made.root / "nbpipe.toml").write_text(
        '[[test.overrides]]\npaths = ["timeout.ipynb"]\ntimeout = 5\n', encoding="utf-8"
    )
    return made.test("-n", "2")


@pytest.mark.parametrize(
    ("path", "expected", "message"),
    [
        ("error.ipynb", ("exception", "ZeroDivisionError", 1), "division by zero"),
        ("package.ipynb", ("missing-package", "ModuleNotFoundError", 0), "named 'nosuchpackage'"),
        ("syntax.ipynb", ("exception", "SyntaxError", 0), "invalid syntax"),
        ("input.ipynb", ("asks-for-input", "RuntimeError", 0), "does not support input requests"),
        ("timeout.ipynb", ("timeout", "CellTimeout", 1), "the cell ran for more than 5 s"),
        ("death.ipynb", ("kernel-died", "KernelDied", 0), "the kernel died: killed by SIGKILL"),
        ("exit3.ipynb", ("exception", "SystemExit", 0), "3"),
    ],
)
def test_a_failure_has_its_category_and_a_name_without_decoration(
    ended: Ended, path: str, expected: tuple[str, str, int], message: str
) -> None:
    failure = ended[path]["failure"]
    assert (failure["category"], failure["name"], failure["cell"]) == expected
    assert message in failure["message"]
    assert "<class" not in failure["signature"]


@pytest.mark.parametrize("path", ["good.ipynb", "exit.ipynb", "raises.ipynb"])
def test_what_passes_on_other_kernels_passes(ended: Ended, path: str) -> None:
    assert (ended[path]["outcome"], ended[path]["failure"]) == ("passed", None)


def test_an_interrupt_ends_this_kernel_and_that_is_told(ended: Ended) -> None:
    expected = "the cell ran for more than 5 s and was interrupted, which ended its kernel"
    assert ended["timeout.ipynb"]["failure"]["message"] == expected


def test_output_is_kept(ended: Ended) -> None:
    assert ended.executed("good.ipynb").cells[1].outputs[0]["text"] == "hello\n"
    assert ended.executed("timeout.ipynb").cells[0].outputs[0]["text"] == "before\n"


def test_the_notebook_that_exits_says_what_was_not_executed(ended: Ended) -> None:
    assert ended["exit.ipynb"]["notes"] == [
        "cells[0] ended the notebook; code cells not executed: 1"
    ]
