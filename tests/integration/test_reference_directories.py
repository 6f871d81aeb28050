"""Folders that are one product: Zarr stores and measurement sets."""

from __future__ import annotations

import hashlib
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from comparing import compared, only
from ondisk import imported
from pairs import text

from nbpipe.reference.products import describe_outputs
from nbpipe.reference.products.directories import directories, members

zarr = imported("zarr")
tables = imported("casacore.tables")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairs import Writer

NEAR = {"relative": 1e-3}


def store(make: Callable[[Any], object], form: int = 3) -> Writer:
    return lambda folder: make(zarr.open_group(str(folder / "t.zarr"), mode="w", zarr_format=form))


def array(values: Any, name: str = "g/flux", **how: Any) -> Callable[[Any], object]:  # noqa: ANN401
    return lambda group: group.create_array(name, data=np.array(values), **how)


def zipped(values: Any, **how: Any) -> Writer:  # noqa: ANN401
    def write(folder: Path) -> None:
        with zarr.storage.ZipStore(str(folder / "t.zip"), mode="w") as kept:
            array(values, "a", **how)(zarr.open_group(kept, mode="w"))

    return write


def said(value: Any) -> Callable[[Any], object]:  # noqa: ANN401
    return lambda group: group.create_group("g").attrs.update({"q": value})


def measured(
    value: float = 1.0, *, name: str = "A1", manager: str = "", shape: tuple[int, int] = (4, 2)
) -> Writer:
    """Return a writer of a small measurement set: a main table with the one of the antennas."""

    def write(folder: Path) -> None:
        main = tables.maketabdesc(
            [
                tables.makescacoldesc("TIME", 1.0),
                tables.makearrcoldesc("UVW", 1.0, shape=[3], ndim=1),
                tables.makearrcoldesc("DATA", 1j, ndim=2),
            ]
        )
        managers = {"*1": {"NAME": "m", "TYPE": manager, "COLUMNS": ["TIME"]}} if manager else {}
        made = tables.table(str(folder / "t.ms"), main, nrow=3, ack=False, dminfo=managers)
        made.putcol("TIME", np.arange(3.0))
        made.putcol("UVW", np.ones((3, 3)))
        for row in range(2):  # the last cell stays undefined
            made.putcell("DATA", row, np.full(shape, value + 1j))
        made.putcolkeyword("TIME", "QuantumUnits", ["s"])
        below = tables.maketabdesc([tables.makescacoldesc("NAME", "")])
        antennas = tables.table(str(folder / "t.ms/ANTENNA"), below, nrow=1, ack=False)
        antennas.putcell("NAME", 0, name)
        antennas.close()
        made.putkeyword("ANTENNA", f"Table: {folder / 't.ms/ANTENNA'}")
        made.close()

    return write


def sides(folder: Path, old: Writer, new: Writer) -> tuple[Path, Path]:
    found = folder / "old", folder / "new"
    for side, write in zip(found, (old, new), strict=True):
        side.mkdir(parents=True)
        write(side)
    return found


