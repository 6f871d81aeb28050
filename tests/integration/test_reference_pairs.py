"""Two files of every kind that differ in one thing: which verdict that is.

What is different in any way is never "same"; what changes with the clock or the library alone is.
"""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from comparing import compared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import (
    CREATE,
    PALETTE,
    VALUE,
    attribute,
    both,
    classic,
    data,
    database,
    document,
    enum,
    groups,
    images,
    linked,
    lists,
    nested,
    packed,
    packed_text,
    palette,
    parquet,
    pdf,
    ragged,
    record,
    referring,
    said,
    svg,
    table,
    text,
    verdict,
    votable,
    zipped,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairs import Writer


DIFFERENT: dict[str, tuple[Writer, Writer]] = {
    # Numbers keep their digits.
    "csv: beyond 64 bits": (
        text("t.csv", "id,x\n99987009907040017081,1\n"),
        text("t.csv", "id,x\n99987009907040017082,1\n"),
    ),
    "csv: beyond 2**53 among fractions": (
        text("t.csv", "x\n0.5\n9007199254740993\n"),
        text("t.csv", "x\n0.5\n9007199254740992\n"),
    ),
    "csv: more digits than a double has": (
        text("t.csv", "x\n0.12345678901234567891\n"),
        text("t.csv", "x\n0.12345678901234567892\n"),
    ),
    "csv: larger than a double": (text("t.csv", "x\n1e400\n"), text("t.csv", "x\n2e400\n")),
    "csv: nanoseconds": (
        text("t.csv", "t\n2026-01-01T00:00:00.000000001Z\n"),
        text("t.csv", "t\n2026-01-01T00:00:00.000000002Z\n"),
    ),
    "json: beyond 2**53": (
        document({"TARGETID": 39627640566453449}),
        document({"TARGETID": 39627640566453450}),
    ),
    "json: beyond 2**53 in a list": (document([2**60, 1.5]), document([2**60 + 1, 1.5])),
    "json: larger than a double": (text("t.json", '{"a":1e400}'), text("t.json", '{"a":2e400}')),
    "json: smaller than a double": (text("t.json", '{"a":1e-400}'), text("t.json", '{"a":0}')),
    "yaml: beyond 2**53": (text("t.yaml", f"a: {2**60}\n"), text("t.yaml", f"a: {2**60 + 1}\n")),
    "parquet: decimals": (
        parquet({"d": pa.array([Decimal("100000000000000000000.01")], pa.decimal128(38, 2))}),
        parquet({"d": pa.array([Decimal("100000000000000000000.02")], pa.decimal128(38, 2))}),
    ),
    "parquet: nanoseconds": (
        parquet({"t": pa.array([1_700_000_000_000_000_001], pa.timestamp("ns"))}),
        parquet({"t": pa.array([1_700_000_000_000_000_500], pa.timestamp("ns"))}),
    ),
    "parquet: a duration": (
        parquet({"t": pa.array([1], pa.duration("ns"))}),
        parquet({"t": pa.array([2], pa.duration("ns"))}),
    ),
    "parquet: int64 and uint64 beyond 2**53": (
        parquet({"n": pa.array([2**60], pa.int64())}),
        parquet({"n": pa.array([2**60 + 1], pa.int64())}),
    ),
    "sqlite: beyond 2**53": (
        database(CREATE, "INSERT INTO t VALUES (1152921504606846976, 'a')"),
        database(CREATE, "INSERT INTO t VALUES (1152921504606846977, 'a')"),
    ),
    # What only looks like a number is text.
    "csv: leading zeros": (text("t.csv", "c,x\n007,1\n"), text("t.csv", "c,x\n7,1\n")),
    "csv: underscores": (text("t.csv", "c,x\n1_000,1\n"), text("t.csv", "c,x\n1000,1\n")),
    "csv: a plus": (text("t.csv", "phone\n+4955\n"), text("t.csv", "phone\n4955\n")),
    "csv: NA among texts": (text("t.csv", "c,n\nNA,a\nDE,b\n"), text("t.csv", "c,n\n,a\nDE,b\n")),
    "csv: a zone": (
        text("t.csv", "t\n2026-01-01T12:00:00\n"),
        text("t.csv", "t\n2026-01-01T12:00:00Z\n"),
    ),
    # Structure.
    "csv: a blank line in quotes": (
        text("t.csv", 'id,note\n1,"a\n\nb"\n'),
        text("t.csv", 'id,note\n1,"a\nb"\n'),
    ),
    "csv: the delimiter": (text("t.csv", "a,b\n1,2\n"), text("t.csv", "a;b\n1;2\n")),
    "csv: the order of columns": (text("t.csv", "a,b\n1,1\n"), text("t.csv", "b,a\n1,1\n")),
    "csv: Latin-1": (
        text("t.csv", "n,x\nM\xfcller,1\n".encode("latin-1")),
        text("t.csv", "n,x\nM\xf6ller,1\n".encode("latin-1")),
    ),
    "csv: an odd byte is not its own name": (
        text("t.csv", b"n\na\xfc\n"),
        text("t.csv", b"n\na\\xfc\n"),
    ),
    "text: the last line break": (text("t.txt", "a\nb\n"), text("t.txt", "a\nb")),
    "text: line ends": (text("t.txt", "a\nb\n"), text("t.txt", "a\r\nb\r\n")),
    "text: Latin-1": (text("t.log", b"\xfc\n"), text("t.log", b"\xf6\n")),
    "json: a list emptied": (document({"a": [1, 2]}), document({"a": []})),
    "json: an empty list or object": (document({"a": []}), document({"a": {}})),
    "json: an empty list or its text": (document({"a": []}), document({"a": "[]"})),
    "json: an object came, empty": (document({"a": 1}), document({"a": 1, "b": {}})),
    "json: a dotted key": (document({"a.b": 1}), document({"a": {"b": 1}})),
    "json: a bracketed key": (document({"a[0]": 1}), document({"a": [1, "x"]})),
    "json: null or an empty text": (document({"a": None}), document({"a": ""})),
    "json: true or 1": (document({"a": True}), document({"a": 1})),
    "json: the last of many keys is gone": (
        document({f"k{n:05}": n for n in range(12_000)}),
        document({f"k{n:05}": n for n in range(11_999)}),
    ),
    "json: one of many texts": (
        document({f"k{n:05}": "a" for n in range(12_000)}),
        document({f"k{n:05}": "a" if n < 11_999 else "b" for n in range(12_000)}),
    ),
    "json: a key twice": (text("t.json", '{"a":1,"a":2}'), text("t.json", '{"a":3,"a":2}')),
    "yaml: a tag": (text("t.yml", "a: !x 1\n"), text("t.yml", "a: !y 1\n")),
    "hdf5: lists of numbers": (ragged([1, 2], [3, 4]), ragged([1, 2], [3, 5])),
    "hdf5: the length of a list": (ragged([1, 2], [3]), ragged([1], [2, 3])),
    "hdf5: opaque": (data(np.array([b"abc"], "V3")), data(np.array([b"abd"], "V3"))),
    "hdf5: one record": (record(1.0, ()), record(2.0, ())),
    "hdf5: records in two dimensions": (record(1.0, (2, 3)), record(2.0, (2, 3))),
    "hdf5: the shape of records": (record(1.0, (2, 3)), record(1.0, (3, 2))),
    "hdf5: records in records": (nested(1), nested(2)),
    "hdf5: references": (referring("one"), referring("two")),
    "hdf5: a soft link": (
        linked(lambda file: file.__setitem__("a", h5py.SoftLink("/one"))),
        linked(lambda file: file.__setitem__("a", h5py.SoftLink("/two"))),
    ),
    "hdf5: a link to another file": (
        linked(lambda file: file.__setitem__("a", h5py.ExternalLink("x.h5", "/one"))),
        linked(lambda file: file.__setitem__("a", h5py.ExternalLink("y.h5", "/one"))),
    ),
    "hdf5: a hard link": (
        linked(lambda file: file.__setitem__("a", file["one"])),
        linked(lambda file: file.__setitem__("a", file["two"])),
    ),
    "hdf5: a link is gone": (
        linked(lambda file: file.__setitem__("a", h5py.SoftLink("/one"))),
        linked(lambda _: None),
    ),
    "hdf5: the names of an enum": (enum(RED=0, BLUE=1), enum(RED=0, GREEN=1)),
    "hdf5: a value in the middle of an attribute": (
        attribute(np.arange(300.0)),
        attribute(np.where(np.arange(300) == 150, 1.0, np.arange(300.0))),
    ),
    "hdf5: at the end of a very long attribute": (
        attribute(np.arange(5000.0)),
        attribute(np.where(np.arange(5000) == 4999, 1.0, np.arange(5000.0))),
    ),
    "hdf5: the last digits of an attribute": (
        attribute(np.array([1.0, 0.1])),
        attribute(np.array([1.0, 0.1 + 1e-10])),
    ),
    "hdf5: the end of a long text": (attribute("x" * 9000 + "a"), attribute("x" * 9000 + "b")),
    "netcdf classic": (classic(1.0), classic(2.0)),
    "netcdf classic: an attribute": (classic(1.0, title="a"), classic(1.0, title="b")),
    "parquet: the order of columns": (parquet({"a": [1], "b": [1]}), parquet({"b": [1], "a": [1]})),
    "parquet: the time zone": (
        parquet({"t": pa.array([1], pa.timestamp("us", tz="UTC"))}),
        parquet({"t": pa.array([1], pa.timestamp("us", tz="Europe/Berlin"))}),
    ),
    "parquet: structs": (parquet({"s": [{"a": 1}]}), parquet({"s": [{"a": 2}]})),
    "parquet: bytes": (parquet({"s": [b"a"]}), parquet({"s": [b"b"]})),
    "parquet: a part of a data set": (
        parquet({"x": [1.0]}, "c.parquet/N=1/part-0-aa.parquet"),
        parquet({"x": [2.0]}, "c.parquet/N=1/part-0-bb.parquet"),
    ),
    "fits: the order of columns": (
        table(fits.Column("X", "D", array=[1]), fits.Column("Y", "D", array=[3])),
        table(fits.Column("Y", "D", array=[3]), fits.Column("X", "D", array=[1])),
    ),
    "fits: the order of HDUs": (images("A", "B"), images("B", "A")),
    "fits: lists": (lists([1.0, 2.0], [3.0]), lists([1.0, 2.0], [4.0])),
    "fits: the length of a list": (lists([1.0, 2.0], [3.0]), lists([1.0], [2.0, 3.0])),
    "fits: UVFITS": (groups(1.0), groups(2.0)),
    "fits: a float keyword": (
        table(fits.Column("X", "D", array=[1]), SKY=0.1 + 0.2),
        table(fits.Column("X", "D", array=[1]), SKY=0.3),
    ),
    "png: the palette": (palette(*PALETTE), palette(0, 0, 255, 255, 255, 0)),
    "png: transparency": (palette(*PALETTE), palette(*PALETTE, transparency=0)),
    "png: transparency of a colour": (
        palette(*PALETTE, mode="RGB"),
        palette(*PALETTE, mode="RGB", transparency=(255, 0, 0)),
    ),
    "png: what it says": (
        palette(*PALETTE, pnginfo=said(Title="a")),
        palette(*PALETTE, pnginfo=said(Title="b")),
    ),
    "npz: one of the arrays": (
        lambda folder: np.savez(folder / "t.npz", x=[1.0], y=[2.0]),
        lambda folder: np.savez(folder / "t.npz", x=[1.0], y=[3.0]),
    ),
    "npy": (
        lambda folder: np.save(folder / "t.npy", np.array([1, 2])),
        lambda folder: np.save(folder / "t.npy", np.array([1, 3])),
    ),
    "npy: objects, which only pickle could read": (
        lambda folder: np.save(folder / "t.npy", np.array([{}], object), allow_pickle=True),
        lambda folder: np.save(folder / "t.npy", np.array([{1}], object), allow_pickle=True),
    ),
    "zip: a member": (zipped(2020, a="x"), zipped(2020, a="y")),
    "zip: a name": (zipped(2020, a="x"), zipped(2020, b="x")),
    "gzip: a text": (packed_text("t.log", "a\n", 1), packed_text("t.log", "b\n", 1)),
    "gzip: binary": (packed_text("t.bin", "\0a", 1), packed_text("t.bin", "\0b", 1)),
    "sqlite: a row": (database(CREATE, VALUE), database(CREATE, VALUE.replace("'a'", "'b'"))),
    "sqlite: the type of a value": (
        database(CREATE, VALUE),
        database(CREATE, VALUE.replace("1,", "'1',")),
    ),
    "sqlite: an index": (database(CREATE), database(CREATE, "CREATE INDEX i ON t (x)")),
    "sqlite: an empty table": (database(CREATE), database(CREATE, "CREATE TABLE u (z)")),
    "votable: a value": (votable(1.0), votable(2.0)),
    "votable: a unit": (votable(1.0, "deg"), votable(1.0, "rad")),
    "svg: a colour": (svg("2026-01-01", "a1", "red"), svg("2026-01-01", "a1", "blue")),
    "pdf: the drawing": (pdf("2026", "aa", "0 0 m"), pdf("2026", "aa", "0 1 m")),
    "a link leads elsewhere": (
        both(text("a.txt", "x\n"), text("b.txt", "x\n"), lambda at: (at / "l").symlink_to("a.txt")),
        both(text("a.txt", "x\n"), text("b.txt", "x\n"), lambda at: (at / "l").symlink_to("b.txt")),
    ),
    "a link became a file": (
        both(text("a.txt", "x\n"), lambda at: (at / "l").symlink_to("a.txt")),
        both(text("a.txt", "x\n"), text("l", "x\n")),
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_in_anything_is_never_the_same(name: str, tmp_path: Path) -> None:
    old, new = DIFFERENT[name]
    assert verdict(tmp_path, old, new) == "different"
    assert verdict(tmp_path / "back", new, old) == "different"


NEAR = {"relative": 1e-3}
ALIKE: dict[str, tuple[Writer, Writer, dict[str, Any], str]] = {
    "csv: whole by chance": (
        text("t.csv", "id,chi2\na,1.25\nb,2.5\n"),
        text("t.csv", "id,chi2\na,1\nb,2\n"),
        {"absolute": 1.0},
        "within tolerance",
    ),
    "csv: keys that are whole by chance": (
        text("t.csv", "id,x\n1,1\n2.5,2\n"),
        text("t.csv", "id,x\n1.0,1\n2.50,2\n"),
        {"keys": ["id"]},
        "same",
    ),
    "csv: other zones": (
        text("t.csv", "t,x\n2026-01-01T12:00:00Z,1\n"),
        text("t.csv", "t,x\n2026-01-01T13:00:00+01:00,1\n"),
        {},
        "same",
    ),
    "csv: nothing in a column in one of the runs": (
        text("t.csv", "a,b\n1,\n2,\n"),
        text("t.csv", "a,b\n1,\n2,\n\n"),
        {},
        "same",
    ),
    "columns apart by blanks": (
        text("t.dat", "# x y\n1.0000 2.0\n3.0 4.0\n"),
        text("t.dat", "# x y\n1.0001  2.0\n3.0 4.0\n"),
        NEAR,
        "within tolerance",
    ),
    "columns apart by blanks in a text": (
        text("t.txt", "1.0000e+00 2.0\n3.0 4.0\n"),
        text("t.txt", "1.0001e+00 2.0\n3.0 4.0\n"),
        NEAR,
        "within tolerance",
    ),
    "yaml": (
        text("t.yaml", "fit: {chi2: 1.0}\n"),
        text("t.yaml", "fit:\n  chi2: 1.0001\n"),
        NEAR,
        "within tolerance",
    ),
    "json: many values": (
        document({f"k{n:05}": n for n in range(12_000)}),
        document({f"k{n:05}": n * 1.0001 for n in range(12_000)}),
        NEAR,
        "within tolerance",
    ),
    "json: beyond 2**53 with a tolerance": (
        document({"a": 2**60}),
        document({"a": 2**60 + 1}),
        NEAR,
        "within tolerance",
    ),
    "fits: a float keyword": (
        table(fits.Column("X", "D", array=[1]), SKY=0.1 + 0.2),
        table(fits.Column("X", "D", array=[1]), SKY=0.3),
        {"relative": 1e-6},
        "within tolerance",
    ),
    "fits: lists": (
        lists([1.0, 2.0], [3.0]),
        lists([1.0, 2.0], [3.0001]),
        NEAR,
        "within tolerance",
    ),
    "hdf5: lists": (ragged([1, 2], [3]), ragged([1, 2], [3.0001]), NEAR, "within tolerance"),
    "hdf5: an attribute of numbers": (
        attribute(np.array([1.0, 0.1])),
        attribute(np.array([1.0, 0.1 + 1e-10])),
        NEAR,
        "within tolerance",
    ),
    "parquet: lists": (
        parquet({"v": [[1.0, 2.0], [3.0], None]}),
        parquet({"v": [[1.0, 2.0], [3.0001], None]}),
        NEAR,
        "within tolerance",
    ),
    "parquet: parts with other names": (
        parquet({"x": [1.0, 2.0]}, "c.parquet/N=1/part-0-aa.parquet", compression="snappy"),
        parquet({"x": [1.0, 2.0]}, "c.parquet/N=1/part-0-bb.parquet", compression="zstd"),
        {},
        "same",
    ),
    "parquet: other parts": (
        parquet({"x": [1.0, 2.0]}, "c.parquet/part-0-aa.parquet"),
        both(
            parquet({"x": [1.0]}, "c.parquet/part-0-bb.parquet"),
            parquet({"x": [2.0]}, "c.parquet/part-1-bb.parquet"),
        ),
        {},
        "same",
    ),
    "netcdf: packed": (packed(200), packed(203), {"absolute": 0.05}, "within tolerance"),
    "netcdf classic: its history": (
        classic(1.0, history="a"),
        classic(1.0, history="b"),
        {},
        "same",
    ),
    "netcdf classic: a tolerance": (classic(1.0), classic(1.0001), NEAR, "within tolerance"),
    "gzip: its time": (
        packed_text("t.csv", "a,b\n1,2\n", 1),
        packed_text("t.csv", "a,b\n1,2\n", 2),
        {},
        "same",
    ),
    "gzip: a table in it": (
        packed_text("t.csv", "a,b\n1,2\n", 1),
        packed_text("t.csv", "a,b\n1,2.0001\n", 2),
        NEAR,
        "within tolerance",
    ),
    "zip: times": (zipped(2020, a="x"), zipped(2021, a="x"), {}, "same"),
    "npz": (
        lambda folder: np.savez(folder / "t.npz", x=[1.0]),
        lambda folder: np.savez_compressed(folder / "t.npz", x=[1.0001]),
        NEAR,
        "within tolerance",
    ),
    "sqlite: the same rows after a VACUUM": (
        database(CREATE, VALUE),
        database(CREATE, VALUE, "CREATE TABLE u (z)", "DROP TABLE u", "VACUUM"),
        {},
        "same",
    ),
    "votable": (votable(1.0), votable(1.0001), NEAR, "within tolerance"),
    "svg: its date and names": (
        svg("2026-01-01", "a1", "red"),
        svg("2026-01-02", "b2", "red"),
        {},
        "same",
    ),
    "pdf: its date and identifiers": (
        pdf("20260101", "aa", "0 0 m"),
        pdf("20260102", "bb", "0 0 m"),
        {},
        "same",
    ),
    "png: its writer": (
        palette(*PALETTE, pnginfo=said(Software="a")),
        palette(*PALETTE, pnginfo=said(Software="b")),
        {},
        "same",
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_the_rules_allow_is_no_alarm(name: str, tmp_path: Path) -> None:
    old, new, rules, wanted = ALIKE[name]
    assert verdict(tmp_path, old, new, rules) == wanted


def test_an_image_that_is_too_large_for_its_pixels_is_different_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbpipe.reference.products.images.MOST_PIXELS", 4)
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    palette(*PALETTE)(tmp_path / "old")
    palette(0, 0, 255, 255, 255, 0)(tmp_path / "new")
    (found,) = compared(tmp_path / "old", tmp_path / "new").files
    assert (found.verdict, found.uncompared) == (
        "different",
        ("its pixels: 8 x 4 are too many",),
    )
    assert found.reason.startswith("its bytes differ, and not all was compared: its pixels")


LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
SOME = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    numbers = iter(range(1_000_000))
    return lambda: tmp_path / str(next(numbers))


@SOME
@given(old=TREE, new=TREE)
def test_two_json_documents_are_the_same_only_where_they_are(
    fresh: Callable[[], Path], old: object, new: object
) -> None:
    texts = [re.sub(r"(?<=\d)\.0\b", "", json.dumps({"a": each})) for each in (old, new)]
    found = verdict(fresh(), document({"a": old}), document({"a": new}))
    # -0.0 is 0; nothing else that is written otherwise is the same.
    if texts[0].replace("-0", "0") != texts[1].replace("-0", "0"):
        same = json.loads(texts[0]) == json.loads(texts[1]) and old == new
        assert (found == "same") <= same
    else:
        assert found == "same"


CELL = st.text(alphabet="019.-eab, \"'\n", max_size=4)


def rows(cells: list[str]) -> Writer:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("name", "x"), *((each, 1) for each in cells)])
    return text("t.csv", written.getvalue())


@SOME
@given(cells=st.lists(CELL, min_size=1, max_size=6), place=st.integers(0, 5), other=CELL)
def test_a_changed_text_in_a_table_is_seen(
    fresh: Callable[[], Path], cells: list[str], place: int, other: str
) -> None:
    changed = [*cells]
    changed[place % len(cells)] = other
    found = verdict(fresh(), rows(["text", *cells]), rows(["text", *changed]))
    assert found == ("same" if changed == cells else "different")


@SOME
@given(
    values=st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=5),
    place=st.integers(0, 4),
    other=st.floats(allow_nan=False, width=64),
)
def test_a_changed_number_is_seen_in_every_format(
    fresh: Callable[[], Path], values: list[float], place: int, other: float
) -> None:
    changed = [*values]
    changed[place % len(values)] = other
    if changed == values:
        return
    for write in (
        lambda side: text("t.csv", "x,y\n" + "".join(f"{each!r},1\n" for each in side)),
        lambda side: text("t.dat", "".join(f"{each!r} 1\n" for each in side)),
        lambda side: parquet({"x": side, "v": [side] * len(side)}),
        lambda side: data(np.array(side)),
        lambda side: table(fits.Column("X", "D", array=side)),
        lambda side: lambda folder: np.savez(folder / "t.npz", x=side),
    ):
        assert verdict(fresh(), write(values), write(changed)) == "different"
