"""Kernelspecs are found where Jupyter finds them; IPython is imported only where it has any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ASK = (
    "import json, sys\n"
    "from jupyter_client.kernelspec import KernelSpecManager\n"
    "from nbpipe.system import kernelspecs\n"
    "found = sorted(kernelspecs.finder().find_kernel_specs())\n"
    "early = 'IPython' in sys.modules\n"
    "stock = sorted(KernelSpecManager().find_kernel_specs())\n"
    "print(json.dumps([found, early, stock]))\n"
)


def asked(home: Path, **environ: str) -> tuple[list[str], bool, list[str]]:
    """Return what is found from a home, whether that took IPython, and what Jupyter finds."""
    mine = {"HOME": str(home), "PATH": os.environ["PATH"], **environ}
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK],
        env=mine,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    found, early, stock = json.loads(said)
    return found, early, stock


def spec(folder: Path) -> None:
    """Write a kernelspec."""
    folder.mkdir(parents=True)
    known = {"argv": ["true"], "display_name": "Old", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(known))


def test_a_home_without_kernels_of_ipython_does_not_import_it(tmp_path: Path) -> None:
    (tmp_path / ".ipython").mkdir()
    spec(tmp_path / ".local/share/jupyter/kernels/mine")
    found, early, stock = asked(tmp_path)
    assert ("mine" in found, early, found == stock) == (True, False, True)


@pytest.mark.parametrize(
    ("place", "environ"),
    [
        (".ipython", {}),
        ("elsewhere", {"IPYTHONDIR": "~/elsewhere"}),
        (".config/ipython", {}),
        ("settings/ipython", {"XDG_CONFIG_HOME": "{home}/settings"}),
    ],
)
def test_kernels_of_ipython_are_found_as_jupyter_finds_them(
    tmp_path: Path, place: str, environ: dict[str, str]
) -> None:
    spec(tmp_path / place / "kernels/old")
    given = {name: value.format(home=tmp_path) for name, value in environ.items()}
    found, _, stock = asked(tmp_path, **given)
    assert ("old" in found, found == stock) == (True, True)
