"""Two runs with real files are compared: the verdict on each, how it was reached, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from browser import EVERYWHERE, look, sound
from comparing import TODAY, catalogue, compared, only, rules, run, survey, survey_comparison
from jsonschema import Draft202012Validator
from products import TABLE, write_every_kind, write_fits, write_hdf5, write_netcdf, write_parquet

from nbpipe.comparison_reports.html import html
from nbpipe.distribution import pip_install
from nbpipe.reference.comparison import Verdict, compare, encode, schema

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "old", tmp_path / "new"
    for each in made:
        each.mkdir()
    return made


def shuffled(table: dict[str, Any]) -> dict[str, Any]:
    order = np.random.default_rng(5).permutation(len(table["TARGETID"]))
    return {name: data[order] for name, data in table.items()}


def test_every_verdict_is_reached_in_one_survey(tmp_path: Path) -> None:
    found = survey_comparison(tmp_path)
    assert {each.path: each.verdict.value for each in found.files} == {
        "bias.csv": "expected failure",
        "fit.json": "within tolerance",
        "gone.log": "missing",
        "plot <img src=x onerror=alert(1)> | `x`.txt": "new",
        "qa/new name.txt": "renamed",
        "qa/summary.csv": "unexpected pass",
        "spectra.h5": "same",
        "targets.parquet": "same",
        "tiles.fits": "schema changed",
        "zcat.fits": "different",
    }
    assert (found.verdict, found.exit_code) == (Verdict.DIFFERENT, 1)
    assert [each.name for each in found.packages] == ["new|`package`", "numpy"]
    assert [each.label for each in found.trend] == ["0.9", "1.0", "v1.1"]
    Draft202012Validator(schema()).validate(json.loads(encode(found)))


def test_the_same_bytes_are_the_same_without_being_opened(tmp_path: Path) -> None:
    write_every_kind(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    found = compared(tmp_path / "old", tmp_path / "new")
    assert {(each.verdict, each.level) for each in found.files} == {(Verdict.SAME, "content")}
    assert found.exit_code == 0


def test_the_same_data_in_other_bytes_are_the_same(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write_fits(old / "z.fits", DATE="2026-01-01")
    write_fits(new / "z.fits", DATE="2026-01-02")
    found = only(compared(old, new))
    assert (found.verdict, found.level, found.compared_columns) == (Verdict.SAME, "data", 7)


def test_rows_in_another_order_are_joined_by_their_key(folders: tuple[Path, Path]) -> None:
    old, new = folders
    table = catalogue()
    moved = {**table, "Z": table["Z"].copy()}
    moved["Z"][7] += 1.0
    write_fits(old / "z.fits", table)
    write_fits(new / "z.fits", shuffled(moved))
    found = only(compared(old, new, {"keys": ["TARGETID"]}))
    (column,) = found.columns
    assert (column.column, column.beyond, column.compared) == ("Z", 1, 1000)
    assert column.worst[0].row == f"TARGETID={table['TARGETID'][7]}"
    assert found.rows[0].reordered
    without_keys = only(compared(old, new))
    assert len(without_keys.columns) == 5


def test_joined_rows_of_a_format_without_random_access(folders: tuple[Path, Path]) -> None:
    old, new = folders
    ids, z = np.arange(1000), np.linspace(0, 1, 1000)
    order = np.random.default_rng(3).permutation(1000)
    write_parquet_table(old / "z.parquet", {"TARGETID": ids, "Z": z, "Y": z})
    moved = np.where(ids == 500, z + 0.5, z)
    write_parquet_table(
        new / "z.parquet", {"TARGETID": ids[order], "Z": moved[order], "Y": z[order]}
    )
    found = only(compared(old, new, {"keys": ["TARGETID"]}))
    assert [(each.column, each.beyond, each.max) for each in found.columns] == [("Z", 1, 0.5)]
    assert found.columns[0].worst[0].row == "TARGETID=500"


def write_parquet_table(file: Path, table: dict[str, Any]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.table(table), file, row_group_size=300)


def test_rows_that_came_and_went_are_told_with_their_keys(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write_fits(old / "z.fits", {name: data[:4] for name, data in TABLE.items()})
    write_fits(new / "z.fits", {name: data[1:] for name, data in TABLE.items()})
    found = only(compared(old, new, {"keys": ["TARGETID"]}))
    assert found.verdict is Verdict.DIFFERENT
    (rows,) = found.rows
    assert (rows.only_reference, rows.only_new) == (1, 1)
    assert rows.examples == ("gone: TARGETID=0", "new: TARGETID=4")
    assert found.columns == ()


def test_datasets_of_an_hdf5_group_are_joined_by_a_key_among_them(
    folders: tuple[Path, Path],
) -> None:
    order = np.array([2, 0, 1])
    for folder, places in zip(folders, (np.arange(3), order), strict=True):
        with h5py.File(folder / "z.h5", "w") as tree:
            tree["zcat/id"] = np.arange(3)[places]
            tree["zcat/z"] = np.array([0.1, 0.2, 0.3])[places]
            tree["zcat/name"] = ["a", "b", "c"] if folder == folders[0] else ["c", "a", "b"]
            tree["wave"] = np.arange(10.0)
    found = only(compared(*folders, {"keys": ["id"]}))
    assert (found.verdict, found.level) == (Verdict.SAME, "data")
    assert only(compared(*folders)).verdict is Verdict.DIFFERENT


def test_a_tolerance_by_column_decides(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write_fits(old / "z.fits", catalogue())
    table = catalogue()
    write_fits(new / "z.fits", {**table, "Z": table["Z"] + 1e-6})
    assert compared(old, new).exit_code == 1
    settings = {"columns": [{"names": ["Z"], "absolute": 2e-6}]}
    found = compared(old, new, settings)
    assert (found.verdict, found.exit_code) == (Verdict.WITHIN, 0)
    assert only(compared(old, new, {"ignore-columns": ["Z"]})).verdict is Verdict.SAME


def test_keywords_units_and_attributes_are_compared(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write_fits(old / "z.fits", SURVEY="main")
    write_fits(new / "z.fits", SURVEY="sv3")
    found = only(compared(old, new))
    assert found.verdict is Verdict.DIFFERENT
    (change,) = found.keywords
    assert (change.keyword, change.reference, change.new) == ("SURVEY", "main", "sv3")
    settings = {"ignore-keywords": ["SURV*"]}
    assert only(compared(old, new, settings)).verdict is Verdict.SAME


def test_dimensions_and_shapes_are_part_of_the_schema(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write_hdf5(old / "t.h5")
    write_hdf5(new / "t.h5", [1.0, 2.0])
    found = only(compared(old, new))
    assert found.verdict is Verdict.SCHEMA_CHANGED
    assert [each.what for each in found.schema] == ["column flux: shape 2 x 3 became 2"]


def test_a_file_of_another_kind_is_a_schema_change(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write_netcdf(old / "data")
    write_parquet(new / "data")
    found = only(compared(old, new))
    assert [each.what for each in found.schema] == ["netcdf became parquet"]


def test_purged_references_are_compared_by_their_statistics(folders: tuple[Path, Path]) -> None:
    old, new = folders
    table = catalogue()
    write_fits(old / "z.fits", table)
    write_fits(new / "z.fits", shuffled({**table, "Z": table["Z"] + 1e-3}))
    record = run(old)
    shutil.rmtree(old)
    settings = {"keys": ["TARGETID"], "columns": [{"names": ["Z"], "absolute": 2e-3}]}
    found = only(compare(record, None, run(new), new, rules(settings), TODAY))
    assert (found.verdict, found.level) == (Verdict.WITHIN, "statistics")
    found = only(compare(record, old, run(new), new, rules(), TODAY))
    assert (found.verdict, found.columns[0].column) == (Verdict.DIFFERENT, "Z")
    assert {each.row for each in found.columns[0].worst} == {"min", "max", "mean"}


def test_a_damaged_new_file_is_different_and_a_damaged_reference_not_comparable(
    folders: tuple[Path, Path],
) -> None:
    old, new = folders
    write_fits(old / "z.fits")
    (new / "z.fits").write_bytes((old / "z.fits").read_bytes()[:6000])
    found = compared(old, new)
    assert (only(found).verdict, found.exit_code) == (Verdict.DIFFERENT, 1)
    assert "cut short" in only(found).reason
    found = compared(new, old)
    assert (only(found).verdict, found.exit_code) == (Verdict.NOT_COMPARABLE, 1)


def test_without_the_library_the_recorded_statistics_are_compared(
    folders: tuple[Path, Path],
) -> None:
    old, new = folders
    table = catalogue()
    write_fits(old / "z.fits", table)
    write_fits(new / "z.fits", {**table, "Z": table["Z"] + 1})
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from comparing import compare, run, rules, TODAY
old, new = Path({str(old)!r}), Path({str(new)!r})
records = run(old), run(new)
for name in [each for each in sys.modules if each.partition(".")[0] == "astropy"]:
    sys.modules[name] = None
sys.modules.pop("nbpipe.reference.products.fits")
(found,) = compare(records[0], old, records[1], new, rules(), TODAY).files
print(found.verdict, found.level, *found.notes, sep="; ")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(
        f"different; statistics; astropy is not installed: {pip_install('reference')}"
    ), done.stderr


def test_an_expectation_ends_with_its_day(folders: tuple[Path, Path]) -> None:
    old, new = folders
    (old / "a.csv").write_text("x,y\n1,1\n")
    (new / "a.csv").write_text("x,y\n2,1\n")
    expected = {"paths": ["a.csv"], "columns": ["x"], "until": TODAY, "reason": "bias"}
    settings = {"expected": [expected]}
    assert compared(old, new, settings).exit_code == 0
    late = compared(old, new, settings, today=date(2026, 2, 2))
    assert late.exit_code == 1
    assert late.notes == ("expected until 2026-02-01, which is over: bias (a.csv)",)


def test_an_expectation_of_a_column_does_not_cover_another(folders: tuple[Path, Path]) -> None:
    old, new = folders
    (old / "a.csv").write_text("x,y\n1,1\n")
    (new / "a.csv").write_text("x,y\n2,2\n")
    expected = {"paths": ["a.csv"], "columns": ["x"], "until": TODAY, "reason": "bias"}
    found = only(compared(old, new, {"expected": [expected]}))
    assert found.verdict is Verdict.DIFFERENT
    assert {each.column: each.verdict.value for each in found.columns} == {
        "x": "expected failure",
        "y": "different",
    }


def test_performance_on_another_system_is_not_comparable(tmp_path: Path) -> None:
    old, new = survey(tmp_path)
    shutil.rmtree(new)
    shutil.copytree(old, new)
    slow = replace(run(new), system="laptop", cells=(replace(run(new).cells[0], seconds=999.0),))
    settings = {"performance": [{"measure": "cell", "more": 0.1}]}
    found = compare(run(old), old, slow, new, rules(settings), TODAY)
    assert {each.verdict for each in found.performance} == {Verdict.NOT_COMPARABLE}
    assert found.exit_code == 0
    here = compare(run(old), old, replace(slow, system="virtual"), new, rules(settings), TODAY)
    assert here.exit_code == 1


@pytest.mark.parametrize("name", ["z.fits", "t.parquet", "tree.h5", "c.csv"])
def test_large_tables_are_compared_in_bounded_memory(name: str, tmp_path: Path) -> None:
    """400,000 rows x 12 columns of doubles are 38 MB a side; blocks take a small part of it."""
    rows = {"c.csv": 40_000}.get(name, 400_000)
    random = np.random.default_rng(1)
    table = {"ID": np.arange(rows)} | {f"C{n}": random.normal(size=rows) for n in range(11)}
    for folder, shift in (("old", 0.0), ("new", 1e-9)):
        (tmp_path / folder).mkdir()
        write_table(tmp_path / folder / name, {**table, "C3": table["C3"] + shift})
    found = measured(tmp_path)
    assert found["columns"] == ["C3"]
    # A file of text is four times as large as its numbers.
    budget = 12 * rows * 8 * (4 if name == "c.csv" else 1)
    assert found["peak"] < budget


def write_table(file: Path, table: dict[str, Any]) -> None:
    if file.suffix == ".fits":
        write_fits(file, table)
    elif file.suffix == ".parquet":
        write_parquet_table(file, table)
    elif file.suffix == ".h5":
        with h5py.File(file, "w") as tree:
            for name, data in table.items():
                tree[f"zcat/{name}"] = data
    else:
        lines = zip(*(data.tolist() for data in table.values()), strict=True)
        text = "\n".join([",".join(table), *(",".join(map(repr, line)) for line in lines)])
        file.write_text(f"{text}\n")


def measured(folder: Path) -> dict[str, Any]:
    """Compare in a process of its own; return the columns and the peak of allocated bytes."""
    code = f"""
import json, sys, tracemalloc
from pathlib import Path
sys.path.insert(0, "tests")
from comparing import compare, run, rules, TODAY
import nbpipe.reference.comparison.data, nbpipe.reference.comparison.differences
folder = Path({str(folder)!r})
tracemalloc.start()
found = compare(run(folder/"old"), folder/"old", run(folder/"new"), folder/"new", rules(), TODAY)
peak = tracemalloc.get_traced_memory()[1]
print(json.dumps({{"peak": peak, "columns": [each.column for each in found.files[0].columns]}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_page_is_sound_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(html(survey_comparison(tmp_path), tmp_path), encoding="utf-8")
    looks = [
        {"url": page.as_uri(), "scheme": scheme, "width": width} for scheme, width in EVERYWHERE
    ]
    for answer in look(looks):
        sound(answer)
        assert answer["requests"] == [page.as_uri()]
