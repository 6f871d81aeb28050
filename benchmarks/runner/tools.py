"""What is compared: how each tool is installed and called, as its own documentation has it.

Two notebooks at a time where a tool can do that. How a call is measured stands in `compare`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

_TWO = "ls {dir}/*.ipynb | xargs -P 2 -I @ "

_LOOP = """\
import sys, nbformat
from nbconvert.preprocessors import ExecutePreprocessor
for name in sys.argv[2:]:
    nb = nbformat.read(name, 4)
    ExecutePreprocessor(timeout=6000, allow_errors=True).preprocess(nb)
    nbformat.write(nb, sys.argv[1] + '/' + name.rpartition('/')[2])
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A command to be measured."""

    name: str
    environment: str
    """Tools with the same one share it."""
    packages: tuple[str, ...]
    command: str
    """For a shell; `{dir}` holds the notebooks, `{out}` is an empty folder for what it writes."""
    copies: str = ""
    """Pattern of the executed copies that it leaves, from the folder that holds both."""
    learns: bool = False
    """Remembers durations: its first run of a workload is not counted where the order matters."""
    only: tuple[str, ...] = ()
    """The workloads for which it makes sense; empty: all."""
    own: bool = False
    """Ours: the outputs of these are compared with each other."""


def _own(name: str, options: str, *only: str) -> Tool:
    return Tool(
        name=name,
        environment="nbpipe",
        packages=(str(REPOSITORY),),
        command=f"nbpipe test {{dir}} -n 2 {options} --progress none --output-dir {{out}}/copies",
        copies="out/copies/**/*.ipynb",
        learns=True,
        only=only,
        own=True,
    )


TOOLS = (
    _own("nbpipe", "--fork"),
    _own("nbpipe --no-fork", "--no-fork"),
    _own(
        "nbpipe --preload",
        "--fork --preload numpy --preload pandas --preload matplotlib.pyplot",
        "W2",
    ),
    Tool(
        name="nbmake -n2",
        environment="nbmake",
        packages=("nbmake", "pytest-xdist"),
        command="pytest -q --nbmake -n 2 {dir}",
    ),
    Tool(
        name="treon, 2 threads",
        environment="treon",
        packages=("treon",),
        command="treon {dir} --threads 2",
    ),
    Tool(
        name="nbval-lax -n2",
        environment="nbval",
        packages=("nbval", "pytest-xdist"),
        command="pytest -q --nbval-lax -n 2 --dist loadscope {dir}",
    ),
    Tool(
        name="papermill x2",
        environment="papermill",
        packages=("papermill",),
        command=_TWO + "sh -c 'papermill @ {out}/$(basename @)'",
        copies="out/*.ipynb",
    ),
    Tool(
        name="jupyter execute x2",
        environment="nbclient",
        packages=("nbclient",),
        command=_TWO + "jupyter execute --inplace @",
        copies="notebooks/*.ipynb",
    ),
    Tool(
        name="jupyter-cache",
        environment="jupyter-cache",
        packages=("jupyter-cache[cli]",),
        command=(
            "echo y | jcache notebook --cache-path {out}/cache add {dir}/*.ipynb"
            " && jcache project --cache-path {out}/cache execute --executor local-parallel"
            " --timeout 600"
        ),
    ),
    Tool(
        name="nbconvert loop",
        environment="nbconvert",
        packages=("nbconvert",),
        command=f'python -c "{_LOOP}" {{out}} {{dir}}/*.ipynb',
        copies="out/*.ipynb",
    ),
    Tool(
        name="nbdev-test",
        environment="nbdev",
        packages=("nbdev",),
        command="nbdev-test --n-workers 2 {dir}",
    ),
)

NOTES = {"nbdev-test": "in process, no kernel, nothing isolated"}
