"""Roots: where products outside of the collection are, and how patterns name them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe.batch.inventory import fresh, inventory, symbolic
from nbpipe.errors import UsageError
from nbpipe.reference.comparison.model import Verdict
from nbpipe.reference.comparison.outputs import Folders, compare_outputs
from nbpipe.reference.comparison.rules import default_rules
from nbpipe.reference.products import describe_outputs
from nbpipe.reference.roots import Root, lacking, make, named, placed, unmake
from nbpipe.reference.store import seal, unseal
from nbpipe.reference.words import filled

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = {"run": "r7", "release": "1.0", "name": "mini"}
ENVIRON = {"SCRATCH": "/scratch/me", "HOME": "/home/me"}


def roots(**texts: str) -> tuple[Root, ...]:
    return named(texts, environ=ENVIRON, words=WORDS)


@pytest.mark.parametrize(
    ("text", "path", "own"),
    [
        ("$SCRATCH/minitest", "/scratch/me/minitest/r7", True),
        ("${SCRATCH}/minitest/", "/scratch/me/minitest/r7", True),
        ("/data/{name}/{run}/out", "/data/mini/r7/out", True),
        ("/data/{release}", "/data/1.0", False),
        ("/data/{name}", "/data/mini", False),
    ],
)
def test_a_run_has_a_folder_of_its_own_unless_the_path_says_where(
    text: str,
    path: str,
    own: bool,  # noqa: FBT001  (a parameter of the test)
) -> None:
    assert roots(scratch=text) == (Root("scratch", Path(path), own),)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"s": "$WORK/x"}, "the variable WORK is not set"),
        ({"s": "relative/x"}, "is not an absolute path"),
        ({"s": "/data/../etc"}, "is not an absolute path"),
        ({"s": "/data/{user}"}, r"'\{user\}' stands for nothing"),
        ({"s": "/data/$(id)"}, r"'\$' stands for nothing"),
        ({"s": "/data/a\nb"}, "control characters"),
        ({"../s": "/data"}, "cannot be a name"),
        ({".s": "/data"}, "cannot be a name"),
        ({"a-b": "/data", "a.b": "/data"}, "have one variable: NBPIPE_ROOT_A_B"),
    ],
)
def test_a_root_that_cannot_be_is_refused(texts: Mapping[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        named(texts, environ=ENVIRON, words=WORDS)


def test_nothing_but_variables_and_the_runs_words_is_replaced() -> None:
    given = {"environ": {"A": "{run} $B"}, "words": {"run": "r7"}}
    assert filled("$A/${A}/{run}", "x", **given) == "{run} $B/{run} $B/r7"


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("qa/*.csv", "qa/*.csv"),
        ("/qa/*.csv", "/qa/*.csv"),
        ("scratch/**", "scratch/**"),
        ("scratch:*.fits", "/scratch/**/*.fits"),
        ("scratch:sub/*.fits", "/scratch/sub/*.fits"),
        ("!scratch:/logs/", "!/scratch/logs/"),
        ("scratch:**", "/scratch/**/**"),
        (r"odd\:name", r"odd\:name"),
    ],
)
def test_patterns_name_a_root_by_its_name(tmp_path: Path, pattern: str, made: str) -> None:
    known = roots(scratch="$SCRATCH")
    assert placed([pattern], known, tmp_path, ENVIRON) == ((made,), known)


def test_absolute_patterns_are_of_roots_called_outside(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    (data / "sub").mkdir(parents=True)
    other.mkdir()
    given = [f"{data}/**/*.fits", f"{data}/sub", f"!{data}/bad/**", "$OTHER/a.csv"]
    made, known = placed(given, (), tmp_path / "c", {"OTHER": str(other)})
    assert made == (
        *("/outside/**/*.fits", "/outside/sub/", "!/outside/bad/**", "/outside2/a.csv"),
    )
    assert known == (Root("outside", data, own=False), Root("outside2", other, own=False))


def test_what_the_collection_has_is_not_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert placed(["/etc/x/**"], (), tmp_path, {}) == (("/etc/x/**",), ())
    (_, known) = placed(["/etc/x/**"], (), tmp_path / "other", {})
    assert known == (Root("outside", Path("/etc/x"), own=False),)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("scrtch:*.fits", "no root is called 'scrtch'"),
        ("$WORK/**", "the variable WORK is not set"),
        ("!/etc/none/**", "no other pattern chooses anything"),
        ("/etc/../usr/**", "not an absolute path"),
        ("$ROOT/*/x", "all of the machine"),
    ],
)
def test_a_pattern_that_leads_nowhere_is_refused(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        placed([pattern], roots(scratch="$SCRATCH"), tmp_path, {"ROOT": "/"})


def test_a_root_appears_in_the_copy_and_is_inventoried_by_its_name(tmp_path: Path) -> None:
    work, store = tmp_path / "store/mini/runs/r7/work", tmp_path / "store"
    work.mkdir(parents=True)
    (work / "a.txt").touch()
    own = Root("scratch", tmp_path / "x/r7", own=True)
    made = make([own, Root("all", tmp_path, own=False)], work)
    assert made == [tmp_path / "x/r7", tmp_path / "x"]
    (own.path / "b.txt").touch()
    (own.path / "folder").symlink_to(work)
    names = inventory(work, ["scratch", "all"], store=store).keys()
    assert names == {
        *("a.txt", "scratch/b.txt", "scratch/folder"),
        *("all/x/r7/b.txt", "all/x/r7/folder"),
    }
    (own.path / "b.txt").write_text("more")
    before = {"a.txt": [0, (work / "a.txt").stat().st_mtime_ns], "scratch/b.txt": [0, 0]}
    assert fresh(before, inventory(work, ["scratch", "all"], store=tmp_path)) >= {
        "scratch/b.txt",
        "scratch/folder",
    }


def test_links_are_told_by_the_names_of_roots(tmp_path: Path) -> None:
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    work.mkdir()
    (root,) = named({"s": str(scratch)}, environ={}, words=WORDS)
    make([root], work)
    places = {"s": str(root.path)}
    targets = {"in": root.path / "x", "up": "../../work/y", "near": "z", "out": "/srv/other/hosts"}
    for name, target in targets.items():
        (root.path / name).symlink_to(target)
    (root.path / "plain").touch()
    told = {name: symbolic(work, places, f"s/{name}") for name in (*targets, "plain")}
    assert told == {"in": "s/x", "up": "y", "near": "s/z", "out": "/srv/other/hosts", "plain": None}


def test_a_root_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    work, blocked = tmp_path / "work", tmp_path / "file"
    work.mkdir()
    blocked.touch()
    first = Root("first", tmp_path / "a/b", own=True)
    with pytest.raises(UsageError, match=f"root second: {blocked}/x: Not a directory"):
        make([first, Root("second", blocked / "x", own=True)], work)
    assert not (tmp_path / "a").exists()
    (work / "taken").touch()
    with pytest.raises(UsageError, match="the collection has a file or folder of that name"):
        make([Root("taken", tmp_path / "c", own=True)], work)


def test_a_folder_that_is_in_use_is_not_unmade(tmp_path: Path) -> None:
    made = make([Root("a", tmp_path / "x/y", own=True)], tmp_path)
    (tmp_path / "x/kept").touch()
    unmake(made)
    assert [each.name for each in (tmp_path / "x").iterdir()] == ["kept"]


def test_a_root_that_vanished_is_named(tmp_path: Path) -> None:
    gone = {"scratch": str(tmp_path / "gone")}
    assert lacking({"here": str(tmp_path)}) is None
    assert lacking(gone) == f"root scratch: {tmp_path}/gone: folder not found on this host"


def test_a_file_that_a_later_run_wrote_in_its_place_is_not_an_earlier_ones(tmp_path: Path) -> None:
    """In a folder that runs share both manifests name one file, and it is of the same size."""
    file = tmp_path / "zcat.csv"
    outputs = []
    for hour, value in enumerate("12"):
        file.write_text(f"id,z\n1,{value}\n")
        os.utime(file, (hour * 3600, hour * 3600))
        outputs.append(describe_outputs(tmp_path, ["*.csv"]))
    folders = Folders(tmp_path, tmp_path)
    (found,) = compare_outputs(outputs[0], outputs[1], folders, default_rules())
    assert found.verdict is Verdict.DIFFERENT
    assert found.level == "statistics"
    assert "gone or have changed" in " ".join(found.notes)


def test_a_file_that_was_restored_is_known_by_its_content(tmp_path: Path) -> None:
    folders = []
    for value, name in enumerate(("old", "new")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "zcat.csv").write_text(f"id,z\n1,{value}\n")
        folders.append(folder)
    outputs = [describe_outputs(folder, ["*.csv"]) for folder in folders]
    os.utime(folders[0] / "zcat.csv", (0, 0))
    (found,) = compare_outputs(*outputs, Folders(*folders), default_rules())
    assert (found.verdict, found.level) == (Verdict.DIFFERENT, "data")


def test_sealing_a_folder_leaves_what_links_in_it_lead_to(tmp_path: Path) -> None:
    sealed, outside = tmp_path / "sealed", tmp_path / "outside"
    (sealed / "inner").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").touch()
    (sealed / "folder").symlink_to(outside)
    (sealed / "file").symlink_to(outside / "file")
    before = [each.stat().st_mode for each in (outside, outside / "file")]
    seal(sealed)
    assert [each.stat().st_mode for each in (outside, outside / "file")] == before
    assert (sealed / "inner").stat().st_mode & 0o777 == 0o555
    unseal(sealed)
