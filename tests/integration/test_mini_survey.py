"""The integration notebook of the shipped collection, unchanged on this machine and on Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ondisk import REPOSITORY

from nbpipe.reference import manifest as manifests

if TYPE_CHECKING:
    from pathlib import Path

    from clusters import SlurmCluster

SLURM = """
[profiles.small]
scheduler = "slurm"
cores = 1
memory = "1G"
walltime = "20m"
queue = "normal"
"""


def nbpipe(folder: Path, environ: dict[str, str], *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "nbpipe", *words],
        cwd=folder,
        env=os.environ
        | environ
        | {"NBPIPE_REFERENCE": str(folder.parent / "store")}
        | {"XDG_STATE_HOME": str(folder.parent / "state"), "XDG_CONFIG_HOME": str(folder.parent)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("where", ["local", "slurm"])
def test_the_mini_survey_runs_unchanged(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "collections"
    folder.mkdir()
    shutil.copytree(REPOSITORY / "collections/06_Integration", folder / "06_Integration")
    shutil.copytree(REPOSITORY / "collections/tests", folder / "tests")
    config = (REPOSITORY / "collections/nbpipe.toml").read_text()
    (folder / "nbpipe.toml").write_text(config + (SLURM if where == "slurm" else ""))
    environ: dict[str, str] = {}
    if where == "slurm":
        cluster: SlurmCluster = request.getfixturevalue("slurm_cluster")
        environ = dict(cluster.environ)
    nbpipe(
        folder,
        environ,
        *("reference", "submit", "06_Integration/MiniSurvey.ipynb", "--name", "minisurvey"),
        *("--release", "1.0", "--profile", "small" if where == "slurm" else "local"),
        *("-p", "targets", "300", "-p", "fibres", "64"),
    )
    nbpipe(folder, environ, "reference", "wait")
    nbpipe(folder, environ, "reference", "collect")
    made = manifests.decode(nbpipe(folder, environ, "reference", "show").encode(), "show")
    kinds = {output.path.rpartition("/")[2]: output.kind for output in made.outputs}
    assert kinds == {
        "fiberassign.fits": "fits",
        "qa.csv": "csv",
        "redshifts.png": "png",
        "sky.png": "png",
        "spectra-0.h5": "hdf5",
        "spectra-1.h5": "hdf5",
        "targets.fits": "fits",
        "zbest-0.fits": "fits",
        "zbest-1.fits": "fits",
        "zcat.fits": "fits",
        "zcat.parquet": "parquet",
    }
    assert [output.error for output in made.outputs] == [None] * 11
    assert len(made.jobs) == (3 if where == "slurm" else 1)
    assert {job.state for job in made.jobs} == {"completed"}
