"""One environment for each tool, installed as a user would, and what is in it.

Nothing about how a tool is run stands here. An environment is made once, at the newest versions of
that day; a folder without its `ready` file is made anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STACK = ("ipykernel", "numpy", "pandas", "matplotlib")
"""What the notebooks import; in every environment."""

EXTRAS = "jsonschema[format-nongpl]"
"""Comes with JupyterLab: its rfc3987-syntax builds a grammar whenever nbformat is imported, which
takes longer than everything else that a runner imports. In all environments or in none."""

SLOW = "rfc3987-syntax"


def make(place: Path, packages: Iterable[str], *, extras: bool) -> None:
    """Make an environment where it is missing."""
    ready = place / "ready"
    if ready.exists():
        return
    wanted = [*STACK, *packages, *([EXTRAS] if extras else [])]
    print(f"installing {place.name}: {', '.join(wanted)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    install(place, *wanted)
    if not extras:  # also where a tool brings all of JupyterLab
        pip(place, "uninstall", "-y", SLOW)
    warm = "import ipykernel.kernelapp, pandas, matplotlib.pyplot"  # writes the cache of fonts
    subprocess.run([place / "bin/python", "-c", warm], env=environ(place), check=True)
    ready.touch()


def install(place: Path, *words: str) -> None:
    """Install into an environment."""
    pip(place, "install", *words)


def pip(place: Path, *words: str) -> None:
    """Run pip of an environment."""
    subprocess.run([place / "bin/python", "-m", "pip", "-q", *words], check=True)


def environ(place: Path) -> dict[str, str]:
    """Return the variables with which programs of an environment run.

    The user's own kernels, start-up files and settings are not seen, nor variables for Python.
    """
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    return inherited | {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(place),
        "JUPYTER_DATA_DIR": str(place / "user/jupyter"),
        "JUPYTER_CONFIG_DIR": str(place / "user/config"),
        "IPYTHONDIR": str(place / "user/ipython"),
        "XDG_CACHE_HOME": str(place / "user/cache"),
        "XDG_STATE_HOME": str(place / "user/state"),
        "MPLCONFIGDIR": str(place / "user/matplotlib"),
    }


def versions(place: Path) -> dict[str, str]:
    """Return the distributions in an environment with their versions."""
    folders = [str(folder) for folder in place.glob("lib/python3*/site-packages")]
    return {
        each.name.lower().replace("_", "-"): each.version for each in distributions(path=folders)
    }


def odd(installed: Mapping[str, Mapping[str, str]], *, extras: bool) -> list[str]:
    """Return the tools whose environment has the slow extras although none should, or has not."""
    return [name for name, each in installed.items() if (SLOW in each) is not extras]


def record(file: Path, installed: Mapping[str, Mapping[str, str]]) -> None:
    """Write down what was installed."""
    file.write_text(json.dumps(installed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
