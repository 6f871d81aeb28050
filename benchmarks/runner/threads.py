"""Run notebooks that are heavy on linear algebra, each with all cores and with its share of them.

    python benchmarks/runner/threads.py                    8 notebooks, as many at once as cores
    python benchmarks/runner/threads.py -n 4 --rounds 5 --notebooks 12

Needs numpy in the kernel `python3`, and nbpipe in the Python that runs it. A round runs the suite
twice, once with `--threads off` and once with `--threads auto`, in changing order; what is printed
are the medians of both and their ratio. Figures of one run on one machine are to be read as ratios,
and nothing else should run meanwhile. The more cores, the larger the difference: k notebooks on k
cores have k * k threads without, each of which waits for the others at every barrier.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nbpipe.execution.kernels import capacity
from nbpipe.system import machine

_CELL = """\
import numpy as np
generator = np.random.default_rng({seed})
matrix = generator.standard_normal((400, 400))
for _ in range({steps}):
    q, r = np.linalg.qr(matrix)
    matrix = r @ q
    values = np.linalg.eigvalsh(matrix + matrix.T)
print(values.size)
"""
SETTINGS = ("off", "auto")


def main() -> None:
    """Measure, and print both medians and their ratio."""
    options = _options()
    took: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        for number in range(options.notebooks):
            _write(folder / f"n{number}.ipynb", seed=number, steps=options.steps)
        _seconds(folder, "auto", options.jobs)  # nobody pays for cold files
        for number in range(options.rounds):
            for setting in SETTINGS if number % 2 else reversed(SETTINGS):
                took[setting].append(_seconds(folder, setting, options.jobs))
    without, with_shares = (statistics.median(took[setting]) for setting in SETTINGS)
    print(
        f"{platform.platform()}, {machine.cores()} cores; {options.notebooks} notebooks,"
        f" {options.jobs} at once, {options.rounds} rounds"
    )
    for setting in SETTINGS:
        rounds = "  ".join(f"{each:.1f}" for each in took[setting])
        print(f"--threads {setting:4}  {statistics.median(took[setting]):6.1f} s   ({rounds})")
    print(f"off / auto: {without / with_shares:.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", "--jobs", type=int, default=max(2, machine.cores()))
    parser.add_argument("--notebooks", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _write(path: Path, *, seed: int, steps: int) -> None:
    cell = {
        "cell_type": "code",
        "id": "c",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": _CELL.format(seed=seed, steps=steps),
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook), encoding="utf-8")


def _seconds(folder: Path, setting: str, jobs: int) -> float:
    """Return how long the suite takes; all must pass."""
    environ = {name: value for name, value in os.environ.items() if name not in capacity.VARIABLES}
    environ["XDG_STATE_HOME"] = str(folder / "state")
    command = [sys.executable, "-m", "nbpipe", "test", "--progress", "none", "-n", str(jobs)]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--threads", setting, "."],
        cwd=folder,
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
