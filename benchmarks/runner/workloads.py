"""The notebooks that every runner gets: W1 to W5, made anew in an empty folder.

The last line of each leaves an empty file of its name in the folder that the variable RAN names;
it refuses to be run twice. So whoever measures sees what was really executed, of every tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nbformat
from nbformat import v4

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RAN = "NBPIPE_BENCHMARK_RAN"

_SPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
_MARK = "import os; open(os.path.join(os.environ['{variable}'], '{name}'), 'x').close()"

WORK_SECONDS = 0.5

_WORK = """\
import time
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
end = time.process_time() + {seconds}
while time.process_time() < end:
    values = np.sort(np.random.default_rng(1).normal(size=100_000))
"""
_PLOT = """\
frame = pd.DataFrame({'v': values})
plt.hist(frame.v, bins=50)
plt.show()
"""

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Some notebooks."""

    title: str
    cells: Callable[[float], dict[str, Cells]]
    """Returns the cells of each notebook by its name, at a scale: 1.0 is the real one."""
    seconds: Callable[[float], tuple[float, ...]] = lambda _: ()
    """Returns how many seconds each notebook takes at least, where that is known."""
    busy: bool = False
    """Whether they take them of a processor, rather than wait."""

    def build(self, folder: Path, scale: float = 1.0) -> tuple[str, ...]:
        """Write the notebooks; return their names without suffix."""
        notebooks = self.cells(scale)
        for name, sources in notebooks.items():
            mark = _MARK.format(variable=RAN, name=name)
            marked = (*sources[:-1], f"{sources[-1].rstrip()}\n{mark}")
            cells = [
                v4.new_code_cell(source, id=f"c{number}") for number, source in enumerate(marked)
            ]
            notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": _SPEC})
            nbformat.write(notebook, folder / f"{name}.ipynb")
        return tuple(notebooks)

    def bound(self, jobs: int, scale: float = 1.0) -> float | None:
        """Return the seconds that so many workers cannot beat; None where that is not known."""
        seconds = self.seconds(scale)
        return max(*seconds, sum(seconds) / jobs) if seconds else None


def _trivial(scale: float) -> dict[str, Cells]:
    return {f"n{number:02}": ("x = 1 + 1", "print(x)") for number in range(_some(40, scale))}


def _science(scale: float) -> dict[str, Cells]:
    work = _WORK.format(seconds=WORK_SECONDS)
    return {f"n{number:02}": (work, _PLOT) for number in range(_some(12, scale))}


def _work(scale: float) -> tuple[float, ...]:
    return (WORK_SECONDS,) * _some(12, scale)


def _naps(scale: float) -> tuple[float, ...]:
    count = _some(39, scale)
    return (
        *(round(0.2 + 0.8 * number / max(1, count - 1), 3) for number in range(count)),
        20.0 * scale,
    )


def _one_long(scale: float) -> dict[str, Cells]:
    *short, long = _naps(scale)
    naps = {f"n{number:02}": seconds for number, seconds in enumerate(short)} | {"z": long}
    return {name: (f"import time\ntime.sleep({nap})",) for name, nap in naps.items()}


def _many_cells(scale: float) -> dict[str, Cells]:
    return {"cells": tuple(f"x = {number}\nx" for number in range(_some(500, scale)))}


def _loud(scale: float) -> dict[str, Cells]:
    return {"loud": (f"for _ in range({_some(50_000, scale)}):\n    print('x' * 999)",)}


def _some(count: int, scale: float) -> int:
    return max(1, round(count * scale))


WORKLOADS = {
    "W1": Workload("forty trivial notebooks", _trivial),
    "W2": Workload(
        "twelve with numpy, pandas, matplotlib, 0.5 s of work and a plot",
        _science,
        _work,
        busy=True,
    ),
    "W3": Workload("39 that sleep 0.2 to 1 s, and one of 20 s, last by name", _one_long, _naps),
    "W4": Workload("one notebook of 500 tiny cells", _many_cells),
    "W5": Workload("one notebook that prints 50 MB", _loud),
}
