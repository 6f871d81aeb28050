"""What libraries warn of is one line at the end, not lines of their source in between."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from nbpipe.system.remarks import Remarks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def remarks(monkeypatch: pytest.MonkeyPatch) -> Remarks:
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "warnoptions", [])
    made = Remarks()
    made.install()
    return made


def record(name: str, text: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "file.py", 1, text, None, None)


def test_warnings_become_one_line(remarks: Remarks, capsys: pytest.CaptureFixture[str]) -> None:
    assert remarks.told(everything=True) == ""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("old\nthing", DeprecationWarning, "lib.py", 3)
    remarks.handle(record("traitlets", "Notebook JSON is invalid"))
    remarks.handle(record("traitlets", "Notebook JSON is invalid"))
    assert remarks.told(everything=False) == (
        "note: a library warned: DeprecationWarning: old (and 1 other); --debug shows all"
    )
    assert remarks.told(everything=True).splitlines()[1:] == [
        "  1 x DeprecationWarning: old",
        "thing (lib.py:3)",
        "  2 x traitlets: Notebook JSON is invalid",
    ]
    assert capsys.readouterr().err == ""


def test_our_own_words_are_printed(remarks: Remarks, capfd: pytest.CaptureFixture[str]) -> None:
    remarks.handle(record("nbpipe.collecting", "a kernelspec cannot be read"))
    assert "a kernelspec cannot be read" in capfd.readouterr().err
    assert remarks.told(everything=True) == ""


@pytest.mark.parametrize("asked", [False, True])
def test_a_command_tells_them_at_its_end(tmp_path: Path, asked: bool) -> None:  # noqa: FBT001
    (tmp_path / "loud.py").write_text(
        "import warnings; warnings.warn('from a library', UserWarning, stacklevel=1)"
    )
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    environ["PYTHONWARNINGS"] = "default" if asked else ""
    run = (
        "from nbpipe import cli\nreal = cli.run\n"
        "def loud(words):\n    import loud\n    return real(words)\n"
        "cli.run = loud\ncli.main(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", run], env=environ, capture_output=True, text=True, check=True
    )
    noted = "nbpipe: note: a library warned: UserWarning: from a library" in done.stderr
    assert noted is not asked
    assert ("warnings.warn(" in done.stderr) is asked
