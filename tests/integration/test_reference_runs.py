"""A notebook as a reference run: on this machine, on real Slurm, on real Grid Engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jsonschema
import nbformat
import psutil
import pytest
from clusters import until
from nbformat import v4

from nbpipe.distribution import NAME
from nbpipe.reference import manifest as manifests

CATALOGUE = """
import numpy as np
rng = np.random.default_rng(1)
z = rng.uniform(0, 1, 200) + shift
lines = [f"{number},{value:.8f},{number * 2}" for number, value in enumerate(z)]
open("zcat.csv", "w").write("id,z,flux\\n" + "\\n".join(lines) + "\\n")
"""
CHILDREN = """
import os, shutil, subprocess
if shutil.which("sbatch") and os.environ.get("SLURM_JOB_ID"):
    call = ["sbatch", "--parsable", "-n", "2", "-o", "child-%j.log", "--wrap", "sleep 2; echo done"]
elif shutil.which("qsub") and os.environ.get("SGE_ROOT"):
    call = ["qsub", "-terse", "-b", "y", "-cwd", "-o", "child.log", "-j", "y", "/bin/sleep", "2"]
else:
    call = ["true"]
for _ in range(2):
    subprocess.run(call, check=True)
"""


if TYPE_CHECKING:
    from pathlib import Path

    from clusters import SlurmCluster
    from gridengine_cluster import GridEngineCluster


@dataclass
class Site:
    """A repository with a notebook, a store, and the command line in its environment."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def root(self) -> Path:
        return self.folder / "repository"

    def make(self, config: str = "") -> None:
        self.root.mkdir()
        cells = [
            v4.new_code_cell("shift = 0.0", metadata={"tags": ["parameters"]}),
            v4.new_code_cell(CATALOGUE),
            v4.new_code_cell(CHILDREN),
        ]
        (self.root / "qa").mkdir()
        nbformat.write(v4.new_notebook(cells=cells), self.root / "qa" / "mini.ipynb")
        (self.root / "nbpipe.toml").write_text(config)
        for words in (
            ("init", "-q"),
            ("add", "-A"),
            ("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first"),
        ):
            subprocess.run(["git", "-C", str(self.root), *words], check=True)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "nbpipe", "reference", *words, "--store", str(self.store)]

    @property
    def environment(self) -> dict[str, str]:
        state = {"XDG_STATE_HOME": str(self.folder / "state"), "XDG_CONFIG_HOME": str(self.folder)}
        return os.environ | state | self.environ

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def submit(self, *words: str, release: str = "1.0", profile: str = "local") -> None:
        notebook = ("qa/mini.ipynb", "--name", "mini", "--release", release)
        self.run("submit", *notebook, "--profile", profile, *words)

    def manifest(self, run: str = "latest") -> manifests.Manifest:
        return manifests.decode(self.run("show", run).encode(), "show")

    @property
    def folder_of_run(self) -> Path:
        return max((self.store / "mini" / "runs").iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.make()
    return made


def released(site: Site, profile: str) -> None:
    """Run two releases, compare them, with and without tolerances."""
    site.submit("--outputs", "qa/*.csv", profile=profile)
    site.run("wait")
    site.run("collect")
    site.run("promote", "--release", "1.0", "--reason", "the first")
    moved = ("-p", "shift", "0.001", "--outputs", "qa/*.csv")
    site.submit(*moved, release="1.1", profile=profile)
    site.run("wait")
    site.run("collect")
    told = site.run("compare", "--against", "1.0", code=1)
    assert "zcat.csv" in told
    assert " z " in told
    assert "0.001" in told
    assert "flux" not in told
    more = "\n[reference.mini]\nabsolute = 0.01\n"
    config = site.root / "nbpipe.toml"
    assert "no [reference.mini] in" in told
    config.write_text(config.read_text() + more)
    assert "different" in site.run("list")
    told = site.run("compare", "--against", "1.0", code=0)
    assert "[reference.mini]" not in told
    assert "by the rules in" in told
    for command in ("list", "status", "show"):  # one verdict, kept with the run
        said = site.run(command)
        assert "within tolerance" in said
        assert "different" not in said


def test_two_releases_on_this_machine(site: Site) -> None:
    released(site, "local")
    site.run("compare", "--against", "mini/1.0", code=0)
    report = site.run("compare", "--against", "1.0", "--report", "json=-")
    assert json.JSONDecoder().raw_decode(report)[0]["name"] == "mini"  # standard output alone
    refused = site.run("compare", "--report", f"html={site.root}", code=4)
    assert "the report cannot be written: it is a folder" in refused
    schema = manifests.schema()
    jsonschema.validate(json.loads(site.run("show", "mini/1.0")), schema)
    made = site.manifest()
    assert [output.path for output in made.outputs] == ["qa/zcat.csv"]
    assert made.parameters == {"shift": 0.001}
    assert made.commit is not None
    assert made.packages[NAME]
    assert [(cell.index, cell.title) for cell in made.cells] == [
        (0, "shift = 0.0"),
        (1, "import numpy as np"),
        (2, "import os, shutil, subprocess"),
    ]
    assert [job.state for job in made.jobs] == ["completed"]
    assert not (site.root / "qa" / "zcat.csv").exists()
    assert "release  mini  1.0" in site.run("list")


def test_a_reference_cannot_be_changed_by_anybody(site: Site) -> None:
    site.submit()
    site.run("wait")
    site.run("collect")
    site.run("promote", "--release", "1.0", "--reason", "x")
    folder = site.store / "mini" / "releases" / "1.0" / "1"
    modes = {path.stat().st_mode & 0o222 for path in (folder, *folder.rglob("*"))}
    assert modes == {0}
    told = site.run("promote", "--release", "1.0", "--reason", "again", code=4)
    assert "has a reference already" in told


def promoted(site: Site, *code: str, outputs: str = "qa/**") -> Path:
    """Run a notebook of these cells and promote it; return the release's folder."""
    cells = [v4.new_code_cell(each) for each in code]
    nbformat.write(v4.new_notebook(cells=cells), site.root / "qa" / "mini.ipynb")
    site.submit("--outputs", outputs)
    site.run("wait")
    site.run("collect")
    site.run("promote", "--release", "1.0", "--reason", "x")
    return site.store / "mini" / "releases" / "1.0" / "1"


def test_a_release_owns_its_bytes(site: Site) -> None:
    folder = promoted(site, "open('a.txt', 'w').write('first')", outputs="*.txt")
    assert (folder / "files/qa/a.txt").read_text() == "first"
    (site.folder_of_run / "work/qa/a.txt").write_text("later")
    assert (folder / "files/qa/a.txt").read_text() == "first"
    assert "ok " in site.run("verify")


def test_a_link_to_elsewhere_is_kept_as_what_it_leads_to(site: Site) -> None:
    outside = site.folder / "outside.dat"
    outside.write_text("precious")
    outside.chmod(0o640)
    folder = promoted(site, f"import os; os.symlink({str(outside)!r}, 'link.dat')", outputs="*.dat")
    assert outside.stat().st_mode & 0o777 == 0o640
    outside.write_text("gone")
    kept = folder / "files/qa/link.dat"
    assert (kept.is_symlink(), kept.read_text()) == (False, "precious")
    assert site.manifest("mini/1.0").outputs[0].link == str(outside)


def test_verify_names_what_is_not_as_it_was_promoted(site: Site) -> None:
    folder = promoted(site, "for name in 'abc': open(f'{name}.txt', 'w').write(name)")
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755)
    (folder / "files/qa/a.txt").write_text("A")
    (folder / "files/qa/b.txt").unlink()
    (folder / "files/qa/d.txt").touch()
    (folder / "record/job.out").write_text("")
    told = site.run("verify", "mini/1.0", code=1)
    assert [line.strip() for line in told.splitlines()] == [
        "WRONG  mini 1.0 (revision 1)",
        "files/qa/b.txt: is missing",
        "files/qa/d.txt: does not belong to it",
        "files/qa/a.txt: has other content than what was promoted",
        "record/job.out: has other content than what was promoted",
    ]
    assert "release not found: mini/2.0" in site.run("verify", "mini/2.0", code=4)


