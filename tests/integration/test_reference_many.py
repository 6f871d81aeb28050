"""Many products described at once, and what is said meanwhile."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from nbpipe.reference.products import parallel
from nbpipe.reference.products.description import describe, describe_all
from nbpipe.reference.products.parallel import Described, each_of
from nbpipe.reference.products.progress_bar import lines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from nbpipe.reference.manifest import Output


def many(folder: Path, count: int = 60) -> list[str]:
    for number in range(count):
        (folder / f"{number:03}.csv").write_text(f"a,b\n{number},2\n")
    return sorted(each.name for each in folder.iterdir())


def test_processes_find_what_one_finds_and_report_each_file(tmp_path: Path) -> None:
    paths = many(tmp_path)
    seen: list[Described] = []
    found = each_of(tmp_path, paths, partial(describe, tmp_path), seen.append, workers=2)
    assert tuple(found[path] for path in paths) == describe_all(tmp_path, paths)
    assert [each.files for each in seen] == [*range(1, len(paths) + 1)]
    total = sum((tmp_path / path).stat().st_size for path in paths)
    assert (seen[-1].bytes, seen[-1].all_bytes) == (total, total)


def dying(folder: Path, here: int, path: str) -> Output:
    if path == "030.csv" and os.getpid() != here:
        os._exit(1)  # as a library does that meets a damaged file
    return describe(folder, path)


def test_what_a_lost_process_leaves_is_described_all_the_same(tmp_path: Path) -> None:
    paths = many(tmp_path)
    task = partial(dying, tmp_path, os.getpid())
    found = each_of(tmp_path, paths, task, lambda _: None, workers=2)
    assert sorted(found) == paths
    assert all(each.sha256 for each in found.values())


def test_few_small_files_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_in_processes", None)
    assert len(describe_all(tmp_path, many(tmp_path, 3))) == 3


def test_plain_lines_come_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 11.0, 12.0, 13.0])
    tell = lines(lambda: next(clock))
    for files in (1, 2, 3, 4):
        tell(Described(files, 4, files * 10**9, 4 * 10**9))
    assert capsys.readouterr().err.splitlines() == [
        "described 2 of 4 products, 2.0 GB of 4.0 GB",
        "described 4 of 4 products, 4.0 GB of 4.0 GB",
    ]


def test_what_takes_no_time_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell = lines(lambda: 0.0)
    tell(Described(1, 1, 5, 5))
    assert capsys.readouterr().err == ""
