"""The second run of .ci/run names what failed in the first and passes by itself."""

from __future__ import annotations

import os
import platform
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


OUTER = ("NBPIPE_FLAKY", "PYTEST_ADDOPTS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
"""What the run that this test belongs to may have got, and the inner ones must not."""


def pytest_in(folder: Path, *words: str, **environ: str) -> tuple[int, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in OUTER}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), *words, "test_x.py"],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(TESTS), "COLUMNS": "80"} | environ,
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


def test_a_later_run_names_the_flaky_ones_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(SOMETIMES.replace("NEVER", "True"))
    (tmp_path / "conftest.py").write_text(f"exec(open({str(TESTS / 'conftest.py')!r}).read())")
    file = tmp_path / "flaky"
    file.touch()
    environ = {"NBPIPE_FLAKY": str(file)}
    pytest_in(tmp_path, **environ)
    pytest_in(tmp_path, "-p", "flaky", "--last-failed", **environ)
    name = f"test_x.py::test_sometimes (Python {platform.python_version()})"
    assert file.read_text() == f"{name}\n"
    code, told = pytest_in(tmp_path, **environ)  # the next interpreter's, where all is well
    assert code == 0
    title, listed, closing = told.splitlines()[-3:]
    assert "flaky: 1 in an earlier run" in title
    assert listed == f"FLAKY {name}"
    assert re.fullmatch(r"2 passed in .*", closing)
    (tmp_path / "ran").unlink()
    pytest_in(tmp_path, **environ)
    told = pytest_in(tmp_path, "-p", "flaky", "--last-failed", **environ)[1]
    assert told.splitlines()[-3:-1] == ["FLAKY test_x.py::test_sometimes", f"FLAKY {name}"]


def test_a_github_workflow_gets_annotations_and_a_summary(tmp_path: Path) -> None:
    text = SOMETIMES.replace("NEVER", "True")
    text = "import pytest\n" + text.replace(
        "def test_sometimes", "@pytest.mark.parametrize('x', ['50%'])\ndef test_sometimes"
    ).replace("test_sometimes()", "test_sometimes(x)")
    (tmp_path / "test_x.py").write_text(text)
    summary = tmp_path / "summary.md"
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert "::warning" not in pytest_in(tmp_path, **environ)[1]
    code, told = pytest_in(tmp_path, "-p", "flaky", "--last-failed", **environ)
    assert code == 0
    assert (
        "\n::warning title=Flaky test::test_x.py::test_sometimes[50%25] "
        "failed first, and passed by itself\n"
    ) in told
    assert "- `test_x.py::test_sometimes[50%]`\n" in summary.read_text()
    assert re.fullmatch(r"1 passed, 1 deselected in .*", told.splitlines()[-1])


def test_one_that_is_skipped_the_second_time_is_named_too(tmp_path: Path) -> None:
    text = SOMETIMES.replace("NEVER", "True").replace("assert ran", "assert ran or pytest.skip()")
    (tmp_path / "test_x.py").write_text(f"import pytest\n{text}".replace("ran or", "ran and"))
    assert pytest_in(tmp_path)[0] == 1
    told = pytest_in(tmp_path, "-p", "flaky", "--last-failed")[1]
    name = "FLAKY test_x.py::test_sometimes (failed before, and was skipped now)"
    assert name in told.splitlines()


def test_ci_runs_the_failed_ones_again_with_it() -> None:
    text = (TESTS.parent / ".ci/run").read_text(encoding="utf-8")
    assert "\n  PYTHONPATH=tests ./dev test -n 0 -p flaky --last-failed " in text
    assert "\nexport NBPIPE_FLAKY\n" in text
    assert text.splitlines()[-1] == "check"  # whose closing line is the last that is written
