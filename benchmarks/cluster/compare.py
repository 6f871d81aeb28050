"""40 short notebooks on the same two slots: this machine, job arrays, Dask; one command.

    python benchmarks/cluster/compare.py [--rounds 3] [--notebooks 40] [--seconds 0.3]

The ways take turns in every round. `slurm` starts daemons of its own (as the tests do; it needs
root and the packages that `.ci/run` installs) and is left out, with a word, where they are
missing. What counts is the ratio to the run on this machine; workers start their own Python and
fork server, the scheduler takes its time, and results are looked for every 0.3 s.
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
    (folder / "nbpipe.toml").write_text(PROFILES)
    for number in range(notebooks):
        sleep = seconds * (0.5 + number % 5 / 4)
        cells = [
            v4.new_code_cell(f"import time; time.sleep({sleep})"),
            v4.new_code_cell("print(1)"),
        ]
        nbformat.write(v4.new_notebook(cells=cells), folder / f"n{number:03}.ipynb")
    return folder


def run(root: Path, environ: Mapping[str, str], *options: str) -> float:
    """Return the seconds of one run; every notebook has to pass."""
    with tempfile.TemporaryDirectory(dir=root.parent) as output:
        command = [sys.executable, "-m", "nbpipe", "test", "--progress", "none"]
        begun = time.monotonic()
        done = subprocess.run(
            [*command, "-n", str(SLOTS), "--output-dir", f"{output}/out", *options],
            cwd=root,
            env={**os.environ, **environ, "XDG_STATE_HOME": f"{output}/state"},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(options)} did not pass:\n{done.stdout}\n{done.stderr}")
    return seconds


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
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(given.rounds):
            for name, (environ, options) in ways.items():
                seconds[name].append(run(root, environ, *options))
                print(f"round {number + 1}: {name} {seconds[name][-1]:.1f} s", file=sys.stderr)
    base = statistics.median(seconds["this machine"])
    print(f"{'':18} {'median s':>9} {'ratio':>6}   {given.notebooks} notebooks, {SLOTS} slots")
    for name, each in seconds.items():
        median = statistics.median(each)
        print(f"{name:18} {median:9.1f} {median / base:6.2f}")


if __name__ == "__main__":
    main()
