"""A large collection: everything around the kernels stays linear and small.

By default 300 notebooks whose kernel is missing, which costs next to nothing. NBPIPE_MANY=10000
asks for so many that are really executed; that takes a quarter of an hour on a quiet machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection

NUMBER = int(os.environ.get("NBPIPE_MANY", "300"))
REAL = "NBPIPE_MANY" in os.environ
MOST_EACH = 20_000
"""Bytes that the runner may grow by for each notebook."""

MEASURED = """
import sys
from nbpipe.cli import main
try:
    main()
finally:
    status = open("/proc/self/status").read()
    print("peak", status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def fill(root: Path, number: int) -> None:
    """Write notebooks, a hundred in each folder."""
    kernel = {"name": "python3"} if REAL else {"name": "nowhere", "language": "nothing"}
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": None}
    notebook = {
        "cells": [{**cell, "outputs": [], "source": "1 + 1"}],
        "metadata": {"kernelspec": {"display_name": "k", **kernel}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for each in range(number):
        file = root / f"{each // 100:03}/{each:05}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(notebook))


def run(collection: Collection, folder: str) -> tuple[int, int, str]:
    """Return how many had a result, the runner's peak in bytes, and what the console said."""
    options = ["--fork", "--progress", "plain", "--report", f"junit={folder}.xml"]
    command = collection.command(*options, folder)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command[3:]],
        cwd=collection.root,
        env=collection.environment,
        capture_output=True,
        text=True,
        timeout=3 * NUMBER + 300,
        check=False,
    )
    assert done.returncode == (0 if REAL else 1), done.stderr[-2000:]
    assert "warning" not in done.stderr
    report = json.loads(collection.report_path.read_text())
    peak = re.search(r"^peak (\d+)$", done.stderr, re.MULTILINE)
    assert peak is not None
    return report["summary"]["total"], int(peak[1]) * 1024, done.stdout


def test_many_notebooks_take_little_memory_each(collection: Collection) -> None:
    url = "sqlite:///history.sqlite"
    (collection.root / "nbpipe.toml").write_text(f'[history]\nurl = "{url}"\n')
    few = NUMBER // 10
    fill(collection.root / "few", few)
    fill(collection.root / "many", NUMBER)
    total, small, _ = run(collection, "few")
    assert total == few
    total, large, said = run(collection, "many")
    assert total == NUMBER
    assert large - small < MOST_EACH * (NUMBER - few) + 10_000_000
    assert large < 500_000_000
    if NUMBER > 200:
        assert len(said.splitlines()) < NUMBER + 100
    if REAL:  # what passed is told by folder
        assert len(said.splitlines()) < NUMBER // 100 + 100
