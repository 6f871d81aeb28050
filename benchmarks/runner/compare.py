"""Run the same notebooks with nbpipe and its peers, interleaved, and print medians and ratios.

    python benchmarks/runner/compare.py                      W1, 3 rounds, nbpipe and nbmake
    python benchmarks/runner/compare.py -w W1 -w W2 --tools all --rounds 5

Wall and CPU seconds of the whole process tree, and the peak memory of the largest process of it.
Every peer is installed as a user would, in an environment of its own with the scientific stack
(`--environments DIR`, made once), at its newest version. Figures of one run on one machine are
to be read as ratios.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from workloads import WORKLOADS

STACK = ["ipykernel", "numpy", "pandas", "matplotlib"]
REPOSITORY = Path(__file__).parents[2]

# Two at a time where a tool can; `{n}` is a notebook, `{dir}` their folder, `{out}` an empty one.
TWO_AT_A_TIME = "ls {dir}/*.ipynb | xargs -P 2 -I @ "
LOOP = (
    'python -c "import sys, nbformat\n'
    "from nbconvert.preprocessors import ExecutePreprocessor\n"
    "for name in sys.argv[1:]:\n"
    "    nb = nbformat.read(name, 4)\n"
    "    ExecutePreprocessor(timeout=6000, allow_errors=True).preprocess(nb)\n"
    "    nbformat.write(nb, name[:-6] + '_tested.ipynb')\" {dir}/*.ipynb"
)
TOOLS = {
    "nbpipe": (["{repository}"], "nbpipe test {dir} -n 2 --progress none --output-dir {out}/o"),
    "nbmake -n2": (["nbmake", "pytest-xdist"], "pytest -q -n 2 --nbmake {dir}"),
    "treon": (["treon"], "treon {dir} --threads 2"),
    "nbval-lax -n2": (
        ["nbval", "pytest-xdist"],
        "pytest -q -n 2 --dist loadscope --nbval-lax {dir}",
    ),
    "papermill x2": (["papermill"], TWO_AT_A_TIME + "sh -c 'papermill @ {out}/$(basename @)'"),
    "jupyter execute x2": (["nbclient", "jupyter-core"], TWO_AT_A_TIME + "jupyter execute @"),
    "nbconvert loop": (["nbconvert"], LOOP),
    "nbdev-test": (["nbdev"], "nbdev-test --path {dir} --n_workers 2"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """What one run cost."""

    wall: float
    cpu: float
    megabytes: float
    code: int


def environment(folder: Path, name: str) -> Path:
    """Return the environment of a tool, made where it is missing."""
    place = folder / name.replace(" ", "-")
    if not (place / "ready").exists():
        venv.create(place, with_pip=True, clear=True)
        packages = [each.format(repository=REPOSITORY) for each in TOOLS[name][0]]
        subprocess.run(
            [place / "bin/python", "-m", "pip", "install", "-q", *STACK, *packages], check=True
        )
        (place / "ready").touch()
    return place


def measure(name: str, place: Path, workload: str) -> Measure:
    """Run a tool once on a fresh copy of a workload."""
    with tempfile.TemporaryDirectory() as scratch:
        notebooks, out = Path(scratch, "notebooks"), Path(scratch, "out")
        notebooks.mkdir()
        out.mkdir()
        WORKLOADS[workload](notebooks)
        command = TOOLS[name][1].format(dir=notebooks, out=out)
        environ = os.environ | {
            "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(place / "state"),
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S602  (pipes, as a user would type them)
            command, shell=True, cwd=scratch, env=environ, capture_output=True, check=False
        )
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measure(wall, cpu, after.ru_maxrss / 1e3, done.returncode)


def main() -> None:
    """Measure, and print a table for each workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workload", action="append", choices=WORKLOADS)
    parser.add_argument("--tools", default="nbpipe,nbmake -n2", help="a list, or all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--environments", type=Path, default=Path.home() / ".cache/nbpipe-benchmark"
    )
    options = parser.parse_args()
    tools = list(TOOLS) if options.tools == "all" else options.tools.split(",")
    places = {name: environment(options.environments, name) for name in tools}
    for workload in options.workload or ["W1"]:
        measures: dict[str, list[Measure]] = {name: [] for name in tools}
        for _ in range(options.rounds):
            for name in tools:
                measures[name].append(measure(name, places[name], workload))
        report(workload, measures)


def report(workload: str, measures: dict[str, list[Measure]]) -> None:
    """Print medians, and ratios to the first tool."""
    load = os.getloadavg()[0]
    print(f"\n{workload}: {WORKLOADS[workload].__doc__}  (load {load:.1f})")
    print(f"{'tool':20} {'wall s':>8} {'ratio':>6} {'CPU s':>8} {'ratio':>6}  exit")
    base: Measure | None = None
    for name, runs in measures.items():
        middle = Measure(
            statistics.median(run.wall for run in runs),
            statistics.median(run.cpu for run in runs),
            max(run.megabytes for run in runs),
            max(run.code for run in runs),
        )
        base = base or middle
        print(
            f"{name:20} {middle.wall:8.2f} {middle.wall / base.wall:6.1f}"
            f" {middle.cpu:8.2f} {middle.cpu / base.cpu:6.1f}  {middle.code}"
        )


if __name__ == "__main__":
    if shutil.which("xargs") is None:
        sys.exit("xargs is missing: apt-get install findutils")
    main()
