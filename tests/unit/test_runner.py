"""The output directory, and how much of the machine a run may use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from nbpipe import runner
from nbpipe.errors import UsageError
from nbpipe.model import Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARK = ".nbpipe-run.json"


def task(file: Path, path: str) -> Task:
    return Task(path=path, file=file, why=path, kernel="python3")


def test_a_run_id_sorts_by_time_and_is_not_given_twice() -> None:
    first = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    later = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert runner.new_run_id(first).startswith("20260102T030405-")
    assert runner.new_run_id(first) < runner.new_run_id(later)
    assert len({runner.new_run_id(first) for _ in range(50)}) == 50


def test_a_new_output_directory_is_made_and_marked(tmp_path: Path) -> None:
    made = runner.output_dir(tmp_path / "a/b", "run-1", ())
    assert made == tmp_path / "a/b"
    assert json.loads((made / MARK).read_text(encoding="utf-8")) == {"run": "run-1"}


def test_an_earlier_runs_directory_is_used_again(tmp_path: Path) -> None:
    runner.output_dir(tmp_path / "out", "run-1", ())
    (tmp_path / "out/n.ipynb").write_text("{}", encoding="utf-8")
    runner.output_dir(tmp_path / "out", "run-2", ())
    assert json.loads((tmp_path / "out" / MARK).read_text(encoding="utf-8")) == {"run": "run-2"}
    assert (tmp_path / "out/n.ipynb").exists()


def test_a_folder_of_somebody_elses_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not empty, and no run of nbpipe made it"):
        runner.output_dir(tmp_path, "run-1", ())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_output_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written: File exists"):
        runner.output_dir(tmp_path / "file", "run-1", ())
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        runner.output_dir(tmp_path / "file/below", "run-1", ())


def test_a_copy_never_goes_where_its_source_is(tmp_path: Path) -> None:
    folder = runner.output_dir(tmp_path / "out", "run-1", ())
    source = folder / "sub/n.ipynb"
    source.parent.mkdir()
    source.write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"sub/n\.ipynb would overwrite its source"):
        runner.output_dir(folder, "run-2", (task(source, "sub/n.ipynb"),))


def test_old_runs_are_forgotten_and_what_is_no_run_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runs = tmp_path / "nbpipe/runs"
    for number in range(25):
        (runs / f"20250101T0000{number:02}-aaaaaa").mkdir(parents=True)
        (runs / f"20250101T0000{number:02}-aaaaaa" / MARK).write_text("{}", encoding="utf-8")
    (runs / "20000101-mine").mkdir()
    made = runner.output_dir(None, "20260101T000000-bbbbbb", ())
    assert made == runs / "20260101T000000-bbbbbb"
    left = sorted(path.name for path in runs.iterdir())
    assert left[0] == "20000101-mine"
    assert left[1] == "20250101T000006-aaaaaa"
    assert len(left) == 1 + 20


def test_a_named_output_directory_makes_nothing_forgotten(tmp_path: Path) -> None:
    for number in range(25):
        runner.output_dir(tmp_path / str(number), str(number), ())
    assert len(list(tmp_path.iterdir())) == 25


def test_cores_are_those_that_this_process_may_use(need: Callable[[bool, str], None]) -> None:
    need(hasattr(os, "sched_setaffinity"), "sched_setaffinity")
    one = (
        "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])\n"
        "from nbpipe import runner; print(runner.cores())"
    )
    done = subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu.max": "what is this\n"}, None),
    ],
)
def test_the_quota_of_a_container_is_read_in_both_versions(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    assert runner._quota(tmp_path) == quota


def test_the_commit_of_a_repository_is_told_and_none_elsewhere(tmp_path: Path) -> None:
    assert runner.head_commit(tmp_path) is None
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    commit = runner.head_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
