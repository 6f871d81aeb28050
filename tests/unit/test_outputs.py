"""The output directory: marked, never somebody else's, and kept while it is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nbpipe import outputs
from nbpipe.errors import UsageError
from nbpipe.model import Task

if TYPE_CHECKING:
    from pathlib import Path

MARK = ".nbpipe-run.json"


def task(file: Path, path: str) -> Task:
    return Task(path=path, file=file, why=path, kernel="python3")


def past_run(runs: Path, number: int) -> Path:
    """Make the folder of a run that ended so many seconds after another one."""
    folder = runs / f"20250101T0000{number:02}-aaaaaa"
    folder.mkdir(parents=True)
    (folder / MARK).write_text("{}", encoding="utf-8")
    os.utime(folder / MARK, (1.7e9 + number, 1.7e9 + number))
    return folder


def test_a_new_output_directory_is_made_and_marked(tmp_path: Path) -> None:
    made = outputs.make_folder(tmp_path / "a/b", "run-1", ())
    assert made == tmp_path / "a/b"
    assert json.loads((made / MARK).read_text(encoding="utf-8")) == {"run": "run-1"}


def test_an_earlier_runs_directory_is_used_again(tmp_path: Path) -> None:
    outputs.make_folder(tmp_path / "out", "run-1", ())
    (tmp_path / "out/n.ipynb").write_text("{}", encoding="utf-8")
    outputs.make_folder(tmp_path / "out", "run-2", ())
    assert json.loads((tmp_path / "out" / MARK).read_text(encoding="utf-8")) == {"run": "run-2"}
    assert (tmp_path / "out/n.ipynb").exists()


def test_a_folder_of_somebody_elses_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not empty, and no run of nbpipe made it"):
        outputs.make_folder(tmp_path, "run-1", ())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_output_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written: File exists"):
        outputs.make_folder(tmp_path / "file", "run-1", ())
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        outputs.make_folder(tmp_path / "file/below", "run-1", ())


def test_a_copy_never_goes_where_its_source_is(tmp_path: Path) -> None:
    folder = outputs.make_folder(tmp_path / "out", "run-1", ())
    source = folder / "sub/n.ipynb"
    source.parent.mkdir()
    source.write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"sub/n\.ipynb would overwrite its source"):
        outputs.make_folder(folder, "run-2", (task(source, "sub/n.ipynb"),))


def test_old_runs_are_forgotten_and_what_is_no_run_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runs = tmp_path / "nbpipe/runs"
    for number in range(25):
        past_run(runs, number)
    (runs / "20000101-mine").mkdir()
    made = outputs.make_folder(None, "20260101T000000-bbbbbb", ())
    assert made == runs / "20260101T000000-bbbbbb"
    left = sorted(path.name for path in runs.iterdir())
    assert left[0] == "20000101-mine"
    assert left[1] == "20250101T000006-aaaaaa"
    assert len(left) == 1 + 20


def test_a_named_output_directory_makes_nothing_forgotten(tmp_path: Path) -> None:
    for number in range(25):
        outputs.make_folder(tmp_path / str(number), str(number), ())
    assert len(list(tmp_path.iterdir())) == 25


def test_the_folder_of_a_long_run_is_kept_while_its_process_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    hold = "from nbpipe import outputs; print(outputs.make_folder(None, 'long', ()), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{hold}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = tmp_path / "nbpipe/runs/long"
        assert process.stdout.readline() == f"{folder}\n"
        os.utime(folder / MARK, (0, 0))
        for number in range(20):
            past_run(folder.parent, number)
        outputs.make_folder(None, "next", ())
        assert folder.exists()
        assert not (folder.parent / "20250101T000000-aaaaaa").exists()
        process.communicate("\n")
    outputs.make_folder(None, "next but one", ())
    assert not folder.exists()


def test_a_run_is_as_new_as_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runs = tmp_path / "nbpipe/runs"
    long, *_ = [past_run(runs, number) for number in range(20)]
    outputs.note_use(long)
    outputs.make_folder(None, "next", ())
    assert long.exists()
    assert not (runs / "20250101T000001-aaaaaa").exists()


def test_two_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    folder = outputs.make_folder(tmp_path / "out", "run-1", ())
    with outputs.used(folder):
        with pytest.raises(UsageError, match=r"another run \(run-1\) writes into the output dir"):
            outputs.make_folder(tmp_path / "out", "run-2", ())
        with pytest.raises(UsageError, match=r"another run \(run-1\)"), outputs.used(folder):
            pytest.fail("used twice at once")
        assert json.loads((folder / MARK).read_text(encoding="utf-8")) == {"run": "run-1"}
    outputs.make_folder(tmp_path / "out", "run-3", ())
    with outputs.used(folder):
        pass


def test_a_run_that_was_killed_leaves_its_folder_free(tmp_path: Path) -> None:
    use = (
        "import sys; from pathlib import Path; from nbpipe import outputs\n"
        "with outputs.used(outputs.make_folder(Path(sys.argv[1]), 'killed', ())):\n"
        "    print('used', flush=True); sys.stdin.read()"
    )
    folder = tmp_path / "out"
    command = [sys.executable, "-c", use, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"used\n"
        with pytest.raises(UsageError, match="another run"):
            outputs.make_folder(folder, "next", ())
        process.kill()
        process.wait()
    outputs.make_folder(folder, "next", ())


def test_the_default_place_is_used_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with outputs.used(outputs.make_folder(None, "20260101T000000-cccccc", ())):
        pass
