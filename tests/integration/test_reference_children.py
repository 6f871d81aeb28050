"""The jobs that a reference run submits, however it does: on real Slurm and Grid Engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from clusters import until
from nbformat import v4

from nbpipe.reference import manifest as manifests
from nbpipe.reference.schedulers.unnoted import How

if TYPE_CHECKING:
    from clusters import SlurmCluster
    from gridengine_cluster import GridEngineCluster

PRELUDE = """
import os, shutil, subprocess
from pathlib import Path

def run(*words, check=True, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    assert done.returncode == 0 or not check, done

elsewhere = Path(os.environ["ELSEWHERE"])
beyond = os.environ["PATH"].partition(":")[2]  # the recorder's own folder stands first
def real(name):
    return shutil.which(name, path=beyond)

def wrapped(name, text="true"):
    return ("-J", name, "-o", "/dev/null", "-e", "/dev/null", "--wrap", text)
"""
ON_SLURM = """
bare = {"SLURM_CONF": os.environ["SLURM_CONF"]}
sbatch = real("sbatch")
run("sbatch", *wrapped("noted"))
run(sbatch, *wrapped("absolute"))
run("bash", "-l", "-c", "sbatch -J login -o /dev/null --wrap true")
run("sh", "-c", "PATH=/usr/bin:/bin; sbatch -J reset -o /dev/null --wrap true")
run(sbatch, *wrapped("emptied"), env=bare)
run(sbatch, *wrapped("emptied-elsewhere"), env=bare, cwd=elsewhere)
below = f"{sbatch} -J below-exported-nothing -o /dev/null --wrap true"
below = f"SLURM_CONF={bare['SLURM_CONF']} {below}"
run("sbatch", "--export=NONE", *wrapped("exported-nothing", below))
run("sbatch", *wrapped("grandparent", "sbatch -J grandchild -o /dev/null --wrap true"))
run("sbatch", "--wait", *wrapped("waiting", "exit 7"), check=False)
run("sbatch", *wrapped("patient", "until [ -e go-on ]; do sleep 0.1; done"))
run("sbatch", "--array=1-2", *wrapped("array"))
run("sbatch", "--partition=no-such", *wrapped("refused"), check=False)
run("srun", "-J", "launched", "-n", "1", "true")
run(real("srun"), "-J", "launched-elsewhere", "-n", "1", "true", cwd=elsewhere)
run("salloc", "-J", "allocated", "-n", "1", "srun", "-n", "1", "-J", "step", "true")
Path("submitted").touch()
import time
while not Path("go-on").exists():
    time.sleep(0.1)
"""
EXPECTED = {
    "noted": How.NOTED,
    "absolute": How.FOLDER,
    "login": How.NOTED,
    "reset": How.FOLDER,
    "emptied": How.FOLDER,
    "emptied-elsewhere": How.SESSION,
    "exported-nothing": How.NOTED,
    "below-exported-nothing": How.FOLDER,
    "grandparent": How.NOTED,
    "grandchild": How.NOTED,
    "waiting": How.NOTED,
    "patient": How.NOTED,
    "array": How.NOTED,
    "launched": How.FOLDER,
    "launched-elsewhere": How.SESSION,
    "allocated": How.FOLDER,
}


@dataclass
class Site:
    """A folder with a notebook, a store, and the command line in an environment."""

    folder: Path
    environ: dict[str, str]

    def make(self, *cells: str) -> None:
        """Write the notebook and its surroundings."""
        for name in ("repository", "elsewhere", "home"):
            (self.folder / name).mkdir()
        (self.folder / "home" / ".bash_profile").write_text("PATH=/usr/bin:/bin\n")
        sources = [v4.new_code_cell(each) for each in (PRELUDE, *cells)]
        nbformat.write(v4.new_notebook(cells=sources), self.folder / "repository" / "mini.ipynb")
        profile = 'cores = 1\nmemory = "500M"\nwalltime = "10m"\n'
        (self.folder / "repository" / "nbpipe.toml").write_text(
            f'[profiles.slurm]\nscheduler = "slurm"\n{profile}'
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a login node of the cluster."""
        places = {name: str(self.folder / "home") for name in ("HOME", "XDG_STATE_HOME")}
        return os.environ | self.environ | places | {"ELSEWHERE": str(self.folder / "elsewhere")}

    def run(self, *words: str, code: int = 0, **changes: str) -> str:
        """Return what `nbpipe reference` prints."""
        store = ("--store", str(self.folder / "store"))
        done = subprocess.run(
            [sys.executable, "-m", "nbpipe", "reference", *words, *store],
            cwd=self.folder / "repository",
            env=self.environment | changes,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def submit(self, *words: str, profile: str = "local") -> None:
        """Submit the notebook."""
        self.run(
            "submit", "mini.ipynb", "--name", "mini", "--release", "1", "--profile", profile, *words
        )

    @property
    def work(self) -> Path:
        """Where the notebook runs."""
        return max((self.folder / "store" / "mini" / "runs").iterdir()) / "work"

    def reached(self, name: str) -> None:
        """Wait until the notebook made a file."""
        until(lambda: (self.work / name).exists() or self._over(), f"{name} in {self.work}")
        assert (self.work / name).exists(), (self.work.parent / "job.out").read_text()

    def _over(self) -> bool:
        return (self.work.parent / "result.json").exists()

    @property
    def manifest(self) -> manifests.Manifest:
        """Return what was collected."""
        return manifests.decode(self.run("show", "latest").encode(), "show")


@pytest.fixture
def on_slurm(tmp_path: Path, slurm_cluster: SlurmCluster) -> Site:
    return Site(tmp_path, dict(slurm_cluster.environ))


def name_of(cluster: SlurmCluster, job: str) -> str:
    """Return a job's name; srun and salloc give theirs a moment later than Slurm knows the job."""
    found = "allocation"

    def is_named() -> bool:
        nonlocal found
        words = ("-n", "-X", "-P", "-o", "JobName", "-j", job)
        found = cluster.daemons.run("sacct", *words).split()[0]
        return found != "allocation"

    until(is_named, f"the name of job {job}")
    return found


def test_a_run_on_a_login_node_finds_its_jobs_however_they_were_submitted(
    on_slurm: Site, slurm_cluster: SlurmCluster
) -> None:
    on_slurm.make(ON_SLURM)
    on_slurm.submit()
    on_slurm.reached("submitted")
    ask = slurm_cluster.daemons.run
    others = ("-D", str(on_slurm.folder), "-o", "/dev/null", "--parsable", "--wrap", "true")
    foreign = ask("sbatch", *others).strip()
    patient = ask("squeue", "-h", "-n", "patient", "-o", "%i").split()[-1]
    after = ask("sbatch", f"--dependency=afterok:{patient}", *others).strip()
    told = on_slurm.run("status")
    assert f"job {after} is not counted as the run's, though it waits for job {patient}" in told
    assert f"[{How.SESSION}]" in told
    (on_slurm.work / "go-on").touch()
    on_slurm.run("wait")
    on_slurm.run("collect")
    made = on_slurm.manifest
    own, *children = made.jobs
    names = {name_of(slurm_cluster, each.id): each for each in children}
    assert {name: each.found for name, each in names.items()} == EXPECTED
    assert not {foreign, after} & {each.id for each in children}
    (note,) = (each for each in made.notes if "job" in each)
    assert f"job {after} is not counted" in note
    assert {each.scheduler for each in children} == {"slurm"}
    assert (own.scheduler, own.found, own.parent) == ("local", "", None)
    failed = names.pop("waiting")
    assert (failed.state, failed.exit) == ("failed", 7)
    assert {each.state for each in names.values()} == {"completed"}
    assert names["grandchild"].parent == names["grandparent"].id
    assert names["grandparent"].children == (names["grandchild"].id,)
    assert names["noted"].parent == own.id
    assert [(each.name, each.exit) for each in names["allocated"].steps] == [("step", 0)]
    assert made.unseen == ()


MIXED = """
both = {name: os.environ[name] for name in os.environ if name.startswith(("SGE_", "SLURM_CONF"))}
quiet = ("-terse", "-b", "y", "-j", "y", "-o", "/dev/null")
run("sbatch", *wrapped("held", "sleep 600"))
run("qsub", *quiet, "sleep", "600")
run(real("qsub"), *quiet, "-cwd", "sleep", "600", env=both)
run(real("qsub"), *quiet, "-V", "sleep", "600", cwd=elsewhere)
Path("submitted").touch()
import time
time.sleep(600)
"""


@pytest.fixture
def on_both(on_slurm: Site, gridengine_cluster: GridEngineCluster) -> Site:
    of_grid_engine = gridengine_cluster.environ.items()
    on_slurm.environ |= {name: value for name, value in of_grid_engine if name.startswith("SGE_")}
    return on_slurm


def test_status_and_cancel_reach_the_children_of_every_scheduler(on_both: Site) -> None:
    on_both.make(MIXED)
    on_both.submit()
    on_both.reached("submitted")
    only = on_both.folder / "only-grid-engine"
    only.mkdir()
    slurms = {"squeue", "sacct", "scancel", "sbatch"}
    for name in {file.name for file in Path("/usr/bin").iterdir()} - slurms:
        (only / name).symlink_to(f"/usr/bin/{name}")
    told = on_both.run("status", PATH=str(only))
    assert len(re.findall(r"on gridengine  (?:pending|running)", told)) == 3, told
    assert "no news: slurm: the program squeue cannot be started" in told
    assert "slurm could not be asked for more jobs of this run" in told
    assert "the program scancel cannot be started" in on_both.run("cancel", code=4, PATH=str(only))
    on_both.run("cancel")
    on_both.run("wait", code=1)
    on_both.run("collect", code=1)
    _, *children = on_both.manifest.jobs
    assert sorted((each.scheduler, each.state, each.found) for each in children) == [
        ("gridengine", "cancelled", How.FOLDER),
        ("gridengine", "cancelled", How.VARIABLES),
        ("gridengine", "cancelled", How.NOTED),
        ("slurm", "cancelled", How.NOTED),
    ]
    assert any("Grid Engine's accounting" in each for each in on_both.manifest.unseen)


CHAIN = """
quiet = ("-terse", "-b", "y", "-j", "y", "-o", "/dev/null")
run("qsub", *quiet, "-V", "-cwd", "-sync", "y", "sbatch", "-o", "/dev/null", "--wrap", "true")
run("qsub", *quiet[:1], *quiet[3:], "-sync", "y", input="exit 7", check=False)
run("srun", "-n", "1", "true")
"""


def test_a_job_of_slurm_submits_to_grid_engine_which_submits_to_slurm(on_both: Site) -> None:
    on_both.make(CHAIN)
    on_both.submit(profile="slurm")
    on_both.run("wait")
    on_both.run("collect")
    made = on_both.manifest
    own, *children = made.jobs
    (step,) = own.steps
    assert (own.scheduler, step.name, step.exit) == ("slurm", "true", 0)
    assert step.call.endswith("srun -n 1 true")
    assert all(each.parent == own.id for each in children if each.scheduler == "gridengine")
    (last,) = (each for each in children if each.scheduler == "slurm")
    first, failed = (each for each in children if each.scheduler == "gridengine")
    assert (first.state, first.found) == ("completed", How.NOTED)
    assert (failed.state, failed.exit, failed.found) == ("failed", 7, How.NOTED)
    # Grid Engine starts a login shell, which resets PATH, and passes no BASH_ENV on.
    assert (last.state, last.found) == ("completed", How.FOLDER)
