"""What real programs leave in a notebook that they ran and saved is no work to getlatest."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nbpipe.publishing.copies.substance import substance

if TYPE_CHECKING:
    from pathlib import Path

CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "text"]},
    {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "source": "x = 1",
    },
    {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": ["import time\n", "time.sleep(0.01)\n", "print(x)\n", "x"],
    },
]
PYTHON = {"kernelspec": {"display_name": "P", "language": "python", "name": "python3"}}


def written(folder: Path, minor: int) -> Path:
    """Write a notebook that nobody ran, as an older or a newer Jupyter does."""
    cells = [{**cell, "id": f"c{n}"} if minor >= 5 else cell for n, cell in enumerate(CELLS)]
    table = {"cells": cells, "metadata": PYTHON, "nbformat": 4, "nbformat_minor": minor}
    file = folder / "n.ipynb"
    file.write_text(json.dumps(table))
    return file


@pytest.mark.parametrize("minor", [2, 5])
@pytest.mark.parametrize(
    "words",
    [
        ("nbconvert", "--to", "notebook", "--execute", "--inplace", "n.ipynb"),
        ("papermill", "n.ipynb", "n.ipynb", "--no-progress-bar"),
    ],
    ids=lambda words: words[0],
)
def test_a_notebook_that_a_program_ran_is_the_same_work(
    tmp_path: Path, words: tuple[str, ...], minor: int
) -> None:
    file = written(tmp_path, minor)
    before = substance(file.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    after = json.loads(file.read_text())
    assert any(cell.get("outputs") for cell in after["cells"])
    assert substance(file.read_bytes()).same_work(before)
