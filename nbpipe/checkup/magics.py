"""What IPython's magics do to a notebook's modules: `%load_ext`, `%matplotlib`, `%%writefile`.

The calls that IPython makes of magics and shell lines come in as words; values go out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.checkup.installs import installed_by

if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN_EXTENSIONS = {"autoreload", "storemagic"}
_SHELLS = {"!", "bash", "sh", "script", "sx", "system"}
_INSTALLING = {"pip", "conda", "mamba", "micromamba"}
_PYTHON = {"time", "timeit", "capture", "prun"}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a magic does."""

    imports: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Where modules are found from now on."""
    writes: tuple[str, ...] = ()
    """Modules that there are from now on."""
    code: str = ""
    """Python that it runs."""


def effect_of(way: str, words: Sequence[str]) -> Effect:
    """Return what a call of IPython's does.

    Args:
        way: The method: `run_line_magic`, `run_cell_magic`, `system`, `getoutput`.
        words: Its arguments.
    """
    if way in {"system", "getoutput"}:
        return Effect(installs=tuple(installed_by("".join(words))))
    name, line, body = (*words, "", "", "")[:3]
    if way == "run_cell_magic":
        return _cell_magic(name, line, body)
    return _line_magic(name, line) if way == "run_line_magic" else Effect()


def _line_magic(name: str, line: str) -> Effect:
    if name in _INSTALLING:
        return Effect(installs=tuple(installed_by(f"{name} {line}")))
    if name in {"load_ext", "reload_ext"}:
        return Effect(imports=() if line.strip() in _OWN_EXTENSIONS else (line.strip(),))
    if name == "time":
        return Effect(code=line)
    if name in {"cd", "matplotlib", "pylab"}:
        modules = {"matplotlib": ("matplotlib",), "pylab": ("matplotlib", "numpy")}
        return Effect(imports=modules.get(name, ()), folders=(line,) if name == "cd" else ())
    return Effect()


def _cell_magic(name: str, line: str, body: str) -> Effect:
    if name in _PYTHON:
        return Effect(code=body)
    if name in _SHELLS:
        lines = body.splitlines()
        return Effect(installs=tuple(each for line in lines for each in installed_by(line)))
    if name in {"writefile", "file"}:
        return _written(line)
    return Effect()


def _written(line: str) -> Effect:
    """Return what there is to import once a file is written: itself, and its package."""
    path = (line.split() or [""])[-1].strip("'\"").removeprefix("./")
    if not path.endswith(".py"):
        return Effect()
    parts = re.split(r"[\\/]", path.removesuffix(".py"))
    return Effect(writes=(parts[0], parts[-1]), folders=(os.path.dirname(path),))  # noqa: PTH120
