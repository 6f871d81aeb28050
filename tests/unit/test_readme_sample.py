"""The first output that the README shows is what a run of these notebooks prints."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ondisk import REPOSITORY

from nbpipe.model import Category, Failure, Outcome, Result, Run, Task
from nbpipe.reports import ConsoleReporter

MISSING = Failure(
    category=Category.MISSING_PACKAGE,
    name="ModuleNotFoundError",
    message="No module named 'ccdproc'",
    signature="ModuleNotFoundError: No module named 'ccdproc'",
    traceback="Cell In[2], line 1\n----> 1 import ccdproc\n\nModuleNotFoundError: ...",
    cell=2,
    source="import ccdproc",
)


def result(path: str, seconds: float, kernel: str = "python3") -> Result:
    task = Task(path=path, file=Path("/c") / path, why="", kernel=kernel)
    return Result(
        task=task,
        outcome=Outcome.PASSED,
        kernel=kernel,
        seconds=seconds,
        attempts=1,
        cells_total=9,
        cells_executed=9,
    )


def test_the_sample_is_what_is_printed() -> None:
    failed = replace(
        result("05_Contrib/Reduction.ipynb", 0.9),
        outcome=Outcome.FAILED,
        cells_executed=1,
        failures=(MISSING,),
        executed="05_Contrib/Reduction.ipynb",
        log="05_Contrib/Reduction.log",
    )
    passed = (
        result("01_GettingStarted/02_FITSImages.ipynb", 2.1),
        result("04_HowTos/PhotometricCalibrationInR.ipynb", 1.8, "ir"),
    )
    run = Run(
        id="20260131T120000-a3e82e",
        started=datetime(2026, 1, 31, 12, tzinfo=UTC),
        seconds=3.4,
        root=Path("/c"),
        output_dir=Path("…/runs/20260131T120000-a3e82e"),
        commit=None,
        host="h",
        version="1",
        python="3.11",
        jobs=2,
        results=(*passed, failed),
        excluded=(),
    )
    stream = io.StringIO()
    ConsoleReporter(next_command=lambda _: "nbpipe test --lf").report(run, stream)
    sample = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("```\n")[5]
    assert stream.getvalue().strip("\n") == sample.strip("\n")
