"""The second run of .ci/run names what failed in the first and passes by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

SOMETIMES = """
from pathlib import Path
def test_sometimes():
    first = Path(__file__).with_name("ran")
    ran, _ = first.exists(), first.touch()
    assert ran
def test_never():
    assert NEVER
"""


def pytest_in(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), *words, "test_x.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(TESTS), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_test_that_passes_by_itself_is_named_before_the_closing_line(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(SOMETIMES.replace("NEVER", "True"))
    assert pytest_in(tmp_path)[0] == 1
    code, told = pytest_in(tmp_path, "-p", "flaky", "--last-failed")
    assert code == 0
    title, name, closing = told.splitlines()[-3:]
    assert "flaky: 1 failed before, and passed now" in title
    assert name == "FLAKY test_x.py::test_sometimes"
    assert re.fullmatch(r"1 passed, 1 deselected in .*", closing)


def test_one_that_fails_again_is_no_flaky_one(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(SOMETIMES.replace("NEVER", "False"))
    pytest_in(tmp_path)
    code, told = pytest_in(tmp_path, "-p", "flaky", "--last-failed")
    assert code == 1
    assert re.findall("^FLAKY .*", told, re.MULTILINE) == ["FLAKY test_x.py::test_sometimes"]
    assert told.splitlines()[-1].startswith("1 failed, 1 passed in ")


def test_ci_runs_the_failed_ones_again_with_it() -> None:
    text = (TESTS.parent / ".ci/run").read_text(encoding="utf-8")
    assert "\n  PYTHONPATH=tests ./dev test -n 0 -p flaky --last-failed " in text
    assert text.splitlines()[-1] == "check"  # whose closing line is the last that is written
