"""Installed as people install it: under our name, and with the other project that is `nbpipe`.

The other one's wheel is made here with the files and the entry point of its release 0.1.6, so that
no test depends on what it publishes next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from ondisk import REPOSITORY

from nbpipe._version import __version__
from nbpipe.distribution import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = {
    "nbpipe/__init__.py": "def _jupyter_server_extension_points():\n    return []\n",
    "nbpipe/cli.py": "def main():\n    print('usage: nbpipe [-h] <command> ...')\n    return 1\n",
    "nbpipe/handlers.py": "",
    "nbpipe/runner.py": "def execute_notebook(path, timeout): ...\n",
    "nbpipe/workflow.py": "",
    "nbpipe-0.1.6.dist-info/METADATA": "Metadata-Version: 2.1\nName: nbpipe\nVersion: 0.1.6\n",
    "nbpipe-0.1.6.dist-info/WHEEL": (
        "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "nbpipe-0.1.6.dist-info/entry_points.txt": "[console_scripts]\nnbpipe = nbpipe.cli:main\n",
}

COMMANDS = [
    ["nbpipe", "--help"],
    ["nbpipe", "test", "--list"],
    ["getlatest", "--list"],
    ["jupyter-nbpipe", "doctor"],
    ["python", "-m", "nbpipe", "--version"],
]


@dataclass(frozen=True)
class Installed:
    """An environment of its own, into which pip installs."""

    folder: Path
    wheels: Path

    def pip(self, *words: str) -> None:
        """Run pip on it; nothing comes from an index."""
        command = [sys.executable, "-m", "pip", "--python", str(self.folder / "bin/python")]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        done = subprocess.run(
            [*command, *words], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def install(self, *names: str) -> None:
        """Install what lies in the folder of wheels, one after the other."""
        for name in names:
            (wheel,) = self.wheels.glob(f"{name}-*.whl")
            self.pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands outside of the clone."""
        environ = os.environ | {"PYTHONPATH": str(self.wheels / "click"), "NO_COLOR": "1"}
        program = str(self.folder / "bin" / words[0])
        return subprocess.run(
            [program, *words[1:]],
            env=environ,
            cwd=self.wheels,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with our wheel, the other's, and click, all that a start needs."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(folder), str(REPOSITORY)], check=True)
    record = "".join(f"{name},,\n" for name in OTHER) + "nbpipe-0.1.6.dist-info/RECORD,,\n"
    with zipfile.ZipFile(folder / "nbpipe-0.1.6-py3-none-any.whl", "w") as wheel:
        for name, text in {**OTHER, "nbpipe-0.1.6.dist-info/RECORD": record}.items():
            wheel.writestr(name, text)
    shutil.copytree(Path(click.__file__).parent, folder / "click" / "click")
    return folder


@pytest.fixture
def make(wheels: Path, tmp_path: Path) -> Callable[..., Installed]:
    """Return a function that makes an environment with wheels installed in this order."""

    def installed(*names: str) -> Installed:
        folder = tmp_path / "-then-".join(["env", *names])
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        made = Installed(folder, wheels)
        made.install(*names)
        return made

    return installed


OURS = NAME.replace("-", "_")


def refused(installed: Installed, shown: str) -> None:
    """Assert that every command says the same, with the way out."""
    for command in COMMANDS:
        done = installed.run(*command)
        assert (done.returncode, done.stdout) == (4, ""), command
        assert f"are mixed with those of {NAME}: " in done.stderr
        assert shown in done.stderr.splitlines()[0]
        assert "-m pip uninstall -y nbpipe\n" in done.stderr
        assert f"--force-reinstall --no-deps {NAME} " in done.stderr


def test_we_install_under_our_own_name(make: Callable[..., Installed]) -> None:
    installed = make(OURS)
    assert installed.run("nbpipe", "--version").stdout == f"nbpipe, version {__version__}\n"
    assert installed.run("getlatest", "--version").returncode == 0
    code = f"from importlib.metadata import version; print(version({NAME!r}))"
    assert installed.run("python", "-c", code).stdout == f"{__version__}\n"
    assert installed.run("python", "-c", "import webhook").returncode == 0


def test_the_other_project_installed_over_us_is_seen_and_can_be_undone(
    make: Callable[..., Installed],
) -> None:
    installed = make(OURS, "nbpipe")
    refused(installed, "/nbpipe-0.1.6.dist-info")
    installed.pip("uninstall", "-y", "nbpipe")  # takes files of ours, and the command, with it
    done = installed.run("getlatest", "--list")
    assert (done.returncode, "__init__.py is not ours, or missing" in done.stderr) == (4, True)
    installed.install(OURS)
    assert installed.run("nbpipe", "--version").returncode == 0


def test_we_installed_over_the_other_project_are_not_taken_for_whole(
    make: Callable[..., Installed],
) -> None:
    installed = make("nbpipe", OURS)
    refused(installed, "/nbpipe-0.1.6.dist-info")
    done = installed.run("python", "-c", "import nbpipe; nbpipe.test('a.ipynb')")
    assert "nbpipe.errors.UsageError: files of the distribution `nbpipe`" in done.stderr


def test_files_of_the_other_project_without_their_registration_are_seen(
    make: Callable[..., Installed],
) -> None:
    installed = make("nbpipe", OURS)
    (left,) = installed.folder.glob("lib/python*/site-packages/nbpipe-0.1.6.dist-info")
    shutil.rmtree(left)
    refused(installed, "/nbpipe/cli.py")


def test_an_editable_install_from_before_the_name_changed_still_starts(
    make: Callable[..., Installed],
) -> None:
    installed = make(OURS)
    (ours,) = installed.folder.glob(f"lib/python*/site-packages/{OURS}-*.dist-info")
    old = ours.parent / "nbpipe-0.1.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: nbpipe\nVersion: 0.1.0\n")
    (old / "RECORD").write_text("_nbpipe.pth,,\nnbpipe-0.1.0.dist-info/METADATA,,\n")
    assert installed.run("nbpipe", "--version").returncode == 0
