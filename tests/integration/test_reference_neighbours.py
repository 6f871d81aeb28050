"""More pairs of products that differ in one thing: what a byte may change, kind by kind.

Found by a hunt through every reader: each was once judged "same", or not read at all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import h5py
import netCDF4
import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from comparing import compared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import data, database, parquet, pdf, text, tree, verdict
from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairs import Writer


def headers(*cards: tuple[Any, ...]) -> Writer:
    def write(folder: Path) -> None:
        made = fits.PrimaryHDU()
        for card in cards:
            made.header.append(fits.Card(*card))
        made.writeto(folder / "t.fits")

    return write


def column(name: str, form: str, values: Any, **how: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        made = fits.BinTableHDU.from_columns([fits.Column(name, form, array=values, **how)])
        made.writeto(folder / "t.fits")

    return write


def patched(write: Writer, name: str, change: Callable[[bytes], bytes]) -> Writer:
    """Return a writer of the same file with other bytes."""

    def patch(folder: Path) -> None:
        write(folder)
        file = folder / name
        file.write_bytes(change(file.read_bytes()))

    return patch


def scale(make: Callable[[Any], object]) -> Writer:
    def fill(file: Any) -> None:  # noqa: ANN401
        for name in ("d", "x", "y"):
            file[name] = np.arange(3.0)
            file[name].make_scale()
        file["v"] = np.arange(3.0)
        make(file)

    return tree(fill)


def attached(*names: str) -> Writer:
    def attach(file: Any) -> None:  # noqa: ANN401
        for name in names:
            file["v"].dims[0].attach_scale(file[name])

    return scale(attach)


def attribute(value: Any, dtype: Any = None) -> Writer:  # noqa: ANN401
    return tree(lambda file: file.attrs.create("a", value, dtype=dtype))


def region(mask: list[int]) -> Writer:
    def make(file: Any) -> None:  # noqa: ANN401
        file["a"] = np.arange(6.0)
        made = file.create_dataset("r", (1,), dtype=h5py.regionref_dtype)
        made[0] = file["a"].regionref[np.array(mask, dtype=bool)]

    return tree(make)


def virtual(source: str) -> Writer:
    def make(file: Any) -> None:  # noqa: ANN401
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(source, "s", shape=(3,))
        file.create_virtual_dataset("v", layout)

    return tree(make)


def user_block(content: bytes) -> Writer:
    def write(folder: Path) -> None:
        with h5py.File(folder / "t.h5", "w", userblock_size=512) as file:
            file["d"] = 1
        with (folder / "t.h5").open("r+b") as stream:
            stream.write(content)

    return write


def records(values: dict[str, int]) -> Writer:
    dtype = np.dtype([("e", h5py.enum_dtype(values, "i1"))])
    return tree(lambda file: file.create_dataset("t", (2,), dtype=dtype))


def odd_type(value: int) -> Writer:
    def make(file: Any) -> None:  # noqa: ANN401
        space = h5py.h5s.create_simple((1,))
        kind = h5py.h5t.UNIX_D32LE
        made = h5py.h5d.create(file.id, b"time", kind, space)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([value], "i4"), mtype=kind)

    return tree(make)


def netcdf(make: Callable[[Any], object], form: str = "NETCDF4") -> Writer:
    def write(folder: Path) -> None:
        with netCDF4.Dataset(folder / "t.nc", "w", format=form) as file:
            make(file)

    return write


def dimension(name: str, size: int | None) -> Callable[[Any], object]:
    return lambda file: file.createDimension(name, size)


def ecsv(**about: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        made = Table({"a": [1.0]})
        for key, value in about.items():
            setattr(made["a"], key, value)
        made.write(folder / "t.ecsv", format="ascii.ecsv")

    return write


def times(scale_: str) -> Writer:
    made = Table({"t": Time(["2020-01-01"], scale=scale_)})
    return lambda folder: made.write(folder / "t.ecsv", format="ascii.ecsv")


def array(value: Any) -> Writer:  # noqa: ANN401
    return lambda folder: np.save(folder / "t.npy", value)


def arrays(*values: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        with (folder / "t.npy").open("wb") as stream:
            for value in values:
                np.save(stream, value)

    return write


VOTABLE = (
    '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    '<RESOURCE>{more}<TABLE name="T">{said}<FIELD name="a" datatype="double">{inside}</FIELD>'
    "<DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
)


def votable(more: str = "", said: str = "", inside: str = "") -> Writer:
    return text("t.vot", VOTABLE.format(more=more, said=said, inside=inside))


PIXELS = np.arange(300, dtype="u1").reshape(10, 10, 3)
OTHERS = PIXELS[::-1].copy()


def image(name: str, pixels: Any = PIXELS, **how: Any) -> Writer:  # noqa: ANN401
    return lambda folder: Image.fromarray(pixels).save(folder / name, **how)


def chunk(name: bytes, content: bytes, before: bytes = b"IDAT") -> Writer:
    packed = struct.pack(">I", len(content)) + name + content
    packed += struct.pack(">I", zlib.crc32(name + content))

    def insert(old: bytes) -> bytes:
        at = old.index(before) - 4
        return old[:at] + packed + old[at:]

    return patched(image("t.png"), "t.png", insert)


def international(language: str) -> Writer:
    info = PngInfo()
    info.add_itxt("Title", "x", language)
    return image("t.png", pnginfo=info)


def with_tail(write: Writer, name: str, tail: bytes) -> Writer:
    return patched(write, name, lambda old: old + tail)


def tar_of(*members: tuple[str, bytes], when: int = 1, **about: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), when
            for key, value in about.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zip_of(*members: tuple[str, bytes], year: int = 2020, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0))
            info.comment = comment
            archive.writestr(info, content)
    return stream.getvalue()


def encrypted(content: bytes) -> bytes:
    made = bytearray(zip_of(("a", content)))
    made[made.index(b"PK\x03\x04") + 6] |= 1
    made[made.index(b"PK\x01\x02") + 8] |= 1
    return bytes(made)


LIST = pa.list_(pa.float64())
WHOLE = pa.list_(pa.int64())
MAP = pa.map_(pa.string(), pa.decimal128(9, 2))
LISTS = (
    "# %ECSV 1.0\n# ---\n# datatype:\n"
    "# - {name: a, datatype: string, subtype: 'float64[null]'}\na\n"
)
COUNTED = "CREATE TABLE t (i INTEGER PRIMARY KEY AUTOINCREMENT)"
CSV = b"a,b\n1,2\n"
NEARLY = b"a,b\n1,2.0001\n"

DIFFERENT: dict[str, tuple[Writer, Writer]] = {
    "fits: the comment of a card": (
        headers(("VEL", 1.0, "[m/s]")),
        headers(("VEL", 1.0, "[km/s]")),
    ),
    "fits: a keyword twice": (headers(("A", 1), ("A", 2)), headers(("A", 3), ("A", 2))),
    "fits: how a column is shown": (
        column("X", "E", [1], disp="F8.3"),
        column("X", "E", [1], disp="F8.4"),
    ),
    "fits: the width of strings": (column("X", "8A", ["a"]), column("X", "9A", ["a"])),
    "fits: bytes behind the data": (
        column("X", "B", [1]),
        patched(column("X", "B", [1]), "t.fits", lambda old: old[:-1] + b"\7"),
    ),
    "hdf5: an enum in records": (records({"A": 0, "B": 1}), records({"A": 0, "C": 1})),
    "hdf5: what is chosen of a region": (region([0, 1, 0, 1, 1, 1]), region([0, 1, 1, 0, 1, 1])),
    "hdf5: the type of an attribute": (attribute(np.float32(1.5)), attribute(np.float64(1.5))),
    "hdf5: an attribute in a list": (attribute(1.0), attribute([1.0])),
    "hdf5: an enum in an attribute": (
        attribute(1, h5py.enum_dtype({"A": 1})),
        attribute(1, h5py.enum_dtype({"B": 1})),
    ),
    "hdf5: the type of nothing": (attribute(h5py.Empty("f8")), attribute(h5py.Empty("S3"))),
    "hdf5: an attribute called CLASS": (
        tree(lambda file: file.attrs.create("CLASS", "a")),
        tree(lambda file: file.attrs.create("CLASS", "b")),
    ),
    "hdf5: the name of a scale": (
        scale(lambda file: file["d"].make_scale("p")),
        scale(lambda file: file["d"].make_scale("q")),
    ),
    "hdf5: the second scale": (attached("d", "x"), attached("d", "y")),
    "hdf5: a label on a scale": (
        scale(lambda file: setattr(file["d"].dims[0], "label", "p")),
        scale(lambda file: setattr(file["d"].dims[0], "label", "q")),
    ),
    "hdf5: the source of virtual data": (virtual("a.h5"), virtual("b.h5")),
    "hdf5: a type that numpy has not": (odd_type(1), odd_type(2)),
    "hdf5: an attribute of a type": (
        tree(lambda file: [file.__setitem__("T", np.dtype("i4")), file["T"].attrs.create("q", 1)]),
        tree(lambda file: [file.__setitem__("T", np.dtype("i4")), file["T"].attrs.create("q", 2)]),
    ),
    "hdf5: the user block": (user_block(b"a"), user_block(b"b")),
    "hdf5: may grow": (
        data(np.arange(3.0)),
        tree(lambda file: file.create_dataset("d", data=np.arange(3.0), maxshape=(None,))),
    ),
    "netcdf: an unused dimension": (netcdf(dimension("q", 3)), netcdf(dimension("q", 4))),
    "netcdf: an unlimited dimension": (netcdf(dimension("q", 3)), netcdf(dimension("q", None))),
    "netcdf classic: an unused dimension": (
        netcdf(dimension("q", 3), "NETCDF3_CLASSIC"),
        netcdf(dimension("r", 3), "NETCDF3_CLASSIC"),
    ),
    "parquet: null or NaN in a list": (
        parquet({"v": pa.array([[1.0, None]], LIST)}),
        parquet({"v": pa.array([[1.0, float("nan")]], LIST)}),
    ),
    "parquet: beyond 2**53 in a list with a null": (
        parquet({"v": pa.array([[2**60, None]], WHOLE)}),
        parquet({"v": pa.array([[2**60 + 1, None]], WHOLE)}),
    ),
    "parquet: the unit of times": (
        parquet({"v": pa.array([0], pa.timestamp("us"))}),
        parquet({"v": pa.array([0], pa.timestamp("ms"))}),
    ),
    "parquet: a date or a time": (
        parquet({"v": pa.array([1], pa.date32())}),
        parquet({"v": pa.array([86_400_000_000], pa.timestamp("us"))}),
    ),
    "parquet: the types in a struct": (
        parquet({"v": pa.array([{"a": 1}], pa.struct([("a", pa.int32())]))}),
        parquet({"v": pa.array([{"a": 1}], pa.struct([("a", pa.int64())]))}),
    ),
    "parquet: beyond 2**53 in a struct": (
        parquet({"v": [{"a": 2**60}]}),
        parquet({"v": [{"a": 2**60 + 1}]}),
    ),
    "parquet: bytes of a fixed size": (
        parquet({"v": pa.array([b"ab"], pa.binary(2))}),
        parquet({"v": pa.array([b"ab"], pa.binary())}),
    ),
    "csv: a byte order mark": (text("t.csv", CSV), text("t.csv", b"\xef\xbb\xbf" + CSV)),
    "csv: line ends": (text("t.csv", CSV), text("t.csv", CSV.replace(b"\n", b"\r\n"))),
    "csv: how nothing is written": (
        text("t.csv", "a,b\nNULL,2\n1,3\n"),
        text("t.csv", "a,b\nnull,2\n1,3\n"),
    ),
    "csv: a date or a time": (
        text("t.csv", "t,b\n2026-01-01,2\n"),
        text("t.csv", "t,b\n2026-01-01T00:00:00,2\n"),
    ),
    "csv: nothing in a single column": (text("t.csv", "a\nx\n\ny\n"), text("t.csv", "a\nx\ny\n")),
    "csv: rows of other lengths": (text("t.csv", "a,b\n1,2,3\n"), text("t.csv", "a,b\n1,2,4\n")),
    "columns apart by blanks: a comment": (
        text("t.dat", "1 2 # a\n3 4\n"),
        text("t.dat", "1 2 # b\n3 4\n"),
    ),
    "columns apart by blanks: in quotes": (
        text("t.dat", '"a  b" 2\n"c d" 3\n'),
        text("t.dat", '"a b" 2\n"c d" 3\n'),
    ),
    "ecsv: a description": (ecsv(description="a"), ecsv(description="b")),
    "ecsv: a format": (ecsv(format="%.1f"), ecsv(format="%.2f")),
    "ecsv: what is said of a column": (ecsv(meta={"a": 1}), ecsv(meta={"a": 2})),
    "ecsv: the scale of times": (times("utc"), times("tai")),
    "json: a key twice, and one called like it": (
        text("t.json", '{"a":1,"a":2}'),
        text("t.json", '{"a":1,"a (2)":2}'),
    ),
    "json: a list of one": (text("t.json", '{"a":[1]}'), text("t.json", '{"a":1}')),
    "json: a byte order mark": (text("t.json", "{}"), text("t.json", b"\xef\xbb\xbf{}")),
    "json: neither is JSON": (text("t.json", '{"a":1,}'), text("t.json", '{"a":2,}')),
    "json: too deep": (
        text("t.json", "[" * 3000 + "1" + "]" * 3000),
        text("t.json", "[" * 3000 + "2" + "]" * 3000),
    ),
    "json lines: beyond 2**53": (
        text("t.jsonl", f'{{"a":{2**60}}}\n{{}}\n'),
        text("t.jsonl", f'{{"a":{2**60 + 1}}}\n{{}}\n'),
    ),
    "json lines: their order": (
        text("t.jsonl", '{"a":1}\n{"a":2}\n'),
        text("t.jsonl", '{"a":2}\n{"a":1}\n'),
    ),
    "yaml: a text that YAML 1.1 takes for a number in base 60": (
        text("t.yaml", "a: 1:30\n"),
        text("t.yaml", "a: 90\n"),
    ),
    "yaml: a key twice": (text("t.yaml", "a: 1\na: 2\n"), text("t.yaml", "a: 3\na: 2\n")),
    "yaml: documents or a list": (
        text("t.yaml", "a: 1\n---\na: 2\n"),
        text("t.yaml", "- a: 1\n- a: 2\n"),
    ),
    "yaml: a time or a text": (
        text("t.yaml", "a: 2020-01-01\n"),
        text("t.yaml", 'a: "2020-01-01"\n'),
    ),
    "yaml: more digits than a double has": (
        text("t.yaml", "a: 0.1\n"),
        text("t.yaml", "a: 0.10000000000000001234\n"),
    ),
    "npy: the order of fields": (
        array(np.zeros(1, [("a", "f8"), ("b", "f8")])),
        array(np.zeros(1, [("b", "f8"), ("a", "f8")])),
    ),
    "npy: the unit of times": (
        array(np.array(["2020-01-01"], "M8[ns]")),
        array(np.array(["2020-01-01"], "M8[s]")),
    ),
    "npy: the second array": (arrays([1.0], [2.0]), arrays([1.0], [3.0])),
    "npy: bytes behind it": (
        with_tail(array([1.0]), "t.npy", b"x"),
        with_tail(array([1.0]), "t.npy", b"y"),
    ),
    "sqlite: the next number": (
        database(
            "CREATE TABLE t (i INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO t VALUES (1)"
        ),
        database(
            "CREATE TABLE t (i INTEGER PRIMARY KEY AUTOINCREMENT)",
            "INSERT INTO t VALUES (1), (2)",
            "DELETE FROM t WHERE i = 2",
        ),
    ),
    "votable: a description": (
        votable(inside="<DESCRIPTION>a</DESCRIPTION>"),
        votable(inside="<DESCRIPTION>b</DESCRIPTION>"),
    ),
    "votable: a parameter in a group": (
        votable(said='<GROUP name="g"><PARAM name="p" datatype="int" value="1"/></GROUP>'),
        votable(said='<GROUP name="g"><PARAM name="p" datatype="int" value="2"/></GROUP>'),
    ),
    "votable: the coordinates": (
        votable(more='<COOSYS ID="c" system="ICRS"/>'),
        votable(more='<COOSYS ID="c" system="eq_FK5"/>'),
    ),
    "png: a chunk": (chunk(b"sBIT", b"\x08\x08\x08"), chunk(b"sBIT", b"\x07\x08\x08")),
    "png: a text behind its pixels": (
        chunk(b"tEXt", b"Title\0a", b"IEND"),
        chunk(b"tEXt", b"Title\0b", b"IEND"),
    ),
    "png: the language of a text": (international("de"), international("en")),
    "png: bytes behind it": (
        with_tail(image("t.png"), "t.png", b"x"),
        with_tail(image("t.png"), "t.png", b"y"),
    ),
    "png: a damaged chunk": (
        image("t.png"),
        patched(image("t.png"), "t.png", lambda old: old[:-6] + b"\0\0" + old[-4:]),
    ),
    "jpeg: bytes behind it": (
        with_tail(image("t.jpg"), "t.jpg", b"x"),
        with_tail(image("t.jpg"), "t.jpg", b"y"),
    ),
    "tiff: a pixel": (image("t.tif"), image("t.tif", OTHERS)),
    "tiff: the second page": (
        image("t.tif", save_all=True, append_images=[Image.fromarray(PIXELS)]),
        image("t.tif", save_all=True, append_images=[Image.fromarray(OTHERS)]),
    ),
    "tiff: what it says": (image("t.tif", description="a"), image("t.tif", description="b")),
    "bzip2": (text("t.csv.bz2", bz2.compress(CSV)), text("t.csv.bz2", bz2.compress(NEARLY))),
    "gzip: bytes behind it": (
        text("t.gz", gzip.compress(CSV) + b"x"),
        text("t.gz", gzip.compress(CSV) + b"y"),
    ),
    "tar: a member": (text("t.tar", tar_of(("a", b"x"))), text("t.tar", tar_of(("a", b"y")))),
    "tar: a name twice": (
        text("t.tar", tar_of(("a", b"x"), ("a", b"y"))),
        text("t.tar", tar_of(("a", b"y"), ("a", b"x"))),
    ),
    "tar: where a link leads": (
        text("t.tar", tar_of(("a", b""), type=tarfile.SYMTYPE, linkname="p")),
        text("t.tar", tar_of(("a", b""), type=tarfile.SYMTYPE, linkname="q")),
    ),
    "zip: the comment of a member": (
        text("t.zip", zip_of(("a", b"x"), comment=b"p")),
        text("t.zip", zip_of(("a", b"x"), comment=b"q")),
    ),
    "zip: encrypted": (text("t.zip", encrypted(b"abcd")), text("t.zip", encrypted(b"abce"))),
    "zip: in a zip": (
        text("t.zip", zip_of(("i.zip", zip_of(("a", b"\0x"))))),
        text("t.zip", zip_of(("i.zip", zip_of(("a", b"\0y"))))),
    ),
    "pdf: a drawing that looks like a date": (
        pdf("2026", "aa", "(/CreationDate (D:1))"),
        pdf("2026", "aa", "(/CreationDate (D:2))"),
    ),
    "svg: a name of somebody's own": (
        text("t.svg", '<svg><path id="galaxy"/></svg>'),
        text("t.svg", '<svg><path id="star"/></svg>'),
    ),
    "svg: a colour that is a name as well": (
        text("t.svg", '<svg><path id="abc1"/><path fill="#abc1"/></svg>'),
        text("t.svg", '<svg><path id="def1"/><path fill="#def1"/></svg>'),
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_in_one_thing_is_never_the_same(name: str, tmp_path: Path) -> None:
    old, new = DIFFERENT[name]
    assert verdict(tmp_path, old, new) == "different"
    assert verdict(tmp_path / "back", new, old) == "different"


NEAR = {"relative": 1e-3}
WITHIN, SAME = "within tolerance", "same"
ALIKE: dict[str, tuple[Writer, Writer, dict[str, Any], str]] = {
    "fits: a comment, where its keyword is ignored": (
        headers(("HIERARCH A B", 1, "x")),
        headers(("HIERARCH A B", 2, "y")),
        {"ignore-keywords": ["A B"]},
        SAME,
    ),
    "fits: a card without a keyword is a comment": (
        headers(("", "a")),
        headers(("", "b")),
        {},
        SAME,
    ),
    "hdf5: records in records": (
        data(np.array([((1.0, 2),)], [("s", [("x", "f8"), ("y", "i4")])])),
        data(np.array([((1.0001, 2),)], [("s", [("x", "f8"), ("y", "i4")])])),
        NEAR,
        WITHIN,
    ),
    "parquet: lists of lists": (
        parquet({"v": [[[1.0], [2.0]]]}),
        parquet({"v": [[[1.0], [2.0001]]]}),
        NEAR,
        WITHIN,
    ),
    "parquet: structs": (
        parquet({"v": [{"a": 1.0, "b": "x"}]}),
        parquet({"v": [{"a": 1.0001, "b": "x"}]}),
        NEAR,
        WITHIN,
    ),
    "parquet: maps of decimals": (
        parquet({"v": pa.array([[("a", Decimal("1.00"))]], MAP)}),
        parquet({"v": pa.array([[("a", Decimal("1.01"))]], MAP)}),
        {"absolute": 0.1},
        WITHIN,
    ),
    "ecsv: lists": (
        text("t.ecsv", f"{LISTS}[1.0,2.0]\n"),
        text("t.ecsv", f"{LISTS}[1.0,2.0001]\n"),
        NEAR,
        WITHIN,
    ),
    "json lines": (
        text("t.jsonl", '{"a":1.0}\n{"a":2.0}\n'),
        text("t.jsonl", '{"a":1.0}\n{"a": 2.0001}\n'),
        NEAR,
        WITHIN,
    ),
    "json lines: the order of keys": (
        text("t.ndjson", '{"a":1,"b":2}\n{}\n'),
        text("t.ndjson", '{"b":2,"a":1}\n{}\n'),
        {},
        SAME,
    ),
    "yaml: an anchor": (
        text("t.yaml", "a: &x {k: 1}\nb: *x\n"),
        text("t.yaml", "a: {k: 1}\nb: {k: 1}\n"),
        {},
        SAME,
    ),
    "votable: a parameter": (
        votable(said='<PARAM name="p" datatype="double" value="1.0"/>'),
        votable(said='<PARAM name="p" datatype="double" value="1.0001"/>'),
        NEAR,
        WITHIN,
    ),
    "tiff: its compression and date": (
        image("t.tif", date_time="2020:01:01 00:00:00"),
        image("t.tif", date_time="2021:01:01 00:00:00", compression="tiff_lzw"),
        {},
        SAME,
    ),
    "tiff: a tolerance": (
        image("t.tif"),
        image("t.tif", PIXELS + (PIXELS < 9).astype("u1")),
        {"absolute": 1},
        WITHIN,
    ),
    "bzip2: a table in it": (
        text("t.csv.bz2", bz2.compress(CSV)),
        text("t.csv.bz2", bz2.compress(NEARLY)),
        NEAR,
        WITHIN,
    ),
    "xz: its level": (
        text("t.csv.xz", lzma.compress(CSV * 99, preset=1)),
        text("t.csv.xz", lzma.compress(CSV * 99, check=lzma.CHECK_CRC32)),
        {},
        SAME,
    ),
    "zstd: its level": (
        text("t.csv.zst", pa.Codec("zstd", compression_level=1).compress(CSV * 99, asbytes=True)),
        text("t.csv.zst", pa.Codec("zstd", compression_level=9).compress(CSV * 99, asbytes=True)),
        {},
        SAME,
    ),
    "tar: times, owners, order": (
        text("t.tar", tar_of(("a", b"x"), ("b", b"y"))),
        text("t.tar", tar_of(("b", b"y"), ("a", b"x"), when=2, uid=7)),
        {},
        SAME,
    ),
    "tar.gz: times of both": (
        text("t.tgz", gzip.compress(tar_of(("a", b"x"), when=1), mtime=1)),
        text("t.tgz", gzip.compress(tar_of(("a", b"x"), when=2), mtime=2)),
        {},
        SAME,
    ),
    "zip: a table in it": (
        text("t.zip", zip_of(("a.csv", CSV))),
        text("t.zip", zip_of(("a.csv", NEARLY))),
        NEAR,
        WITHIN,
    ),
    "zip: times of a zip in it": (
        text("t.zip", zip_of(("i.zip", zip_of(("a", b"\0x"))))),
        text("t.zip", zip_of(("i.zip", zip_of(("a", b"\0x"), year=2021)))),
        {},
        SAME,
    ),
    "svgz: its date": (
        text("t.svgz", gzip.compress(b"<svg><dc:date>1</dc:date></svg>")),
        text("t.svgz", gzip.compress(b"<svg><dc:date>2</dc:date></svg>")),
        {},
        SAME,
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_the_rules_allow_is_no_alarm(name: str, tmp_path: Path) -> None:
    old, new, rules, wanted = ALIKE[name]
    assert verdict(tmp_path, old, new, rules) == wanted


def test_a_member_that_unpacks_for_ever_is_compared_by_its_bytes(tmp_path: Path) -> None:
    def nested(content: bytes) -> Writer:
        for _ in range(9):
            content = zip_of(("i.zip", content))
        return text("t.zip", content)

    assert verdict(tmp_path, nested(b"\0x"), nested(b"\0y")) == "different"


SOME = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = {
    "t.csv": CSV + b"2.5,x\n",
    "t.json": b'{"a":1.5,"b":["x",true,null],"c":{"d":[1,2]}}',
    "t.jsonl": b'{"a":1}\n{"a":2}\n',
    "t.yaml": b"a: 1.5\nb: [x, true, ~]\nc: {d: 2020-01-01}\n",
    "t.log": b"2026-01-01 12:00:00 start\nend\n",
    "t.svg": b'<svg><path id="galaxy" d="M 0 1"/></svg>',
    "t.bin": b"\0\1\2",
    "t.csv.xz": lzma.compress(CSV),
}


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    numbers = iter(range(1_000_000))
    return lambda: tmp_path / str(next(numbers))


@SOME
@given(name=st.sampled_from(sorted(TEXTS)), place=st.integers(0, 99), other=st.integers(1, 255))
def test_a_byte_that_flips_anywhere_is_seen(
    fresh: Callable[[], Path], name: str, place: int, other: int
) -> None:
    content = bytearray(TEXTS[name])
    content[place % len(content)] ^= other
    folder = fresh()
    for side, written in (("old", TEXTS[name]), ("new", bytes(content))):
        (folder / side).mkdir(parents=True)
        (folder / side / name).write_bytes(written)
    found = compared(folder / "old", folder / "new")
    blanks = name != "t.log" and TEXTS[name].split() == bytes(content).split()
    assert (found.verdict == "same") <= blanks, found.files
