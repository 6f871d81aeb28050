"""Real data products of every kind, for tests of reference runs."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import h5py
import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

TABLE: dict[str, Any] = {
    "TARGETID": np.arange(5),
    "Z": np.array([1.0, 2.0, np.nan, 4.0, np.inf]),
    "FLUX": np.ones((5, 3), "f4"),
    "NAME": np.array(["a", "b", "c", "d", "ee"]),
    "GOOD": np.array([True, False, True, True, False]),
    "BITS": np.arange(5, dtype="u2") + 60_000,
}


def write_fits(file: Path, table: dict[str, Any] = TABLE, **keywords: str) -> None:
    """Write a table with units, and an image."""
    made = Table(table)
    if "Z" in table:
        made["Z"].unit = "km / s"
    hdu = fits.table_to_hdu(made)
    hdu.name = "ZCAT"
    hdu.header.update(keywords)
    image = fits.ImageHDU(np.arange(12, dtype="u2").reshape(3, 4), name="IMG")
    fits.HDUList([fits.PrimaryHDU(), hdu, image]).writeto(file)


def write_hdf5(file: Path, values: list[float] | None = None) -> None:
    """Write a tree with groups, records, texts and links."""
    with h5py.File(file, "w") as tree:
        tree["spectra/flux"] = np.arange(6.0).reshape(2, 3) if values is None else values
        tree["spectra/flux"].attrs["units"] = "Jy"
        tree["title"] = "hello"
        tree["records"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        tree["opaque"] = np.void(b"abc")
        tree["soft"] = h5py.SoftLink("/spectra/flux")
        tree["outside"] = h5py.ExternalLink("/etc/passwd", "/")
        tree["spectra/loop"] = tree["spectra"]
        tree.attrs["versions"] = [1, 2]


def write_netcdf(file: Path) -> None:
    """Write variables with dimensions and a missing value."""
    with netCDF4.Dataset(file, "w") as tree:
        tree.createDimension("time", None)
        tree.createDimension("x", 2)
        temperature = tree.createVariable("temp", "f4", ("time", "x"), fill_value=-99.0)
        temperature.units = "K"
        temperature[:] = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])


def write_parquet(file: Path, **columns: list[float]) -> None:
    """Write a table with nulls, vectors, times and texts."""
    usual = {
        "id": pa.array([1, None, 2**60 + 1]),
        "f": pa.array([1.0, float("nan"), 3.0]),
        "s": pa.array(["a", None, "c"]),
        "t": pa.array([0, 1_000, 2_000], pa.timestamp("ms")),
        "v": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
        "list": pa.array([[1], [], [2, 3]]),
        "word": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
    pq.write_table(pa.table({**usual, **columns}), file)


def write_every_kind(folder: Path) -> None:
    """Write one file of every kind, and damaged ones."""
    folder.mkdir(parents=True)
    write_fits(folder / "z.fits", SURVEY="main")
    (folder / "z.fits.gz").write_bytes(gzip.compress((folder / "z.fits").read_bytes()))
    write_hdf5(folder / "tree.h5")
    write_netcdf(folder / "climate.nc")
    write_parquet(folder / "t.parquet")
    (folder / "c.csv").write_text("id,z,name,day\n1,1.5,a,2026-01-01\n2,,'b',2026-01-02\n")
    Table({key: TABLE[key] for key in ("TARGETID", "Z", "FLUX")}).write(folder / "e.ecsv")
    Image.fromarray(np.arange(72, dtype="u1").reshape(4, 6, 3)).save(folder / "plot.png")
    Image.new("L", (6, 4)).save(folder / "plot.jpg")
    (folder / "qa.json").write_text(json.dumps({"fit": {"chi2": 1, "v": [1, 2.5]}, "ok": True}))
    (folder / "log.txt").write_text("one\ntwo\n")
