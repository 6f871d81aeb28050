"""A repository like a real collection: 1,000 files, 200 MB, of which one changes at a time."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOKS, BINARIES, FOLDERS = 900, 100, 105
TOTAL = 201_500_000
"""Bytes, in all."""


def git(folder: Path, *arguments: str) -> str:
    """Run git there and return what it says."""
    who = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def make(folder: Path, *, seed: int = 1) -> Path:
    """Make the working copy in `folder`, with a bare origin beside it; return the origin."""
    source = random.Random(seed)  # noqa: S311  (content, no secret)
    for number in range(NOTEBOOKS):
        file = folder / f"topic{number % FOLDERS:03}" / f"notebook{number:03}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_notebook(source, number), "utf-8")
    for number in range(BINARIES):
        file = folder / f"topic{number % FOLDERS:03}" / f"table{number:03}.fits"
        file.write_bytes(source.randbytes(TOTAL // 5 // BINARIES))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    origin = folder.with_name("origin.git")
    git(folder, "clone", "--quiet", "--bare", ".", str(origin))
    git(folder, "remote", "add", "origin", str(origin))
    return origin


def change(folder: Path, number: int) -> str:
    """Change one notebook, push it, and return the commit."""
    file = folder / f"topic{number % FOLDERS:03}" / f"notebook{number:03}.ipynb"
    notebook = json.loads(file.read_text("utf-8"))
    notebook["metadata"]["change"] = number
    file.write_text(json.dumps(notebook), "utf-8")
    git(folder, "commit", "--quiet", "--all", f"--message=change {number}")
    git(folder, "push", "--quiet", "origin", "main")
    return git(folder, "rev-parse", "HEAD")


def _notebook(source: random.Random, number: int) -> str:
    image = base64.b64encode(source.randbytes(TOTAL * 4 // 5 * 3 // 4 // NOTEBOOKS)).decode()
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": image}}
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": f"cell{number}",
        "metadata": {},
        "outputs": [output],
        "source": "plot()",
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
