"""Widgets that take output: nbclient answers the kernel while the kernel answers it.

From nbclient's `Output.ipynb` and voila's `output.ipynb`, which stall now and then where a reply
that arrives during a send is not noticed; here often enough that it would show. Needs ipywidgets.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CELLS = ["import ipywidgets\nout = ipywidgets.Output()", *["with out:\n    print(1)"] * 400]


@pytest.fixture
def widgets(tmp_path: Path) -> Path:
    """A notebook whose every cell prints into a widget."""
    if importlib.util.find_spec("ipywidgets") is None:
        reason = "ipywidgets is not installed"
        if os.environ.get("NBPIPE_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for source in CELLS
    ]
    notebook = tmp_path / "widgets.ipynb"
    notebook.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    )
    return notebook


def test_no_reply_is_lost_while_a_widget_takes_the_output(widgets: Path) -> None:
    folder = widgets.parent
    output = [
        "--output-dir",
        str(folder / "executed"),
        "--report",
        f"json={folder / 'report.json'}",
    ]
    subprocess.run(
        [sys.executable, "-m", "nbpipe", "test", "--timeout", "60", *output, str(widgets)],
        cwd=folder,
        capture_output=True,
        check=False,
    )

    (result,) = json.loads((folder / "report.json").read_text())["notebooks"]
    assert (result["outcome"], result["cells"]) == ("passed", {"total": 401, "executed": 401})
