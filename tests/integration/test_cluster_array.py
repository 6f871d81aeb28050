"""`nbpipe test --cluster` on a job array of this machine: the same verdicts, nothing lost."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from changing import changing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clusters import SlurmCluster
    from ondisk import Collection


@pytest.fixture(autouse=True)
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the jobs of this machine in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "nbpipe" / "jobs"


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition, long enough for the slowest machine."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.1)


def verdicts(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (each["path"], each["outcome"], each["kernel"], each["cells"], each["reason"])
        + (
            (each["failure"]["category"], each["failure"]["signature"], each["failure"]["cell"])
            if each["failure"]
            else ()
        )
        for each in report["notebooks"]
    ]


def test_the_report_is_that_of_a_run_on_this_machine(
    collection: Collection, schema: dict[str, Any]
) -> None:
    import jsonschema  # noqa: PLC0415

    for number in range(6):
        collection.notebook(f"good {number}.ipynb", f"x = {number}", "print(x)")
    collection.notebook("a/bad.ipynb", "1/0")
    collection.notebook("a/missing.ipynb", "import nothere")
    missing = {"name": "no-such", "language": "q", "display_name": "Q"}
    collection.notebook("other.ipynb", "1", kernelspec=missing)
    here = collection.test("-n", "2")
    collection.output_dir = collection.output_dir.with_name("away")
    away = collection.test("-n", "2", "--cluster", "local")
    assert (here.code, away.code) == (1, 1)
    assert here.report is not None
    assert away.report is not None
    assert verdicts(away.report) == verdicts(here.report)
    jsonschema.validate(away.report, schema)
    assert away.executed("good 3.ipynb").cells[1].outputs[0].text == "3\n"
    assert list(collection.output_dir.glob(".cluster*")) == []


def test_each_attempt_of_a_worker_is_in_the_report(collection: Collection) -> None:
    collection.notebook(
        "n.ipynb",
        "import pathlib\nseen = pathlib.Path('seen')\nfirst = not seen.exists()\nseen.touch()",
        "assert not first, 'not yet'",
    )
    ended = collection.test("--retries", "1", "--cluster", "local")
    told = ended["n.ipynb"]
    assert (ended.code, told["outcome"], told["attempts"]) == (0, "flaky", 2)
    assert [each["outcome"] for each in told["attempts_made"]] == ["failed", "passed"]
    for each in told["attempts_made"]:
        assert each["started"]
        assert (collection.output_dir / each["executed"]).is_file()
        assert (collection.output_dir / each["log"]).is_file()


def test_what_a_run_did_not_get_to_is_resumed_on_a_cluster(collection: Collection) -> None:
    collection.notebook("a.ipynb", "1/0")
    for name in ("b", "c"):
        collection.notebook(f"{name}.ipynb", "import time; time.sleep(3)")
    first = collection.test("-n", "1", "-x", "--cluster", "local")
    assert first.code == 1
    assert first.report is not None
    left = {each["path"] for each in first.report["notebooks"] if each["outcome"] == "skipped"}
    assert left
    again = collection.test("-n", "1", "--cluster", "local", "--resume")
    assert again.report is not None
    ran = {each["path"] for each in again.report["notebooks"] if each["outcome"] == "passed"}
    assert ran == left


def test_what_workers_trace_tells_what_a_change_affects(tmp_path: Path) -> None:
    repository = changing(tmp_path)
    for name in ("a", "b"):
        repository.collection.notebook(f"nb/{name}.ipynb", f"print(open('{name}' + '.csv').read())")
        repository.write(f"nb/{name}.csv", "1\n")
    repository.commit()
    repository.run("--cluster", "local")
    assert repository.affected() == {}
    repository.write("nb/b.csv", "2\n")
    assert repository.affected() == {"nb/b.ipynb": "nb/b.csv changed since run RUN"}


def test_an_interrupted_run_stops_the_workers_kernels_and_reports(
    collection: Collection, tmp_path: Path, jobs: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    for number in range(3):
        collection.notebook(
            f"slow{number}.ipynb",
            f"import os, pathlib, time\n"
            f"pathlib.Path({str(marks)!r}, str(os.getpid())).touch()\ntime.sleep(600)",
        )
    process = subprocess.Popen(
        collection.command("-n", "2", "--cluster", "local"),
        cwd=collection.root,
        env=collection.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(list(marks.iterdir())) == 2, "the second kernel")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    ended = collection.ended(process.returncode, "", err)
    assert ended.code == 2
    assert ended.report is not None
    assert ended.report["summary"]["skipped"] == 3
    kernels = [int(each.name) for each in marks.iterdir()]
    until(lambda: not any(map(psutil.pid_exists, kernels)), "the kernels' end")


@pytest.mark.parametrize("first", ["worker", "kernel"])
def test_a_notebook_whose_worker_was_killed_runs_again_and_says_so(
    collection: Collection, tmp_path: Path, first: str
) -> None:
    mark = tmp_path / "mark"
    collection.notebook(
        "deadly.ipynb",
        "import os, pathlib, signal, time\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "first = not mark.exists()\n"
        "mark.write_text(str(os.getpid()))\n"
        "if first: time.sleep(600)",
    )
    for number in range(3):
        collection.notebook(f"other{number}.ipynb", "print(1)")
    process = subprocess.Popen(
        collection.command("-n", "1", "--cluster", "local"),
        cwd=collection.root,
        env=collection.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: mark.exists() and mark.read_text(), "the notebook's start")
    kernel = psutil.Process(int(mark.read_text()))
    worker = next(each for each in kernel.parents() if "nbpipe.cluster.worker" in each.cmdline())
    if first == "kernel":  # as a scheduler does that kills a job's processes one by one
        kernel.kill()
        log = collection.output_dir / "deadly.log"
        until(lambda: "end: failed" in log.read_text(), "the worker's opinion of it")
    worker.kill()
    _, err = process.communicate(timeout=300)
    ended = collection.ended(process.returncode, "", err)
    assert ended.code == 0, err
    assert [each["outcome"] for each in ended.report["notebooks"]] == ["passed"] * 4  # type: ignore[index]
    notes = {path: ended[path]["notes"] for path in ("deadly.ipynb", "other0.ipynb")}
    assert len(notes["deadly.ipynb"]) == 1
    assert notes["deadly.ipynb"][0] == "run again: its worker was lost (killed by SIGKILL)"
    assert notes["other0.ipynb"] == []


def test_a_cluster_that_cannot_run_anything_fails_every_notebook(
    collection: Collection, tmp_path: Path
) -> None:
    collection.notebook("a.ipynb", "1")
    site = tmp_path / "site.toml"
    site.write_text('[profiles.broken]\nscheduler = "local"\nsetup = ["exit 3"]\n')
    collection.environ = {"NBPIPE_SITE": str(site)}
    ended = collection.test("--cluster", "broken")
    assert ended.code == 1
    failure = ended["a.ipynb"]["failure"]
    assert (failure["category"], failure["name"]) == ("kernel-died", "WorkerLost")
    assert failure["message"] == "no worker took it; all ended: failed with exit code 3"


def test_slots_and_groups_count_within_a_worker_as_on_one_machine(
    collection: Collection, tmp_path: Path
) -> None:
    times = tmp_path / "times"
    times.mkdir()
    for name in ("big", "one", "two", "three"):
        collection.notebook(
            f"{name}.ipynb",
            f"import pathlib, time\nbegun = time.time()\ntime.sleep(1)\n"
            f"pathlib.Path({str(times)!r}, '{name}').write_text(f'{{begun}} {{time.time()}}')",
        )
    collection.root.joinpath("nbpipe.toml").write_text(
        '[profiles.node]\nscheduler = "local"\ncores = 2\n'
        '[test.groups]\ndb = ["one.ipynb", "two.ipynb"]\n'
        '[[test.overrides]]\npaths = ["big.ipynb"]\nslots = 2\n'
    )
    ended = collection.test("-n", "2", "--cluster", "node")
    assert ended.code == 0, ended.err
    spans = {each.name: [*map(float, each.read_text().split())] for each in times.iterdir()}

    def beside(one: str, other: str) -> bool:
        return spans[one][0] < spans[other][1] and spans[other][0] < spans[one][1]

    assert not any(beside("big", name) for name in ("one", "two", "three"))
    assert not beside("one", "two")
    assert beside("one", "three") or beside("two", "three")


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("nosuch", "unknown profile 'nosuch'"),
        ("tcp://127.0.0.1:9", "no Dask scheduler answers there"),
    ],
)
def test_an_unknown_cluster_is_refused_before_anything_runs(
    collection: Collection, cluster: str, told: str
) -> None:
    collection.notebook("a.ipynb", "1")
    ended = collection.test("--cluster", cluster)
    assert ended.code == 4
    assert told in ended.err


def test_forty_notebooks_on_two_nodes_of_slurm(
    collection: Collection, slurm_cluster: SlurmCluster
) -> None:
    for number in range(40):
        collection.notebook(f"n{number:02}.ipynb", "x = 1", "print(x)")
    collection.notebook("bad.ipynb", "1/0")
    collection.root.joinpath("nbpipe.toml").write_text(
        '[profiles.node]\nscheduler = "slurm"\ncores = 3\nmemory = "2G"\nqueue = "normal"\n'
        'walltime = "20m"\n'
    )
    here = collection.test("-n", "2")
    collection.environ = dict(slurm_cluster.environ)
    collection.output_dir = collection.output_dir.with_name("away")
    away = collection.test("-n", "6", "--cluster", "node")
    assert (here.code, away.code) == (1, 1), away.err
    assert here.report is not None
    assert away.report is not None
    assert verdicts(away.report) == verdicts(here.report)

    def both_used() -> bool:
        nodes = slurm_cluster.daemons.run("sacct", "-n", "-X", "-P", "-o", "JobName,NodeList")
        used = {line.partition("|")[2] for line in nodes.splitlines() if "nbpipe-test" in line}
        return used == {"n1", "n2"}

    until(both_used, "the accounting, which is late, telling of jobs on both nodes")


def test_notebooks_on_a_node_that_is_lost_run_again_elsewhere_and_say_so(
    collection: Collection, slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    for number in range(2):
        collection.notebook(
            f"slow{number}.ipynb",
            "import os, pathlib, time\n"
            "node = os.environ['SLURMD_NODENAME']\n"
            f"mark = pathlib.Path({str(marks)!r}, 'slow{number}')\n"
            "first = not mark.exists()\n"
            "mark.write_text(f'{node} {os.getpid()}')\n"
            f"while first and not pathlib.Path({str(tmp_path)!r}, 'go').exists(): time.sleep(0.1)\n"
            "print(node)",
        )
    collection.notebook("quick.ipynb", "print(1)")
    collection.root.joinpath("nbpipe.toml").write_text(
        '[profiles.node]\nscheduler = "slurm"\ncores = 3\nmemory = "2G"\nqueue = "normal"\n'
        'walltime = "20m"\n[test]\nfork = false\n'
    )
    collection.environ = dict(slurm_cluster.environ)
    process = subprocess.Popen(
        collection.command("-n", "6", "--cluster", "node"),
        cwd=collection.root,
        env=collection.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    node: tuple[str, ...] = ()
    try:
        until(lambda: len(list(marks.glob("*"))) == 2, "two notebooks at work")
        until(lambda: all(each.read_text() for each in marks.iterdir()), "where they are")
        told = {each.name: each.read_text().split() for each in marks.iterdir()}
        where = {name: first for name, (first, _) in told.items()}
        lost = where["slow0"]
        node = ("scontrol", "update", f"NodeName={lost}")
        slurm_cluster.daemons.run(*node, "State=DOWN", "Reason=test")
        kernels = [int(kernel) for first, kernel in told.values() if first == lost]
        until(lambda: not any(map(psutil.pid_exists, kernels)), "the end of what ran there")
        (tmp_path / "go").touch()
        _, err = process.communicate(timeout=300)
    finally:
        if node:
            slurm_cluster.daemons.works(*node, "State=RESUME")  # it may be back by itself
        slurm_cluster.wait_for_nodes()
    ended = collection.ended(process.returncode, "", err)
    assert ended.code == 0, err
    for name, first in where.items():
        notes = ended[f"{name}.ipynb"]["notes"]
        expected = ["run again: its worker was lost (node-fail)"] if first == lost else []
        assert notes == expected
