"""Real files of every kind are described: kind, schema, statistics; damaged ones with the error."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from manifests import manifest, validated
from products import write_every_kind, write_fits

from nbpipe.reference.manifest import Statistics
from nbpipe.reference.products import describe_outputs, opened

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.manifest import Column, Output


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Output]:
    folder = tmp_path_factory.mktemp("run")
    write_every_kind(folder / "out")
    found = describe_outputs(folder, ["out/*"])
    validated(manifest(*found))
    return {each.path.removeprefix("out/"): each for each in found}


def columns(output: Output, part: str = "") -> dict[str, Column]:
    (found,) = (each for each in output.parts if each.name == part)
    return {each.name: each for each in found.columns}


def describe(folder: Path, name: str) -> Output:
    (found,) = describe_outputs(folder, [f"/{name}"])
    return found


def test_the_kind_is_told_by_the_content(outputs: dict[str, Output]) -> None:
    assert {name: each.kind for name, each in outputs.items()} == {
        "c.csv": "csv",
        "climate.nc": "netcdf",
        "e.ecsv": "ecsv",
        "log.txt": "text",
        "plot.jpg": "jpeg",
        "plot.png": "png",
        "qa.json": "json",
        "t.parquet": "parquet",
        "tree.h5": "hdf5",
        "z.fits": "fits",
        "z.fits.gz": "fits",
    }
    assert [each.error for each in outputs.values()] == [None] * 11


def test_a_fits_table_has_its_columns_units_keywords_and_statistics(
    outputs: dict[str, Output],
) -> None:
    found = columns(outputs["z.fits"], "ZCAT")
    assert {name: (each.dtype, each.shape) for name, each in found.items()} == {
        "TARGETID": ("int64", ()),
        "Z": ("float64", ()),
        "FLUX": ("float32", (3,)),
        "NAME": ("string", ()),
        "GOOD": ("bool", ()),
        "BITS": ("uint16", ()),
    }
    assert found["Z"].unit == "km s-1"
    z = found["Z"].statistics
    assert z is not None
    assert (z.count, z.nan, z.infinite, z.min, z.max) == (5, 1, 1, 1.0, 4.0)
    assert z.mean == pytest.approx(7 / 3)
    assert z.std == pytest.approx(np.std([1, 2, 4]))
    bits = found["BITS"].statistics
    assert bits is not None
    assert (bits.min, bits.max) == (60_000, 60_004)
    table = outputs["z.fits"].parts[1]
    assert (table.form, table.rows) == ("table", 5)
    assert table.attributes == {"EXTNAME": "ZCAT", "SURVEY": "main"}


def test_a_scaled_fits_image_is_unsigned(outputs: dict[str, Output]) -> None:
    pixels = columns(outputs["z.fits"], "IMG")["pixels"]
    assert (pixels.dtype, pixels.shape) == ("uint16", (3, 4))
    assert pixels.statistics is not None
    assert pixels.statistics.mean == 5.5


def test_a_gzipped_fits_file_is_described_as_the_plain_one(outputs: dict[str, Output]) -> None:
    assert outputs["z.fits.gz"].parts == outputs["z.fits"].parts


def test_an_hdf5_tree_has_groups_records_units_and_follows_no_link(
    outputs: dict[str, Output],
) -> None:
    tree = outputs["tree.h5"]
    assert [(each.name, each.form) for each in tree.parts] == [
        ("/", "group"),
        ("/spectra", "group"),
        ("/records", "table"),
    ]
    assert tree.parts[0].attributes == {
        "versions": "[1, 2]",
        "outside ->": "link to / in /etc/passwd",
        "soft ->": "soft link to /spectra/flux",
    }
    flux = columns(tree, "/spectra")["flux"]
    assert (flux.dtype, flux.unit, flux.shape) == ("float64", "Jy", (2, 3))
    assert list(columns(tree, "/")) == ["opaque", "title"]
    assert columns(tree, "/")["opaque"].dtype == "object"


def test_a_netcdf_file_has_its_dimensions_and_missing_values(outputs: dict[str, Output]) -> None:
    (name,) = columns(outputs["climate.nc"], "/")
    temperature = columns(outputs["climate.nc"], "/")[name]
    assert (name, temperature.unit, temperature.dimensions) == ("temp", "K", ("time", "x"))
    assert temperature.statistics is not None
    assert (temperature.statistics.missing, temperature.statistics.min) == (1, 1.0)


def test_parquet_keeps_large_integers_with_nulls_exact(outputs: dict[str, Output]) -> None:
    found = columns(outputs["t.parquet"])
    kinds = {name: each.dtype for name, each in found.items()}
    assert kinds == {
        "id": "int64",
        "f": "float64",
        "s": "string",
        "t": "datetime",
        "v": "float32",
        "list": "list of int64",
        "list (nulls)": "string",
        "word": "string",
    }
    assert found["id"].statistics is not None
    assert (found["id"].statistics.missing, found["id"].statistics.max) == (1, 2**60 + 1)
    assert found["v"].statistics == Statistics(
        count=6, missing=2, min=1.0, max=4.0, mean=2.5, std=pytest.approx(np.std([1, 2, 3, 4]))
    )
    assert found["t"].statistics is not None
    assert found["t"].statistics.max == 2.0


def test_a_csv_column_of_numbers_is_of_one_type_whole_or_not(outputs: dict[str, Output]) -> None:
    found = columns(outputs["c.csv"])
    assert {name: each.dtype for name, each in found.items()} == {
        "id": "float64",
        "z": "float64",
        "name": "string",
        "day": "datetime",
    }
    assert found["z"].statistics == Statistics(
        count=2, missing=1, min=1.5, max=1.5, mean=1.5, std=0.0
    )


def test_ecsv_says_its_types_units_and_vectors_itself(outputs: dict[str, Output]) -> None:
    flux = columns(outputs["e.ecsv"])["FLUX"]
    assert (flux.dtype, flux.shape) == ("float32", (3,))
    assert flux.statistics is not None
    assert flux.statistics.count == 15


def test_ecsv_with_objects_of_astropy_in_its_header_is_read(tmp_path: Path) -> None:
    Table({"when": Time([1, 2], format="mjd")}, meta={"SURVEY": "main"}).write(tmp_path / "t.ecsv")
    found = describe(tmp_path, "t.ecsv")
    assert (found.error, list(columns(found)), found.parts[0].attributes) == (
        None,
        ["when"],
        {"SURVEY": "main", "serialized columns": found.parts[0].attributes["serialized columns"]},
    )


def test_images_have_size_and_mode(outputs: dict[str, Output]) -> None:
    assert outputs["plot.png"].parts[0].attributes == {"width": 6, "height": 4, "mode": "RGB"}
    assert outputs["plot.jpg"].parts[0].attributes == {"width": 6, "height": 4, "mode": "L"}


def test_the_leaves_of_a_json_document_are_columns(outputs: dict[str, Output]) -> None:
    found = columns(outputs["qa.json"])
    assert {name: (each.dtype, each.shape) for name, each in found.items()} == {
        "fit.chi2": ("float64", (1,)),
        "fit.v": ("float64", (2,)),
        "ok": ("bool", (1,)),
    }


DAMAGED = {
    "z.fits": ("cut short", 6000),
    "tree.h5": ("truncated file", 1000),
    "climate.nc": ("truncated file", 1000),
    "t.parquet": ("Parquet", 500),
    "plot.png": ("", 50),
    "plot.jpg": ("", 100),
    "qa.json": ("it is not JSON", 10),
    "e.ecsv": ("", 60),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_recorded_with_its_error(name: str, tmp_path: Path) -> None:
    said, size = DAMAGED[name]
    write_every_kind(tmp_path / "out")
    file = tmp_path / "out" / name
    file.write_bytes(file.read_bytes()[:size])
    found = describe(tmp_path, f"out/{name}")
    assert found.error
    assert said in found.error
    assert (found.bytes, len(found.sha256 or "")) == (size, 64)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["z.fits", "tree.h5", "climate.nc", "t.parquet", "e.ecsv"])
def test_no_flipped_byte_crashes_the_description(name: str, seed: int, tmp_path: Path) -> None:
    write_every_kind(tmp_path / "out")
    file = tmp_path / "out" / name
    data = bytearray(file.read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(data), 20):
        data[place] ^= int(random.integers(1, 256))
    file.write_bytes(data)
    validated(manifest(describe(tmp_path, f"out/{name}")))


def test_a_csv_with_a_short_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("a,b\n1,2\n1\n")
    assert describe(tmp_path, "b.csv").error == "line 3 has 1 fields instead of 2"


def test_odd_files_are_recorded_and_none_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/real.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty.fits").touch()
    (tmp_path / "link.bin").symlink_to("sub/real.bin")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "folder").symlink_to("sub")
    os.mkfifo(tmp_path / "pipe")
    found = describe_outputs(tmp_path, ["*"])
    assert [(each.path, each.kind, each.error or each.notes) for each in found] == [
        ("empty.fits", "empty", ()),
        ("folder", "special", "a link to a folder, sub: not followed"),
        ("gone", "unreadable", "a link to nowhere: No such file or directory"),
        ("link.bin", "binary", ("a link to sub/real.bin",)),
        ("loop", "unreadable", "a link to loop: Too many levels of symbolic links"),
        ("pipe", "special", "neither a file nor a folder"),
        ("sub/real.bin", "binary", ()),
    ]


def test_a_pattern_takes_out_again(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("x")
    assert [each.path for each in describe_outputs(tmp_path, ["*.txt", "!b.txt"])] == ["a.txt"]


def test_columns_of_a_fits_table_are_read_in_any_order(tmp_path: Path) -> None:
    write_fits(tmp_path / "z.fits")
    with opened(tmp_path / "z.fits") as product:
        taken = product.take(product.parts[1], ["NAME", "BITS"], np.array([4, 0]))
    assert taken is not None
    assert taken["NAME"].data.tolist() == [b"ee", b"a"]
    assert taken["BITS"].data.tolist() == [60_004, 60_000]


def test_fits_nulls_scales_and_lists_are_told(tmp_path: Path) -> None:
    lists = np.array([np.array([1, 2]), np.array([3])], dtype=object)
    columns_ = [
        fits.Column("V", "PJ()", array=lists),
        fits.Column("I", "J", null=-9, array=[1, -9]),
        fits.Column("S", "E", bscale=2, bzero=1, array=[1.0, 3.0]),
    ]
    fits.BinTableHDU.from_columns(columns_, name="T").writeto(tmp_path / "t.fits")
    found = columns(describe(tmp_path, "t.fits"), "T")
    assert [each.dtype for each in found.values()] == ["list of int32", "int32", "float64"]
    assert found["I"].statistics is not None
    assert (found["I"].statistics.missing, found["I"].statistics.max) == (1, 1)
    assert found["S"].statistics is not None
    assert found["S"].statistics.mean == 2.0


@pytest.mark.parametrize(
    ("library", "name", "package"),
    [
        ("astropy", "z.fits", "astropy"),
        ("h5py", "tree.h5", "h5py"),
        ("pyarrow", "t.parquet", "pyarrow"),
        ("PIL", "plot.png", "pillow"),
        ("numpy", "c.csv", "numpy"),
    ],
)
def test_a_missing_library_is_a_note_that_names_the_extra(
    library: str, name: str, package: str, tmp_path: Path
) -> None:
    write_every_kind(tmp_path / "out")
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from pathlib import Path\n"
        "from nbpipe.reference.products import describe_outputs\n"
        f"(found,) = describe_outputs(Path({str(tmp_path)!r}), ['/out/{name}'])\n"
        "print(found.kind, len(found.sha256), found.parts, found.error, *found.notes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    kind = {"z.fits": "fits", "tree.h5": "hdf5", "t.parquet": "parquet", "plot.png": "png"}
    assert done.stdout.strip() == (
        f"{kind.get(name, 'csv')} 64 () None not described: {package} is not installed: "
        "pip install 'nbpipe-collections[reference]'"
    ), done.stderr
