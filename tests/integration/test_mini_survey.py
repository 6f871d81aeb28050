"""A day as a release manager: the shipped collection's notebook, and one built as DESI's minitest.

The first runs unchanged on this machine and on Slurm. The second has the structure of desitest's
minitest (https://github.com/desihub/desitest), not its code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbformat import v4
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

STEPS = '''
"""The steps of a survey's pipeline, each a program of its own: `steps.py STEP FOLDER SEED`."""
import sys
from pathlib import Path

import numpy as np
from astropy.table import Table, join, vstack

TILES = (1, 2)


def targets(folder, rng):
    table = Table({"TARGETID": np.arange(200) + 39_000_000, "Z_TRUE": rng.uniform(0.1, 1.2, 200)})
    table.write(folder / "targets/targets.fits", overwrite=True)


def fiberassign(folder, rng):
    table = Table.read(folder / "targets/targets.fits")
    for tile in TILES:
        table[tile - 1 :: 2].write(folder / f"fiberassign/tile-{tile}.fits", overwrite=True)


def redshifts(folder, rng):
    for tile in TILES:
        table = Table.read(folder / f"fiberassign/tile-{tile}.fits")
        table["Z"] = table["Z_TRUE"] + rng.normal(0, 1e-4, len(table))
        table.write(folder / f"spectro/redux/mini/zbest-{tile}.fits", overwrite=True)


def zcatalog(folder, rng):
    tables = [Table.read(folder / f"spectro/redux/mini/zbest-{tile}.fits") for tile in TILES]
    zcat = join(vstack(tables), Table.read(folder / "targets/targets.fits"), keys="TARGETID")
    zcat.sort("TARGETID")
    zcat.write(folder / "spectro/redux/mini/zcat.fits", overwrite=True)


step, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
globals()[step](folder, np.random.default_rng(seed))
print(f"{step}: done")
'''
MINITEST = (
    "seed = 21",
    """
import os, subprocess, sys, time
from pathlib import Path

basedir = Path(os.environ["MINITEST"])
logs = basedir / "logs"
for name in ("logs", "targets", "fiberassign", "spectro/redux/mini", "qa"):
    (basedir / name).mkdir(parents=True, exist_ok=True)
os.environ["SPECTRO_REDUX"] = str(basedir / "spectro/redux")
""",
    """
def runstep(step, *outfiles):
    \"\"\"Run a step on a compute node; its log is a file of its own.\"\"\"
    node = ["srun", "--qos", os.environ["MINITEST_QOS"], "-n", "1", "-t", "5"]
    command = [*node, sys.executable, "steps.py", step, str(basedir), str(seed)]
    start = time.monotonic()
    with (logs / f"{step}.log").open("w") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    missing = [name for name in outfiles if not (basedir / name).exists()]
    if code or missing:
        raise RuntimeError(f"{step}: {code}, {missing}: {(logs / f'{step}.log').read_text()}")
    print(f"{step}: {time.monotonic() - start:.1f} s")
""",
    'runstep("targets", "targets/targets.fits")',
    'runstep("fiberassign", "fiberassign/tile-1.fits", "fiberassign/tile-2.fits")',
    'runstep("redshifts", "spectro/redux/mini/zbest-1.fits", "spectro/redux/mini/zbest-2.fits")',
    'runstep("zcatalog", "spectro/redux/mini/zcat.fits")',
    """
from astropy.table import Table

zcat = Table.read(basedir / "spectro/redux/mini/zcat.fits")
scatter = abs(zcat["Z"] - zcat["Z_TRUE_1"]).max()
(basedir / "qa/qa.csv").write_text(f"targets,scatter\\n{len(zcat)},{scatter:.6f}\\n")
assert scatter < 1e-3
""",
)
MINITEST_CONFIG = """
[reference.minitest]
outputs = ["scratch/**"]
ignore = ["scratch/logs/**"]
keys = ["TARGETID"]
roots = {scratch = "$SCRATCH/minitest"}
variables = {MINITEST = "{scratch}", MINITEST_QOS = "interactive"}

[profiles.batch]
scheduler = "slurm"
queue = "normal"
qos = "interactive"
constraint = "cpu"
memory-per-core = "600M"
walltime = "10m"
"""
MINITEST_PRODUCTS = [
    *("fiberassign/tile-1.fits", "fiberassign/tile-2.fits"),
    *("logs/fiberassign.log", "logs/redshifts.log", "logs/targets.log", "logs/zcatalog.log"),
    "qa/qa.csv",
    *("spectro/redux/mini/zbest-1.fits", "spectro/redux/mini/zbest-2.fits"),
    *("spectro/redux/mini/zcat.fits", "targets/targets.fits"),
]


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


def test_a_release_manager_compares_the_minitest_of_two_releases(
    slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    """As DESI's: steps by srun, from a login node and inside of a job; products in $SCRATCH."""
    folder, scratch = tmp_path / "desitest", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "nbpipe.toml").write_text(MINITEST_CONFIG)
    cells = [v4.new_code_cell(text) for text in MINITEST]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(v4.new_notebook(cells=cells), folder / "minitest.ipynb")
    environ = {**slurm_cluster.environ, "SCRATCH": str(scratch)}

    def reference(*words: str, code: int = 0) -> str:
        return nbpipe(folder, environ, "reference", *words, code=code)

    def run(release: str, profile: str, *more: str) -> manifests.Manifest:
        named = ("--name", "minitest", "--release", release, "--profile", profile)
        reference("submit", "minitest.ipynb", *named, *more)
        reference("wait")
        reference("collect")
        return manifests.decode(reference("show").encode(), "show")

    made = run("21.2", "local")  # on a login node
    assert [each.path for each in made.outputs] == [f"scratch/{each}" for each in MINITEST_PRODUCTS]
    assert {each.error for each in made.outputs} == {None}
    assert list(made.roots) == ["scratch"]
    own = scratch / "minitest" / made.run
    assert made.roots["scratch"] == made.variables["MINITEST"] == str(own)
    assert "targets: done" in (own / "logs/targets.log").read_text()
    reference("promote", "--release", "21.2", "--reason", "the reference run of 21.2")
    shutil.rmtree(own)  # scratch is purged; the release has its own bytes

    later = run("21.3", "batch", "--variable", "MINITEST_QOS=normal")  # inside of a job
    assert later.run != made.run
    assert later.variables["MINITEST_QOS"] == "normal"
    assert [each.path for each in later.outputs] == [each.path for each in made.outputs]
    told = reference("compare", "--against", "21.2")
    assert "same" in told
    assert str(scratch) not in told
    assert "ok " in reference("verify", "minitest/21.2")
    archive = tmp_path / "minitest-21.2.zip"
    reference("export", "minitest/21.2", "--to", str(archive), "--creator", "Doe, Jane")
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    assert {f"files/scratch/{each}" for each in MINITEST_PRODUCTS} <= {*names}
