"""What a manifest of many products costs: hashing, schemas and statistics; time and memory.

    python benchmarks/reference/collect.py [--files 10000] [--bytes 5000000000] [--rounds 3]

Half of the bytes are a few large FITS tables, the other half small CSV, JSON and binary files, made
in a folder of its own and removed again. One process and as many as there are processors take turns
(both meet the same machine); wall seconds, and the most memory that this process and any of its
children held. The files are read from the page cache where they fit: it is the processors' time
that is compared, not the disk's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parents[2]))

from nbpipe.reference.products.description import describe, matching
from nbpipe.reference.products.parallel import Described, each_of

LARGE = 20


def make(folder: Path, files: int, size: int) -> None:
    """Write the products."""
    random = np.random.default_rng(1)
    rows = max(1, size // 2 // LARGE // 80)
    table = [fits.Column(f"C{n}", "D", array=random.normal(10, 3, rows)) for n in range(10)]
    first = folder / "large-0.fits"
    fits.BinTableHDU.from_columns(table).writeto(first)
    for number in range(1, LARGE):
        shutil.copyfile(first, folder / f"large-{number}.fits")
    small = max(1, files - LARGE)
    each = max(64, size // 2 // small)
    noise = random.bytes(each)
    line = "1.2345678,2.3456789,galaxy\n"
    text = "z,flux,type\n" + line * (min(each, 20_000) // len(line))
    for number in range(small):
        where = folder / f"{number // 1000:03}"
        where.mkdir(exist_ok=True)
        if number % 10 == 0:
            (where / f"{number}.csv").write_text(text)
        elif number % 10 == 1:
            (where / f"{number}.json").write_text(f'{{"n": {number}, "chi2": 1.25}}')
        else:
            (where / f"{number}.bin").write_bytes(noise)


def peak() -> float:
    """Return GB: the most that this process or one of its children held."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(each).ru_maxrss for each in who) * 1024 / 1e9


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=5_000_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    processors = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.files, options.bytes)
        paths = sorted(matching(folder, ["*"]))
        total = sum((folder / path).stat().st_size for path in paths)
        print(f"{len(paths):,} files, {total / 1e9:.2f} GB, {processors} processors")
        seconds: dict[int, list[float]] = {1: [], processors: []}
        for _ in range(options.rounds):
            for workers, taken in seconds.items():
                last: list[Described] = []
                start = time.perf_counter()
                found = each_of(folder, paths, partial(describe, folder), last.append, workers)
                taken.append(time.perf_counter() - start)
                if len(found) != len(last) or last[-1].bytes != total:
                    raise SystemExit("some files were not described")
        for workers, taken in seconds.items():
            middle = statistics.median(taken)
            print(f"{workers} processes {middle:7.2f} s  {total / middle / 1e9:5.2f} GB/s")
        print(f"peak memory of a process {peak():.2f} GB")


if __name__ == "__main__":
    main()