def test_a_product_that_changed_after_collect_is_not_promoted(site: Site) -> None:
    site.submit()
    site.run("wait")
    site.run("collect")
    (site.folder_of_run / "work/qa/zcat.csv").write_text("other\n")
    told = site.run("promote", "--release", "1.0", "--reason", "x", code=4)
    assert "zcat.csv: has changed since it was collected" in told
    assert list((site.store / "mini" / "releases" / "1.0").iterdir()) == []


def test_a_release_keeps_the_executed_notebook_logs_and_who_promoted_it(site: Site) -> None:
    (site.root / "qa" / "dirty.txt").write_text("not committed")
    folder = promoted(site, "print('hello')")
    record = {each.path for each in site.manifest("mini/1.0").record}
    assert {"job.out", "request.json", "result.json", "executed/qa/mini.ipynb"} <= record
    executed = nbformat.read(folder / "record/executed/qa/mini.ipynb", 4)
    assert executed.cells[0].outputs[0].text == "hello\n"
    made = site.manifest("mini/1.0")
    assert made.promoted is not None
    assert made.promoted.by
    assert made.source.changed == ("qa/mini.ipynb", "qa/dirty.txt")


def test_submodules_are_copied_and_ignored_data_are_told(site: Site) -> None:
    library = site.folder / "library"
    library.mkdir()
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    (library / "tool.txt").write_text("from the submodule")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "x")):
        subprocess.run([*git, "-C", str(library), *words], check=True)
    subprocess.run(
        [*git, "-C", str(site.root), "submodule", "--quiet", "add", str(library), "lib"], check=True
    )
    (site.root / ".gitignore").write_text("*.big\n__pycache__/\n")
    (site.root / "qa" / "data.big").write_text("x")
    (site.root / "__pycache__").mkdir()
    (site.root / "__pycache__" / "x.pyc").touch()
    cells = [v4.new_code_cell("open('out.txt', 'w').write(open('../lib/tool.txt').read())")]
    nbformat.write(v4.new_notebook(cells=cells), site.root / "qa" / "mini.ipynb")
    told = site.run("submit", "qa/mini.ipynb", "--name", "mini", "--release", "1")
    assert "1 ignored file or folder not copied" in told
    assert "qa/data.big" in told
    site.run("wait")
    site.run("collect")
    source = site.manifest().source
    assert list(source.submodules) == ["lib"]
    assert len(source.submodules["lib"]) == 40
    assert source.left_out == ("qa/data.big",)


