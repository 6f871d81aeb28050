"""40 short notebooks on the same two slots: this machine, job arrays, Dask; one command.

    python benchmarks/cluster/compare.py [--rounds 3] [--notebooks 40] [--seconds 0.3]

The ways take turns in every round. `slurm` starts daemons of its own (as the tests do; it needs
root and the packages that `.ci/run` installs) and is left out, with a word, where they are
missing. Each notebook notes when its first cell began: what comes before the first of them is the
start-up (our own, the scheduler's or Dask's, the workers'), all else is the work, to the end of the
command. What counts is the work's ratio to that of the run on this machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import v4

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clusters import SlurmCluster

SLOTS = 2
PROFILES = """
[profiles.slurm]
scheduler = "slurm"
memory = "1G"
walltime = "30m"
queue = "normal"
"""
DAEMONS = ("slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd")


def collection(folder: Path, notebooks: int, seconds: float) -> Path:
    """Make the collection: every notebook sleeps a little, differently long."""
    folder.mkdir()
    (folder.parent / "marks").mkdir()
    (folder / "nbpipe.toml").write_text(PROFILES)
    for number in range(notebooks):
        sleep = seconds * (0.5 + number % 5 / 4)
        mark = folder.parent / "marks" / f"n{number:03}"
        cells = [
            v4.new_code_cell(
                "import pathlib, time\n"
                f"pathlib.Path({str(mark)!r}).write_text(str(time.time()))\n"
                f"time.sleep({sleep})"
            ),
            v4.new_code_cell("print(1)"),
        ]
        nbformat.write(v4.new_notebook(cells=cells), folder / f"n{number:03}.ipynb")
    return folder


def run(root: Path, environ: Mapping[str, str], *options: str) -> tuple[float, float]:
    """Return the seconds until the first notebook, and from there on; every one has to pass."""
    marks = root.parent / "marks"
    for each in marks.iterdir():
        each.unlink()
    with tempfile.TemporaryDirectory(dir=root.parent) as output:
        command = [sys.executable, "-m", "nbpipe", "test", "--progress", "none"]
        begun = time.time()
        done = subprocess.run(
            [*command, "-n", str(SLOTS), "--output-dir", f"{output}/out", *options],
            cwd=root,
            env={**os.environ, **environ, "XDG_STATE_HOME": f"{output}/state"},
            capture_output=True,
            text=True,
            check=False,
        )
        ended = time.time()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(options)} did not pass:\n{done.stdout}\n{done.stderr}")
    first = min(float(each.read_text()) for each in marks.iterdir())
    return first - begun, ended - first


def slurm(stack: ExitStack, folder: Path) -> SlurmCluster | None:
    """Return a Slurm that runs until the stack is closed; None where it cannot be had."""
    from clusters import SlurmCluster, search_path  # noqa: PLC0415  (pytest's)

    missing = [each for each in DAEMONS if shutil.which(each, path=search_path()) is None]
    if missing or os.geteuid() != 0:
        print(
            f"slurm is left out: {', '.join(missing) or 'its daemons need root'}", file=sys.stderr
        )
        return None
    folder.mkdir()
    cluster = SlurmCluster(folder)
    stack.callback(cluster.daemons.stop_all)
    cluster.start()
    return cluster


def main() -> None:
    """Run all ways in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--notebooks", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.3)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = collection(folder / "collection", given.notebooks, given.seconds)
        ways: dict[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
            "this machine": ({}, ()),
            "job array, local": ({}, ("--cluster", "local")),
            "Dask, local": ({}, ("--cluster", "dask")),
        }
        if (cluster := slurm(stack, folder / "slurm")) is not None:
            ways["job array, Slurm"] = (dict(cluster.environ), ("--cluster", "slurm"))
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for number in range(given.rounds):
            for name, (environ, options) in ways.items():
                seconds[name].append(run(root, environ, *options))
                startup, work = seconds[name][-1]
                print(f"round {number + 1}: {name} {startup:.1f} + {work:.1f} s", file=sys.stderr)
    show(seconds, given.notebooks)


def show(seconds: Mapping[str, list[tuple[float, float]]], notebooks: int) -> None:
    """Print the medians, and the work's ratio to that of the first way."""
    medians = {
        name: [statistics.median(part) for part in zip(*each, strict=True)]
        for name, each in seconds.items()
    }
    base = next(iter(medians.values()))[1]
    title = f"{notebooks} notebooks, {SLOTS} slots"
    print(f"{'':18} {'start-up s':>11} {'work s':>8} {'ratio':>6}   {title}")
    for name, (startup, work) in medians.items():
        print(f"{name:18} {startup:11.1f} {work:8.1f} {work / base:6.2f}")


if __name__ == "__main__":
    main()
