"""Two runs of a small survey on disk, with files that are alike and files that are not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from manifests import PLAIN
from products import write_fits, write_hdf5, write_parquet

from nbpipe.config.settings import ReferenceSettings
from nbpipe.reference.comparison import Rules, compare
from nbpipe.reference.manifest import Cell, Job, Manifest
from nbpipe.reference.products import describe_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.comparison import Comparison
    from nbpipe.reference.comparison.model import FileComparison

TODAY = date(2026, 2, 1)
ROWS = 1000


def catalogue(seed: int = 1) -> dict[str, Any]:
    """Return a table of redshifts."""
    random = np.random.default_rng(seed)
    return {
        "TARGETID": random.permutation(ROWS) + 39_627_000_000,
        "Z": random.uniform(0, 2, ROWS),
        "ZERR": random.uniform(1e-5, 1e-4, ROWS),
        "FLUX": random.normal(10, 2, (ROWS, 3)).astype("f4"),
        "SPECTYPE": random.choice(["GALAXY", "QSO", "STAR"], ROWS),
    }


def rules(text: dict[str, Any] | None = None) -> Rules:
    """Return rules as the configuration file would give them."""
    return Rules(msgspec.convert(text or {}, ReferenceSettings))


def run(folder: Path, **changes: Any) -> Manifest:  # noqa: ANN401  (any field)
    """Return the manifest of a run that left this folder."""
    outputs = describe_outputs(folder, ["*"])
    return replace(PLAIN, run=folder.name, **{"release": None, **changes}, outputs=outputs)


def compared(
    old: Path, new: Path, settings: dict[str, Any] | None = None, *, today: date = TODAY
) -> Comparison:
    """Compare what lies in two folders."""
    return compare(run(old), old, run(new), new, rules(settings), today)


def only(found: Comparison) -> FileComparison:
    """Return the one file of a comparison."""
    (file,) = found.files
    return file


def survey(folder: Path) -> tuple[Path, Path]:
    """Write two runs of a survey: the second has something of every verdict."""
    old, new = folder / "v1.0", folder / "v1.1"
    (old / "qa").mkdir(parents=True)
    table = catalogue()
    write_fits(old / "zcat.fits", table, VERSION="1.0", CREATOR="fit")
    write_hdf5(old / "spectra.h5")
    write_parquet(old / "targets.parquet")
    write_fits(old / "tiles.fits", {"TILEID": np.arange(3), "EXPTIME": np.ones(3)})
    (old / "fit.json").write_text(json.dumps({"chi2": 1.01, "n": 1000}))
    (old / "qa/summary.csv").write_text("tile,good\n1,98\n2,97\n")
    (old / "old name.txt").write_text("the same\n")
    (old / "gone.log").write_text("x\n")
    (old / "bias.csv").write_text("a\n1\n")
    shutil.copytree(old, new)
    random = np.random.default_rng(2)
    order = random.permutation(ROWS)
    moved = {**table, "Z": table["Z"] + random.normal(0, 2e-6, ROWS)}
    moved["Z"][:40] += 3e-3
    moved["ZERR"] = table["ZERR"] * (1 + random.normal(0, 1e-8, ROWS))
    shuffled = {name: data[order] for name, data in moved.items()}
    (new / "zcat.fits").unlink()
    write_fits(new / "zcat.fits", shuffled, VERSION="1.1", CREATOR="fit")
    (new / "tiles.fits").unlink()
    write_fits(
        new / "tiles.fits", {"TILEID": np.arange(3), "EXPTIME": np.ones(3, "f4"), "MOON": [1, 2, 3]}
    )
    (new / "fit.json").write_text(json.dumps({"chi2": 1.010001, "n": 1000}))
    (new / "old name.txt").rename(new / "qa/new name.txt")
    (new / "gone.log").unlink()
    (new / "bias.csv").write_text("a\n2\n")
    (new / "plot <img src=x onerror=alert(1)> | `x`.txt").write_text("new\n")
    return old, new


SURVEY_RULES: dict[str, Any] = {
    "keys": ["TARGETID"],
    "relative": 1e-6,
    "columns": [{"names": ["Z"], "absolute": 1e-5}],
    "files": [{"paths": ["fit.json"], "relative": 1e-3}],
    "performance": [
        {"measure": "wall", "more": 0.2},
        {"measure": "cell", "more": 0.5},
        {"measure": "core-hours", "more": 0.5, "floor": 0},
    ],
    "expected": [
        {"paths": ["bias.csv"], "until": date(2026, 6, 1), "reason": "a known bias"},
        {"paths": ["qa/summary.csv"], "until": date(2026, 6, 1), "reason": "rounding"},
    ],
}


def survey_comparison(folder: Path) -> Comparison:
    """Return the comparison of the two runs, with packages, performance and releases before."""
    old, new = survey(folder)
    reference = run(old, release="1.0")
    made = run(
        new,
        created="2026-02-01T12:00:00Z",
        packages={"numpy": "2.1.0", "astropy": "6.0.0", "new|`package`": "1"},
        parameters={"seed": 2, "survey": "main"},
        jobs=(
            Job(
                id="7",
                state="COMPLETED",
                exit=0,
                wall_seconds=150.0,
                queue_seconds=300.0,
                core_hours=0.6,
                peak_memory_bytes=2 * 10**9,
                children=("8",),
            ),
            Job(id="8", parent="7", state="TIMEOUT", wall_seconds=60.0, core_hours=0.25),
        ),
        cells=(
            Cell(index=1, seconds=11.0, title="simulate <b>"),
            Cell(index=3, seconds=90.0, title="fit redshifts"),
            Cell(index=5, seconds=4.0),
        ),
    )
    before = replace(
        reference,
        run="v0.9",
        release="0.9",
        created="2026-01-01T12:00:00Z",
        jobs=(replace(reference.jobs[0], wall_seconds=80.0), *reference.jobs[1:]),
    )
    return compare(
        reference, old, made, new, rules(SURVEY_RULES), TODAY, history=(reference, before)
    )