def test_products_of_the_first_attempt_of_a_requeued_job_are_products(site: Site) -> None:
    code = (
        "import os\n"
        "name = 'second.txt' if os.path.exists('first.txt') else 'first.txt'\n"
        "open(name, 'w').write('x')"
    )
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(code)]), site.root / "qa" / "mini.ipynb")
    site.submit()
    site.run("wait")
    folder = site.folder_of_run
    again = [sys.executable, "-m", "nbpipe.batch.job", str(folder)]
    subprocess.run(again, cwd=folder, env=site.environment, check=True, capture_output=True)
    site.run("collect")
    assert [each.path for each in site.manifest().outputs] == ["qa/first.txt", "qa/second.txt"]


def test_doubtful_products_are_told_before_they_are_a_reference(site: Site) -> None:
    nbformat.write(
        v4.new_notebook(cells=[v4.new_code_cell("open('empty.csv', 'w')")]),
        site.root / "qa" / "mini.ipynb",
    )
    site.submit("--outputs", "qa/*.csv", "--outputs", "qa/*.fits")
    site.run("wait")
    for words in (("collect",), ("promote", "--release", "1.0", "--reason", "x")):
        told = site.run(*words)
        assert "warning: qa/empty.csv: is empty" in told
        assert "warning: no output matches 'qa/*.fits'" in told


def test_accepted_outputs_are_a_new_revision_that_says_why(site: Site) -> None:
    site.submit()
    site.run("wait")
    site.run("collect")
    site.run("promote", "--release", "1.0", "--reason", "x")
    site.submit("-p", "shift", "0.5", release="1.1")
    site.run("wait")
    site.run("collect")
    site.run("compare", code=1)
    site.run("accept", "--only", "*.csv", "--reason", "a new zero point")
    site.run("compare", code=0)
    accepted = site.manifest("mini/1.0").accepted
    assert [(each.only, each.reason) for each in accepted] == [(("*.csv",), "a new zero point")]
    assert (site.store / "mini" / "releases" / "1.0" / "1" / "manifest.json").exists()


