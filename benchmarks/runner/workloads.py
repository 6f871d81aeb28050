"""The notebooks that every runner gets: W1 to W5, made anew in an empty folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
from nbformat import v4

if TYPE_CHECKING:
    from pathlib import Path

SPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}

SCIENCE = """
import time
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
end = time.process_time() + 0.5
while time.process_time() < end:
    values = np.sort(np.random.default_rng(1).normal(size=100_000))
"""


def write(path: Path, *sources: str) -> None:
    """Write one notebook."""
    cells = [v4.new_code_cell(source) for source in sources]
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": SPEC}), path)


def trivial(folder: Path) -> None:
    """W1: forty trivial notebooks."""
    for number in range(40):
        write(folder / f"n{number:02}.ipynb", "x = 1 + 1", "print(x)")


def science(folder: Path) -> None:
    """W2: twelve with scientific imports, half a second of work and a plot."""
    for number in range(12):
        plot = "frame = pd.DataFrame({'v': values})\nplt.hist(frame.v, bins=50)\nplt.show()"
        write(folder / f"n{number:02}.ipynb", SCIENCE, plot)


def one_long(folder: Path) -> None:
    """W3: thirty-nine that sleep 0.2 to 1 s, and one of 20 s, last in the alphabet."""
    for number in range(39):
        write(folder / f"n{number:02}.ipynb", f"import time\ntime.sleep({0.2 + 0.8 * number / 38})")
    write(folder / "z.ipynb", "import time\ntime.sleep(20)")


def many_cells(folder: Path) -> None:
    """W4: one notebook of 500 tiny cells."""
    write(folder / "cells.ipynb", *(f"x = {number}\nx" for number in range(500)))


def loud(folder: Path) -> None:
    """W5: one notebook that prints 50 MB."""
    write(folder / "loud.ipynb", "for _ in range(50_000):\n    print('x' * 999)")


WORKLOADS = {"W1": trivial, "W2": science, "W3": one_long, "W4": many_cells, "W5": loud}
