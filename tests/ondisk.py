"""Notebooks made on disk, and the command line run on them for real."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

REPOSITORY = Path(__file__).parents[1]


def lacking(part: str) -> None:
    """Skip a test for a part that this machine has not; fail where everything is required."""
    if os.environ.get("NBPIPE_REQUIRE") == "all":
        pytest.fail(f"{part} is missing, and NBPIPE_REQUIRE=all asks for everything")
    pytest.skip(f"{part} is missing", allow_module_level=True)


def imported(name: str) -> Any:  # noqa: ANN401
    """Return a module of a library that a test needs; see `lacking`."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        lacking(f"the library {error.name}")


def write_notebook(path: Path, *cells: Any, **metadata: Any) -> Path:  # noqa: ANN401
    """Write a notebook; a cell is its source, or a tuple of source and metadata."""
    nodes = []
    for cell in cells:
        source, cell_metadata = cell if isinstance(cell, tuple) else (cell, {})
        nodes.append(v4.new_code_cell(source, metadata=cell_metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=nodes, metadata=metadata), path)
    return path


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str
    report: dict[str, Any] | None = None
    output_dir: Path = field(default_factory=Path)

    def __getitem__(self, path: str) -> dict[str, Any]:
        """Return what the JSON report says about a notebook."""
        assert self.report is not None, self.err
        found = [each for each in self.report["notebooks"] if each["path"] == path]
        assert len(found) == 1, [each["path"] for each in self.report["notebooks"]]
        return found[0]

    def executed(self, path: str) -> nbformat.NotebookNode:
        """Return the executed copy of a notebook."""
        return nbformat.read(self.output_dir / self[path]["executed"], as_version=4)


@dataclass
class Collection:
    """A folder with notebooks, and the command line run in it."""

    root: Path
    output_dir: Path
    environ: dict[str, str] = field(default_factory=dict)

    def notebook(self, path: str, *cells: Any, **metadata: Any) -> Path:  # noqa: ANN401
        """Write a notebook of code cells; a cell is its source, or (source, metadata)."""
        return write_notebook(self.root / path, *cells, **metadata)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `nbpipe test` with a JSON report."""
        options = ["--output-dir", str(self.output_dir), "--report", f"json={self.report_path}"]
        return [sys.executable, "-m", "nbpipe", "test", *options, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """What a command gets: nothing of pytest's, which changes what ipykernel does."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        return kept | {"PYTHONWARNINGS": ""} | self.environ

    @property
    def report_path(self) -> Path:
        """Where the JSON report goes."""
        return self.output_dir.parent / f"{self.output_dir.name}.json"

    def test(self, *arguments: str, cwd: Path | None = None) -> Ended:
        """Run `nbpipe test` to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=cwd or self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return self.ended(done.returncode, done.stdout, done.stderr)

    def ended(self, code: int, out: str = "", err: str = "") -> Ended:
        """Return what a run left behind."""
        report = None
        if self.report_path.exists():
            report = json.loads(self.report_path.read_text(encoding="utf-8"))
        return Ended(code, out, err, report, self.output_dir)
