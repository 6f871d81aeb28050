"""Two folders with one product of any kind, and the verdict on them."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from comparing import compared
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.io import netcdf_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Writer = Callable[[Path], object]


def verdict(folder: Path, old: Writer, new: Writer, rules: dict[str, Any] | None = None) -> str:
    """Write the two sides, compare them, and return `verdict exit-code`."""
    sides = folder / "old", folder / "new"
    for side, write in zip(sides, (old, new), strict=True):
        side.mkdir(parents=True)
        write(side)
    found = compared(*sides, rules)
    assert found.exit_code == (0 if found.verdict in {"same", "within tolerance"} else 1)
    return found.verdict.value


def text(name: str, content: str | bytes) -> Writer:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def document(content: Any) -> Writer:  # noqa: ANN401  (any JSON)
    return text("qa.json", json.dumps(content))


def tree(make: Callable[[Any], object], name: str = "t.h5") -> Writer:
    def write(folder: Path) -> None:
        with h5py.File(folder / name, "w") as file:
            make(file)

    return write


def data(value: Any, dtype: Any = None) -> Writer:  # noqa: ANN401  (whatever h5py takes)
    return tree(lambda file: file.create_dataset("d", data=value, dtype=dtype))


def ragged(*rows: list[float]) -> Writer:
    def make(file: Any) -> None:  # noqa: ANN401
        made = file.create_dataset("r", (len(rows),), dtype=h5py.vlen_dtype(np.float64))
        for place, row in enumerate(rows):
            made[place] = row

    return tree(make)


def linked(make: Callable[[Any], object]) -> Writer:
    def write(file: Any) -> None:  # noqa: ANN401
        file["one"], file["two"] = np.arange(3.0), np.arange(4.0)
        make(file)

    return tree(write)


def referring(target: str) -> Writer:
    return linked(
        lambda file: file.create_dataset("ref", data=[file[target].ref], dtype=h5py.ref_dtype)
    )


def attribute(value: Any) -> Writer:  # noqa: ANN401
    def make(file: Any) -> None:  # noqa: ANN401
        file["d"] = np.arange(3.0)
        file["d"].attrs["a"] = value

    return tree(make)


def record(value: float, shape: tuple[int, ...]) -> Writer:
    rows = np.zeros(shape, dtype=[("a", "f8"), ("b", "i4", (2,))])
    rows["a"] = value
    return data(rows)


def nested(value: int) -> Writer:
    rows = np.zeros(2, dtype=[("inner", [("x", "i4"), ("y", "i4")])])
    rows["inner"]["y"][1] = value
    return data(rows)


def enum(**values: int) -> Writer:
    return data([0, 1], h5py.enum_dtype(values, basetype="i1"))


def packed(value: int, name: str = "t") -> Writer:
    def make(file: Any) -> None:  # noqa: ANN401
        file.attrs["_NCProperties"] = "version=2"
        made = file.create_dataset(name, data=np.array([100, value], "i2"))
        made.attrs["scale_factor"] = 0.01

    return tree(make, "t.nc")


def classic(value: float, **attributes: str) -> Writer:
    def write(folder: Path) -> None:
        with netcdf_file(folder / "t.nc", "w") as file:
            for name, said in attributes.items():
                setattr(file, name, said)
            file.createDimension("x", 2)
            file.createVariable("v", "d", ("x",))[:] = [0.0, value]

    return write


def parquet(table: dict[str, Any], name: str = "t.parquet", **how: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), folder / name, **how)

    return write


def both(*writers: Writer) -> Writer:
    return lambda folder: [write(folder) for write in writers]


def table(*columns: fits.Column, extra: tuple[Any, ...] = (), **keywords: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        made = fits.BinTableHDU.from_columns(columns, name="T")
        made.header.update(keywords)
        fits.HDUList([fits.PrimaryHDU(), made, *extra]).writeto(folder / "t.fits")

    return write


def images(*names: str) -> Writer:
    made = [fits.ImageHDU(np.ones((2, 2)), name=name) for name in names]
    return lambda folder: fits.HDUList([fits.PrimaryHDU(), *made]).writeto(folder / "t.fits")


def lists(*rows: list[float]) -> Writer:
    cells = np.empty(len(rows), dtype=object)
    cells[:] = [np.array(row) for row in rows]
    return table(fits.Column("V", "PD()", array=cells))


def groups(value: float) -> Writer:
    made = fits.GroupData(
        np.full((3, 1, 1, 1, 4, 3), value, "f4"),
        parnames=["UU", "VV", "DATE", "DATE"],
        pardata=[np.arange(3.0)] * 4,
        bitpix=-32,
    )
    return lambda folder: fits.GroupsHDU(made).writeto(folder / "t.fits")


def palette(*colours: int, mode: str = "P", **how: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        image = Image.fromarray(np.tile(np.array([[0, 1]], "u1"), (4, 4)), mode="P")
        image.putpalette([*colours] + [0] * (768 - len(colours)))
        image.convert(mode).save(folder / "t.png", **how)

    return write


def said(**words: str) -> PngInfo:
    info = PngInfo()
    for key, value in words.items():
        info.add_text(key, value)
    return info


def zipped(when: int, **members: str) -> Writer:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "t.zip", "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name, (when, 1, 1, 0, 0, 0)), content)

    return write


def packed_text(name: str, content: str, when: int) -> Writer:
    return text(f"{name}.gz", gzip.compress(content.encode(), mtime=when))


def database(*statements: str) -> Writer:
    def write(folder: Path) -> None:
        with sqlite3.connect(folder / "t.db") as made:
            made.executescript(";".join(statements))
        made.close()

    return write


def pdf(date: str, identifier: str, content: str) -> Writer:
    return text(
        "t.pdf",
        f"%PDF-1.4\n1 0 obj << /CreationDate (D:{date}) /Producer (x) >> endobj\n"
        f"2 0 obj << >> stream\n{content}\nendstream\n"
        f"trailer << /ID [<{identifier}> <{identifier}>] >>\n%%EOF\n",
    )


def svg(date: str, identifier: str, colour: str) -> Writer:
    return text(
        "t.svg",
        f"<svg><metadata><dc:date>{date}</dc:date></metadata>\n"
        f'<path id="m{identifier}" fill="{colour}"/><use xlink:href="#m{identifier}"/></svg>\n',
    )


def votable(value: float, unit: str | None = None) -> Writer:
    def write(folder: Path) -> None:
        made = Table({"ra": [value], "name": ["a"]})
        made["ra"].unit = unit
        made.write(folder / "t.vot", format="votable")

    return write


PALETTE = (255, 0, 0, 0, 255, 0)
CREATE = "CREATE TABLE t (x, y)"
VALUE = "INSERT INTO t VALUES (1, 'a')"
