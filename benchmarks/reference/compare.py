"""Compare two tables of 1,000,000 rows x 10 columns: nbpipe and astropy's FITSDiff, interleaved.

    python benchmarks/reference/compare.py [--rows 1000000] [--rounds 5]

Three pairs of files: a tenth of one column moved a little; every value of every floating-point
column moved a little (another machine's rounding); the same values with their rows in another
order, which FITSDiff cannot join and only reports. nbpipe compares the data of all columns with
statistics of the differences (maximum, mean, rms, shares beyond the tolerance, worst rows,
histogram), in the order of the rows (`in order`) and joined by a key (`joined`). Wall seconds in
one process, medians; read them as ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from nbpipe.config.settings import ReferenceSettings
from nbpipe.reference.comparison import Rules
from nbpipe.reference.comparison.data import compare_data
from nbpipe.reference.products import opened

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 9
RELATIVE = 1e-7


def write(file: Path, table: dict[str, np.ndarray]) -> None:
    """Write a table."""
    formats = {"int64": "K", "float64": "D", "float32": "E"}
    columns = [
        fits.Column(name, formats[data.dtype.name], array=data) for name, data in table.items()
    ]
    fits.BinTableHDU.from_columns(columns, name="ZCAT").writeto(file)


def make(folder: Path, rows: int) -> dict[str, tuple[Path, Path]]:
    """Write the pairs of files."""
    random = np.random.default_rng(1)
    table = {"TARGETID": random.permutation(rows).astype("i8")}
    for number in range(COLUMNS):
        kind = "f8" if number % 3 else "f4"
        table[f"C{number}"] = random.normal(10, 3, rows).astype(kind)
    few = dict(table)
    few["C1"] = np.where(random.random(rows) < 0.1, table["C1"] * (1 + 1e-5), table["C1"])  # noqa: PLR2004
    noise = {
        name: data if data.dtype.kind == "i" else data * (1 + random.normal(0, 1e-7, rows))
        for name, data in table.items()
    }
    noise = {name: data.astype(table[name].dtype) for name, data in noise.items()}
    order = random.permutation(rows)
    shuffled = {name: data[order] for name, data in few.items()}
    reference = folder / "reference.fits"
    write(reference, table)
    pairs = {}
    for name, changed in (("a few values", few), ("every value", noise), ("shuffled", shuffled)):
        pairs[name] = (reference, folder / f"{name}.fits")
        write(pairs[name][1], changed)
    return pairs


def ours(keys: tuple[str, ...]) -> Callable[[Path, Path], str]:
    """Return a comparison by nbpipe, with keys or without."""
    rules = Rules(ReferenceSettings(keys=keys, relative=RELATIVE))

    def run(old: Path, new: Path) -> str:
        with opened(old) as before, opened(new) as after:
            found = compare_data(before, after, "zcat.fits", rules)
        return f"{sum(each.beyond for each in found.columns):,} values beyond"

    return run


def fitsdiff(old: Path, new: Path) -> str:
    """Compare with astropy."""
    found = fits.FITSDiff(str(old), str(new), rtol=RELATIVE)
    return f"identical: {found.identical}"


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tools = {
        "FITSDiff": fitsdiff,
        "nbpipe in order": ours(()),
        "nbpipe joined": ours(("TARGETID",)),
    }
    with tempfile.TemporaryDirectory() as folder:
        pairs = make(Path(folder), options.rows)
        print(f"{options.rows:,} rows x {COLUMNS + 1} columns, {options.rounds} rounds")
        for case, files in pairs.items():
            seconds: dict[str, list[float]] = {name: [] for name in tools}
            said = {}
            for _ in range(options.rounds):
                for name, tool in tools.items():
                    start = time.perf_counter()
                    said[name] = tool(*files)
                    seconds[name].append(time.perf_counter() - start)
            peer = statistics.median(seconds["FITSDiff"])
            for name in tools:
                middle = statistics.median(seconds[name])
                print(f"{case:13} {name:16} {middle:6.3f} s  {peer / middle:5.2f}x  {said[name]}")


if __name__ == "__main__":
    main()
