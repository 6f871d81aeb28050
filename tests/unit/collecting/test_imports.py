"""What `nbpipe test --list` must not pay for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree

SLOW = "asyncio IPython jupyter_client jupytext nbclient nbconvert nbformat papermill rich yaml zmq"


def loaded_after(code: str) -> set[str]:
    """Return the slow libraries that a fresh Python has loaded after the code."""
    code += f"; import sys; print(*(set({SLOW.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_collecting_is_imported_without_slow_libraries() -> None:
    assert loaded_after("import nbpipe.collecting") == set()


def test_a_plan_of_plain_notebooks_loads_no_slow_library(tree: Tree) -> None:
    tree.notebook("a.ipynb", jupytext={"formats": "ipynb,md:myst"})
    tree.write("README.md", "# Just text\n")
    code = (
        "from pathlib import Path; from nbpipe import config; "
        "from nbpipe.collecting import Selection, plan; "
        f"here = Path({str(tree.root)!r}); "
        "assert plan(Selection(cwd=here), config.load(here), kernels={}).tasks"
    )
    assert loaded_after(code) == set()