def test_a_failing_notebook_is_collected_and_never_promoted(site: Site) -> None:
    site.submit("-p", "shift", "no number")
    told = site.run("wait", code=1)
    assert "failed" in told
    site.run("collect", code=1)
    told = site.run("promote", "--release", "1.0", "--reason", "x", code=4)
    assert "cannot be a reference" in told


def test_what_may_be_amiss_is_told_before_a_job_waits_for_it(site: Site) -> None:
    notebook = ("qa/mini.ipynb", "--name", "mini", "--release", "1.0")
    told = site.run("submit", *notebook, "-p", "shfit", "1", "-p", "shift", "2")
    assert "no cell mentions the parameter shfit: it has no effect" in told
    assert "no [reference.mini] in" in told
    assert "warning" not in site.run("submit", *notebook, "-p", "shift", "2", "--outputs", "*.csv")
    told = site.run("submit", *notebook, "--kernel", "nosuch")
    assert "warning: kernel 'nosuch' is not installed here" in told


def test_a_notebook_that_cannot_be_started_is_a_failure_with_its_cause(site: Site) -> None:
    made = nbformat.read(site.root / "qa" / "mini.ipynb", as_version=4)
    made.metadata["kernelspec"] = {"name": "cobol", "display_name": "Cobol", "language": "cobol"}
    nbformat.write(made, site.root / "qa" / "mini.ipynb")
    site.submit()
    told = site.run("wait", code=1)
    assert "failed  (exit code 1)" in told
    assert "kernel-missing" in told
    assert "Traceback" not in told
    site.run("collect", code=1)


def test_what_was_accepted_into_an_old_release_makes_it_no_newer(site: Site) -> None:
    for release in ("1.0", "1.1"):
        site.submit("-p", "shift", release, release=release)
        site.run("wait")
        site.run("collect")
        site.run("promote", "--release", release, "--reason", "x")
    site.run("accept", "--release", "1.0", "--only", "*.csv", "--reason", "x")
    assert "mini: 1.1 against 1.1" in site.run("compare")


def test_a_run_survives_its_submitter_and_is_found_by_its_name(site: Site) -> None:
    site.submit()
    folder = site.folder_of_run
    submission = json.loads((folder / "submission.json").read_text())
    job = submission.pop("job")
    (folder / "submission.json").write_text(json.dumps(submission))  # died before writing it
    told = site.run("wait")
    assert job in told
    assert json.loads((folder / "submission.json").read_text())["job"] == job


def test_waiting_can_be_given_up_and_taken_up_again(site: Site) -> None:
    cells = [v4.new_code_cell("import time, pathlib; pathlib.Path('mark').touch(); time.sleep(6)")]
    nbformat.write(v4.new_notebook(cells=cells), site.root / "qa" / "mini.ipynb")
    site.submit()
    mark = site.folder_of_run / "work" / "qa" / "mark"
    waiting = subprocess.Popen(
        site.command("wait"),
        cwd=site.root,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(mark.exists, "the notebook's start")
    waiting.send_signal(signal.SIGINT)
    told, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 2
    assert "the job goes on" in told
    assert "completed" in site.run("wait")


def test_a_cancelled_run_stops_its_kernel(site: Site) -> None:
    cells = [
        v4.new_code_cell(
            "import os, time, pathlib\npathlib.Path('mark').write_text(str(os.getpid()))\n"
            "print('partial', flush=True)\ntime.sleep(600)"
        )
    ]
    nbformat.write(v4.new_notebook(cells=cells), site.root / "qa" / "mini.ipynb")
    site.submit()
    mark = site.folder_of_run / "work" / "qa" / "mark"
    until(lambda: mark.exists() and mark.read_text(), "the notebook's start")
    site.run("cancel")
    assert "cancelled" in site.run("wait", code=1)
    until(lambda: not psutil.pid_exists(int(mark.read_text())), "the kernel's end")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("submit", "nosuch.ipynb", "--name", "a", "--release", "1"), "notebook not found"),
        (
            ("submit", "qa/mini.ipynb", "--name", "../x", "--release", "1"),
            "cannot be used as a name",
        ),
        (
            ("submit", "qa/mini.ipynb", "--name", "a", "--release", "1", "--profile", "parallel"),
            "unknown profile 'parallel'",
        ),
        (
            ("submit", "qa/mini.ipynb", "--name", "a", "--release", "1", "--walltime", "1\n#"),
            "is not a duration",
        ),
        (("submit", "nbpipe.toml", "--name", "a", "--release", "1"), "nbpipe.toml"),
        (("submit", "qa/damaged.ipynb", "--name", "a", "--release", "1"), "cannot be executed"),
        (("show", "mini/1.0"), "neither a run nor a release is called 'mini/1.0'"),
        (("status", "latest"), "no run is called 'latest'"),
        (("compare", "latest"), "no run is called 'latest'"),
    ],
)
def test_wrong_input_is_refused_and_leaves_nothing(
    site: Site, words: tuple[str, ...], told: str
) -> None:
    (site.root / "qa" / "damaged.ipynb").write_text('{"cells": [')
    assert told in site.run(*words, code=4)
    assert list(site.store.glob("*/runs/*")) == []