PAIRS: dict[str, tuple[Writer, Writer, dict[str, Any], str]] = {
    "a value": (store(array([1.0, 2.0])), store(array([1.0, 3.0])), {}, "different"),
    "a value, Zarr 2": (store(array([1.0]), 2), store(array([2.0]), 2), {}, "different"),
    "a tolerance": (store(array([1.0])), store(array([1.0001])), NEAR, "within tolerance"),
    "an attribute": (store(said(1)), store(said(2)), {}, "different"),
    "an attribute within": (store(said(1.0)), store(said(1.0001)), NEAR, "within tolerance"),
    "a name": (store(array([1.0])), store(array([1.0], "g/other")), {}, "schema changed"),
    "a type": (store(array([1.0])), store(array(np.array([1], "f4"))), {}, "schema changed"),
    "texts": (store(array(["a"], "t"), 2), store(array(["b"], "t"), 2), {}, "different"),
    "the format": (store(array([1.0]), 2), store(array([1.0]), 3), {}, "different"),
    "chunks": (
        store(array(np.arange(9.0), chunks=(9,))),
        store(array(np.arange(9.0), chunks=(2,), compressors=None)),
        {},
        "same",
    ),
    "a zipped store": (zipped([1.0]), zipped([2.0]), {}, "different"),
    "a zipped store within": (zipped([1.0]), zipped([1.0001]), NEAR, "within tolerance"),
    "a zipped store's chunks": (zipped([1.0, 2.0]), zipped([1.0, 2.0], chunks=(1,)), {}, "same"),
    "a folder with .zattrs alone": (
        text("d.zattrs", '{"a": 1, "b": 2}'),
        text("d.zattrs", '{"b": 2, "a": 1}'),
        {},
        "same",
    ),
    "measured: the same": (measured(), measured(), {}, "same"),
    "measured: a value": (measured(), measured(2.0), {}, "different"),
    "measured: a tolerance": (measured(), measured(1.0001), NEAR, "within tolerance"),
    "measured: a shape": (measured(), measured(shape=(2, 4)), {}, "different"),
    "measured: in another table": (measured(), measured(name="A2"), {}, "different"),
    "measured: its storage": (measured(), measured(manager="IncrementalStMan"), {}, "same"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_folder_is_one_product(name: str, tmp_path: Path) -> None:
    old, new, rules, wanted = PAIRS[name]
    file = only(compared(*sides(tmp_path, old, new), rules))
    assert file.verdict == wanted, (file.reason, file.schema, file.keywords)
    assert file.path in {"t.zarr", "t.zip", "t.ms", "d.zattrs"}


def test_how_values_are_stored_is_told(tmp_path: Path) -> None:
    old, new, _, _ = PAIRS["chunks"]
    file = only(compared(*sides(tmp_path, old, new)))
    assert file.verdict == "same"
    assert [note for note in file.notes if "chunks 9," in note and "became" in note]


@pytest.mark.parametrize("write", [store(array([1.0])), measured()])
def test_a_folder_that_comes_or_goes_is_one_file_of_the_comparison(
    tmp_path: Path, write: Writer
) -> None:
    old, new = sides(tmp_path, write, text("x.txt", "1"))
    verdicts = {each.path: each.verdict.value for each in compared(old, new).files}
    assert sorted(verdicts.values()) == ["missing", "new"]
    verdicts = {each.path: each.verdict.value for each in compared(new, old).files}
    assert verdicts["x.txt"] == "missing"
    assert len(verdicts) == 2


@pytest.mark.parametrize("name", ["a value", "measured: a value"])
def test_without_the_library_a_folder_that_differs_is_not_comparable_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, _, _ = PAIRS[name]
    folders = sides(tmp_path, old, new)
    for module in [*sys.modules]:
        if module.partition(".")[0] in {"zarr", "casacore"}:
            monkeypatch.setitem(sys.modules, module, None)
    for module in ("zarr", "casa"):
        monkeypatch.delitem(sys.modules, f"nbpipe.reference.products.{module}", raising=False)
    found = compared(*folders)
    assert (only(found).verdict, found.exit_code) == ("not comparable", 1)
    assert "is not installed: pip install" in only(found).reason
    shutil.rmtree(folders[1])
    shutil.copytree(*folders)
    assert compared(*folders).verdict == "same"


def test_reading_a_measurement_set_writes_nothing(tmp_path: Path) -> None:
    old, new = sides(tmp_path, measured(), measured(2.0))

    def content() -> dict[str, str]:
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        return {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}

    before = content()
    assert compared(old, new).verdict == "different"
    assert content() == before


def test_an_array_that_only_pickle_can_read_is_never_read(tmp_path: Path) -> None:
    def pickled(value: object) -> Writer:
        def write(folder: Path) -> None:
            store(array([1.0], "a"), 2)(folder)
            metadata = folder / "t.zarr/a/.zarray"
            said = metadata.read_text().replace('"filters": null', '"filters": [{"id": "pickle"}]')
            metadata.write_text(said.replace('"<f8"', '"|O"'))
            (folder / "t.zarr/a/0").write_text(str(value))

        return write

    file = only(compared(*sides(tmp_path, pickled(1), pickled(2))))
    assert file.verdict == "different"


def test_files_of_one_product_are_described_by_their_bytes_alone(tmp_path: Path) -> None:
    store(array([1.0]), 2)(tmp_path)
    measured()(tmp_path)
    (tmp_path / "t.zarr/README").write_text("x")
    outputs = describe_outputs(tmp_path, ["*"])
    assert {each.kind for each in outputs} == {"zarr", "casa", "text"}
    assert not [each for each in outputs if each.error]


def test_the_outermost_folder_is_the_product() -> None:
    paths = ["a/.zgroup", "a/b/.zarray", "a/b/0.0", "a/notes.txt", "t.ms/table.dat"]
    paths += ["t.ms/ANTENNA/table.dat", "d/.zattrs", "zarr.json"]
    found = directories(paths)
    assert found == {"a": "zarr", "t.ms": "casa"}
    assert members(paths, found) == {
        **dict.fromkeys(("a/.zgroup", "a/b/.zarray", "a/b/0.0"), "a"),
        **dict.fromkeys(("t.ms/table.dat", "t.ms/ANTENNA/table.dat"), "t.ms"),
    }
