"""The choice among kernels that are really installed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe import config
from nbpipe.collecting import InstalledKernel, Selection, installed_kernels, plan

if TYPE_CHECKING:
    from nbpipe.model import Task


@pytest.fixture(scope="module")
def second_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another Python environment, registered as the kernel `second`; its Jupyter data folder."""
    folder = Path(tmp_path_factory.mktemp("second"))
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "env" / "lib" / version / "site-packages"
    # it borrows the packages of this environment: installing them again would need a network
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run(
        [python, "-m", "ipykernel", "install", "--prefix", folder, "--name", "second"],
        check=True,
        capture_output=True,
    )
    return folder / "share" / "jupyter"


@pytest.fixture
def kernels(second_python: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, InstalledKernel]:
    monkeypatch.setenv("JUPYTER_PATH", str(second_python))
    return installed_kernels()


def need(name: str, kernels: dict[str, InstalledKernel]) -> None:
    if name not in kernels:
        reason = f"the kernel {name} is not installed"
        if os.environ.get("NBPIPE_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)


def task_for(folder: Path, kernels: dict[str, InstalledKernel], **metadata: object) -> Task:
    """Return the task of a notebook with that metadata."""
    document = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (folder / "a.ipynb").write_text(json.dumps(document))
    (task,) = plan(Selection(cwd=folder), config.load(folder), kernels=kernels).tasks
    return task


def test_python3_is_this_python(kernels: dict[str, InstalledKernel]) -> None:
    python3 = kernels["python3"]
    assert python3.language == "python"
    assert python3.interpreter is not None
    assert Path(python3.interpreter).samefile(sys.executable)
    assert Path(python3.resource_dir, "logo-svg.svg").exists()


def test_a_second_environment_is_a_kernel_with_its_own_interpreter(
    kernels: dict[str, InstalledKernel], second_python: Path
) -> None:
    second = kernels["second"]
    assert second.language == "python"
    assert second.interpreter == str(second_python.parents[1] / "env" / "bin" / "python")
    assert second.argv[1:] == (*second.argv[1:-1], "{connection_file}")
    assert second.display_name == "second"


def test_a_notebook_gets_the_environment_that_it_names(
    tmp_path: Path, kernels: dict[str, InstalledKernel]
) -> None:
    task = task_for(tmp_path, kernels, kernelspec={"name": "second"})
    assert (task.kernel, task.kernel_why) == ("second", "")


def test_a_site_kernel_that_is_not_here_falls_back_to_python3_first(
    tmp_path: Path, kernels: dict[str, InstalledKernel]
) -> None:
    spec = {"name": "a-desi-22.2", "language": "python"}
    assert task_for(tmp_path, kernels, kernelspec=spec).kernel == "python3"


def test_bash_and_its_language(tmp_path: Path, kernels: dict[str, InstalledKernel]) -> None:
    need("bash", kernels)
    assert kernels["bash"].language == "bash"
    assert task_for(tmp_path, kernels, kernelspec={"name": "calysto_bash", "language": "bash"})
    task = task_for(tmp_path, kernels, language_info={"name": "bash"})
    assert (task.kernel, task.failure) == ("bash", None)


def test_r_and_its_language(tmp_path: Path, kernels: dict[str, InstalledKernel]) -> None:
    need("ir", kernels)
    assert kernels["ir"].language == "r"
    spec = {"name": "ir41", "language": "R"}
    task = task_for(tmp_path, kernels, kernelspec=spec)
    assert (task.kernel, task.language, task.failure) == ("ir", "r", None)


def test_a_kernel_that_nobody_has_lists_the_installed_ones(
    tmp_path: Path, kernels: dict[str, InstalledKernel]
) -> None:
    failure = task_for(tmp_path, kernels, kernelspec={"name": "nobody-has-it"}).failure
    assert failure is not None
    installed = ", ".join(sorted(kernels))
    assert failure.message == f"no kernel 'nobody-has-it'; installed: {installed}"


def test_a_broken_kernelspec_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in (("broken", "{"), ("odd", '{"argv": 3, "language": "python"}')):
        (tmp_path / "kernels" / name).mkdir(parents=True)
        (tmp_path / "kernels" / name / "kernel.json").write_text(text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    kernels = installed_kernels()
    assert "python3" in kernels
    assert {"broken", "odd"}.isdisjoint(kernels)
    assert "kernel broken cannot be used: JSONDecodeError" in caplog.text
