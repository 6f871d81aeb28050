"""A long plan on real arrays: every notebook comes back once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from nbpipe.cluster.array_workers import ArrayWorkers
from nbpipe.cluster.run import Cluster, Terms
from nbpipe.model import Category, Outcome, Task
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.slurm import Slurm

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from clusters import SlurmCluster

    from nbpipe.model import Progress, Result

NOTEBOOKS = 10_000 if os.environ.get("NBPIPE_LONG") else 400
WORKERS = 6
"""More than one array may have tasks here (MaxArraySize=5)."""


class Counting:
    """A listener that counts."""

    def __init__(self) -> None:
        self.finishes: Counter[str] = Counter()

    def started(self, progress: Progress) -> None:
        """A notebook starts."""

    def moved(self, progress: Progress) -> None:
        """It reached another cell."""

    def finished(self, result: Result) -> None:
        """It has its result."""
        self.finishes[result.path] += 1


def test_a_long_plan_comes_to_its_end_on_several_arrays(
    slurm_cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their notebooks are gone when the workers come to them: the fastest verdict that there is."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    profile = Profile(name="n", scheduler="slurm", memory=300 << 20, walltime=3600, queue="normal")
    tasks = [
        Task(path=f"n{number}.ipynb", file=tmp_path / f"n{number}.ipynb", why="*", kernel="python3")
        for number in range(NOTEBOOKS)
    ]
    listener = Counting()
    folder = tmp_path / "output" / ".cluster-1"
    (tmp_path / "output").mkdir()
    cluster = Cluster(
        tasks,
        folder=folder,
        output_dir=tmp_path / "output",
        listener=listener,
        workers=ArrayWorkers(Slurm(slurm_cluster.environ), profile, WORKERS),
        terms=Terms(),
    )
    results = asyncio.run(cluster.run())
    assert len(results) == NOTEBOOKS
    assert set(listener.finishes.values()) == {1}
    assert {each.outcome for each in results} == {Outcome.FAILED}
    assert {each.failures[0].category for each in results} == {Category.INVALID_NOTEBOOK}
    assert not folder.exists()
    names = slurm_cluster.daemons.run("squeue", "-h", "-o", "%j")
    assert "nbpipe-test" not in names