@pytest.fixture
def on_slurm(tmp_path: Path, slurm_cluster: SlurmCluster) -> Site:
    made = Site(tmp_path, dict(slurm_cluster.environ))
    made.make(
        '[profiles.small]\nscheduler = "slurm"\ncores = 1\nmemory = "500M"\nwalltime = "10m"\n'
        'queue = "normal"\n'
    )
    return made


def test_two_releases_on_slurm_with_their_child_jobs(on_slurm: Site) -> None:
    released(on_slurm, "small")
    jobs = on_slurm.manifest().jobs
    assert [job.state for job in jobs] == ["completed"] * 3
    assert jobs[0].children == tuple(job.id for job in jobs[1:])
    assert all(job.core_hours and job.core_hours >= 2 * 2 / 3600 for job in jobs[1:])
    assert jobs[0].queue_seconds is not None
    assert jobs[0].peak_memory_bytes
    total = sum(job.core_hours or 0 for job in jobs)
    assert f"3 jobs, {total:.3f} core-hours" in on_slurm.run("collect")


@pytest.fixture
def on_grid_engine(tmp_path: Path, gridengine_cluster: GridEngineCluster) -> Site:
    made = Site(tmp_path, dict(gridengine_cluster.environ))
    made.make('[profiles.small]\nscheduler = "gridengine"\ncores = 1\nwalltime = "10m"\n')
    return made


def test_two_releases_on_grid_engine_with_their_child_jobs(on_grid_engine: Site) -> None:
    released(on_grid_engine, "small")
    jobs = on_grid_engine.manifest().jobs
    assert [job.state for job in jobs] == ["completed"] * 3
    assert jobs[0].children == tuple(job.id for job in jobs[1:])
    assert all(job.core_hours and job.core_hours >= 2 / 3600 for job in jobs[1:])


def test_before_the_limit_the_notebook_is_interrupted_and_kept(site: Site) -> None:
    (site.root / "nbpipe.toml").write_text('[profiles.short]\nscheduler="local"\nwalltime="125s"\n')
    cells = [v4.new_code_cell("print('kept', flush=True)\nimport time\ntime.sleep(600)")]
    nbformat.write(v4.new_notebook(cells=cells), site.root / "qa" / "mini.ipynb")
    site.submit(profile="short")
    assert "timeout  (warned of the time limit)" in site.run("wait", code=1)
    site.run("collect", code=1)
    made = site.manifest()
    assert [job.state for job in made.jobs] == ["timeout"]
    assert made.notebook.executed is not None
    executed = nbformat.read(site.folder_of_run / made.notebook.executed, as_version=4)
    assert executed.cells[0].outputs[0].text == "kept\n"


def test_a_run_that_counts_its_children_fails_with_one_of_them(on_slurm: Site) -> None:
    source = "import subprocess\nsubprocess.run(['sbatch', '-o', '/dev/null', '--wrap', 'exit 3'])"
    nbformat.write(
        v4.new_notebook(cells=[v4.new_code_cell(source)]), on_slurm.root / "qa" / "mini.ipynb"
    )
    on_slurm.submit("--children", "fail", profile="small")
    told = on_slurm.run("wait", code=1)
    assert "child job" in told
    assert "failed" in told
