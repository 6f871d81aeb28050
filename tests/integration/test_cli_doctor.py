"""`nbpipe doctor` on real kernels: what is missing, where, how to get it; and when all is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    Doctor = Callable[..., tuple[int, dict[str, Any]]]


def notebook(path: Path, *sources: str, kernel: str = "python3", language: str = "python") -> None:
    """Write a notebook of code cells for a kernel."""
    cells = [{"cell_type": "code", "source": source, "metadata": {}} for source in sources]
    spec = {"name": kernel, "display_name": kernel, "language": language}
    document = {
        "cells": cells,
        "metadata": {"kernelspec": spec},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty collection, in which doctor is asked."""
    folder = tmp_path / "collection"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "own"))  # not the tester's own kernels
    return folder


@pytest.fixture
def doctor(root: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Return a function that asks doctor for JSON."""

    def ask(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = cli.run(["doctor", "--json", *arguments])
        return int(code), json.loads(capsys.readouterr().out)

    return ask


def kernelspec(tmp_path: Path, name: str, *argv: str) -> None:
    folder = tmp_path / "jupyter/kernels" / name
    folder.mkdir(parents=True)
    spec = {"argv": [*argv], "display_name": name, "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))


def missing(document: dict[str, Any]) -> list[str]:
    return [each["what"] for each in document["findings"] if each["severity"] == "missing"]


def test_where_everything_is_there_doctor_is_content(root: Path, doctor: Doctor) -> None:
    notebook(root / "a.ipynb", "import json, nbformat")
    code, document = doctor()
    assert missing(document) == []
    assert code == 0
    assert document["ready"] is True
    assert document["notebooks"] == 1
    assert document["python"]["executable"] == sys.executable
    assert document["output"].endswith("/state/nbpipe/runs")
    threads = document["threads"]
    assert (threads["at_once"], threads["each"]) == (1, None)
    assert threads["cores"] >= 1
    (python3,) = (each for each in document["kernels"] if each["name"] == "python3")
    assert python3["answers"] is True
    assert python3["language"] == "python"
    assert Path(python3["interpreter"]).samefile(sys.executable)


def test_a_missing_package_is_told_with_its_notebooks_and_the_way_to_get_it(
    root: Path, doctor: Doctor
) -> None:
    for name in ("a", "b"):
        notebook(root / f"{name}.ipynb", "import nosuchpackage")
    code, document = doctor()
    assert code == 1
    (finding,) = (each for each in document["findings"] if each["severity"] == "missing")
    interpreter = next(k["interpreter"] for k in document["kernels"] if k["name"] == "python3")
    assert finding == {
        "severity": "missing",
        "kind": "package",
        "what": "no package 'nosuchpackage' in kernel 'python3'",
        "where": ["a.ipynb", "b.ipynb"],
        "how": f"perhaps: {interpreter} -m pip install nosuchpackage",
    }


def test_a_notebook_that_installs_its_package_is_only_noted(root: Path, doctor: Doctor) -> None:
    notebook(root / "a.ipynb", "%pip install nosuchpackage", "import nosuchpackage")
    code, document = doctor()
    assert (code, missing(document)) == (0, [])
    assert document["findings"][0]["what"].endswith("; the notebook installs it itself")


def test_each_kernel_is_asked_for_its_own_packages(
    root: Path, doctor: Doctor, tmp_path: Path
) -> None:
    kernelspec(tmp_path, "poor", sys.executable, "-I", "-S", "-m", "json", "{connection_file}")
    notebook(root / "rich.ipynb", "import nbformat")
    notebook(root / "poor.ipynb", "import nbformat", kernel="poor")
    code, document = doctor()
    assert code == 1
    assert missing(document) == ["no package 'nbformat' in kernel 'poor'"]


def test_a_missing_kernel_is_told_with_the_way_to_get_it(root: Path, doctor: Doctor) -> None:
    notebook(root / "a.ipynb", kernel="octave", language="octave")
    code, document = doctor()
    assert code == 1
    assert missing(document) == ["kernel 'octave' is not installed"]
    assert document["findings"][0]["where"] == ["a.ipynb"]
    assert document["findings"][0]["how"] == "pip install octave_kernel"


def test_a_missing_kernel_whose_notebooks_are_skipped_is_only_noted(
    root: Path, doctor: Doctor
) -> None:
    (root / "nbpipe.toml").write_text('[test]\nmissing-kernel = "skip"')
    notebook(root / "a.ipynb", kernel="octave", language="octave")
    code, document = doctor()
    assert (code, missing(document)) == (0, [])
    assert document["findings"][0]["what"] == (
        "kernel 'octave' is not installed; its notebooks are skipped"
    )


def test_a_kernel_whose_program_is_gone_matters_only_to_its_notebooks(
    root: Path, doctor: Doctor, tmp_path: Path
) -> None:
    kernelspec(
        tmp_path, "gone", "/gone/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"
    )
    notebook(root / "a.ipynb", "1")
    what = "kernel 'gone' does not work: program not found: /gone/python"
    code, document = doctor()
    assert (code, missing(document)) == (0, [])
    assert [each["what"] for each in document["findings"]] == [what]
    notebook(root / "b.ipynb", "1", kernel="gone")
    code, document = doctor()
    assert (code, missing(document)) == (1, [what])


def test_a_kernel_that_the_configuration_forces_in_vain_is_told(root: Path, doctor: Doctor) -> None:
    (root / "nbpipe.toml").write_text('[test]\nkernel = "nosuch"')
    notebook(root / "a.ipynb", "1")
    code, document = doctor()
    assert code == 1
    assert missing(document) == [
        f"{root}/nbpipe.toml: test.kernel: no kernel 'nosuch' is installed"
    ]


def test_a_file_that_is_no_notebook_is_told(root: Path, doctor: Doctor) -> None:
    (root / "a.ipynb").write_text("{")
    code, document = doctor()
    assert code == 1
    assert document["findings"][0]["kind"] == "notebook"
    assert document["findings"][0]["where"] == ["a.ipynb"]


def test_a_cell_that_is_no_python_3_is_noted(root: Path, doctor: Doctor) -> None:
    notebook(root / "a.ipynb", "import json", "print 'two'")
    code, document = doctor()
    assert (code, missing(document)) == (0, [])
    assert [(each["what"], each["where"]) for each in document["findings"]] == [
        ("not Python 3, so its imports are unknown: cells[1]", ["a.ipynb"])
    ]


def test_an_output_directory_that_cannot_be_made_is_told(root: Path, doctor: Doctor) -> None:
    (root / "nbpipe.toml").write_text('[test]\noutput-dir = "file/out"')
    (root / "file").touch()
    notebook(root / "a.ipynb", "1")
    code, document = doctor()
    assert code == 1
    assert missing(document) == [f"the output directory {root}/file/out cannot be written"]


def test_only_the_notebooks_that_are_asked_about_are_looked_at(root: Path, doctor: Doctor) -> None:
    notebook(root / "good/a.ipynb", "1")
    notebook(root / "bad/a.ipynb", "import nosuchpackage")
    assert doctor("good")[0] == 0
    assert doctor("bad")[0] == 1


def test_a_folder_without_notebooks_is_no_error_but_a_pattern_without_is(
    doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = doctor()
    assert (code, document["notebooks"]) == (0, 0)
    assert cli.run(["doctor", "x/*"]) == 5
    assert "x/* matched no notebook" in capsys.readouterr().err


def test_nothing_is_written_and_no_notebook_is_executed(root: Path, doctor: Doctor) -> None:
    notebook(root / "a.ipynb", f"open({str(root / 'executed')!r}, 'w')")
    doctor()
    assert [each.name for each in root.rglob("*")] == ["a.ipynb"]
    assert [each.name for each in root.parent.iterdir()] == ["collection"]


def test_packages_of_r_are_asked_of_r(
    root: Path, doctor: Doctor, need: Callable[[bool, str], None]
) -> None:
    notebook(root / "a.ipynb", "library(stats)\nlibrary(nosuchpackage)", kernel="ir", language="R")
    code, document = doctor()
    need(any(each["name"] == "ir" for each in document["kernels"]), "the kernel ir")
    assert code == 1
    assert missing(document) == ["no package 'nosuchpackage' in kernel 'ir'"]
    assert 'in R: install.packages("nosuchpackage")' in [f["how"] for f in document["findings"]]


def test_people_read_what_is_missing_where_and_how_to_get_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        notebook(root / f"{number}.ipynb", "import cv2nosuch")
    assert cli.run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "\n  python3  python " in out
    assert "\nMissing:\n  no package 'cv2nosuch' in kernel 'python3'\n      0.ipynb\n" in out
    assert "\n      4.ipynb\n      and 3 more\n    -> perhaps: " in out
    assert out.endswith("\n1 thing missing.\n")
    assert "\x1b" not in out


def test_people_read_that_everything_is_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook(root / "a.ipynb", "import json")
    assert cli.run(["doctor", "--color", "always"]) == 0
    assert "Everything is there for 1 notebook to run." in capsys.readouterr().out


def test_a_kernel_whose_program_is_gone_names_the_notebooks_that_need_it(
    root: Path, doctor: Doctor, tmp_path: Path
) -> None:
    kernelspec(tmp_path, "gone", "/nowhere/python", "-m", "ipykernel_launcher")
    kernelspec(tmp_path, "idle", "/nowhere/else", "-m", "ipykernel_launcher")
    notebook(root / "a.ipynb", "1", kernel="gone")
    notebook(root / "sub/b.ipynb", "1", kernel="gone")
    code, document = doctor()
    assert code == 1
    broken = {each["what"]: each for each in document["findings"] if each["kind"] == "kernel"}
    ((what, found),) = ((text, each) for text, each in broken.items() if "'gone'" in text)
    assert "does not work" in what
    assert (found["severity"], found["where"]) == ("missing", ["a.ipynb", "sub/b.ipynb"])
    ((_, unused),) = ((text, each) for text, each in broken.items() if "'idle'" in text)
    assert (unused["severity"], unused["where"]) == ("note", [])


def test_the_threads_of_a_notebook_are_told_with_what_is_set_already(
    root: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        notebook(root / f"{name}.ipynb", "import json")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    (root / "nbpipe.toml").write_text("[test]\njobs = 2\nthreads = 4\n")
    threads = doctor()[1]["threads"]
    assert (threads["at_once"], threads["each"]) == (2, 4)
    assert threads["set"]["MKL_NUM_THREADS"] == "3"
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    (root / "nbpipe.toml").write_text("[test]\njobs = 2\n")
    threads = doctor()[1]["threads"]
    assert (threads["each"], threads["scheduler"]) == (None, "SLURM_JOB_ID")
