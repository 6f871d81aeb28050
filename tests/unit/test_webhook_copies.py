"""Which executed copies may be shown, and what goes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ondisk import write_notebook
from pasts import START, past_run

from nbpipe.history import PastFailure, PastResult
from webhook.pages.copies import HEADERS, Copies, marked
from webhook.pages.rendered import Rendered

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.history import PastRun


def result(path: str = "a.ipynb", attempts: int = 1) -> PastResult:
    return PastResult(
        run="r1",
        started=START,
        path=path,
        outcome="passed",
        complete=True,
        reason=None,
        kernel="python3",
        seconds=1.0,
        attempts=attempts,
        failures=(),
    )


@pytest.fixture
def run(tmp_path: Path) -> PastRun:
    folder = tmp_path / "runs" / "r1"
    write_notebook(folder / "a.ipynb", "1")
    write_notebook(folder / "a.attempt-2.ipynb", "2")
    return replace(past_run("r1"), output_dir=str(folder))


def copies_of(tmp_path: Path, *folders: Path) -> Copies:
    return Copies(folders, Rendered(tmp_path / "pages"))


def test_where_no_pages_are_kept_no_copy_is_found(run: PastRun, tmp_path: Path) -> None:
    assert Copies([tmp_path / "runs"], None).find(run, result()) is None


def test_a_copy_below_a_named_folder_is_found(run: PastRun, tmp_path: Path) -> None:
    copies = copies_of(tmp_path, tmp_path / "runs")
    assert copies.find(run, result()) == tmp_path / "runs/r1/a.ipynb"
    assert copies.find(run, result(attempts=2)) == tmp_path / "runs/r1/a.attempt-2.ipynb"
    assert copies.find(run, result("gone.ipynb")) is None


def test_a_copy_elsewhere_is_not_read_whatever_the_history_says(
    run: PastRun, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    assert copies_of(tmp_path, tmp_path / "other").find(run, result()) is None
    assert copies_of(tmp_path).find(run, result()) is None


def test_a_link_that_leads_out_of_the_run_is_not_followed(run: PastRun, tmp_path: Path) -> None:
    secret = write_notebook(tmp_path / "runs" / "r2" / "secret.ipynb", "1")
    (tmp_path / "runs/r1/link.ipynb").symlink_to(secret)
    (tmp_path / "runs/linked").symlink_to(tmp_path / "elsewhere")
    write_notebook(tmp_path / "elsewhere" / "a.ipynb", "1")
    copies = copies_of(tmp_path, tmp_path / "runs")
    assert copies.find(run, result("link.ipynb")) is None
    assert copies.find(run, result("../r2/secret.ipynb")) is None
    moved = replace(run, output_dir=str(tmp_path / "runs/linked"))
    assert copies.find(moved, result()) is None


def test_an_odd_path_finds_nothing_and_breaks_nothing(run: PastRun, tmp_path: Path) -> None:
    copies = copies_of(tmp_path, tmp_path / "runs")
    for path in ("x\0y.ipynb", "/etc/passwd", ".", "a.ipynb/b.ipynb", "x" * 5_000):
        assert copies.find(run, result(path)) is None


def test_only_the_copy_of_a_failure_has_a_marked_cell() -> None:
    failure = PastFailure(
        category="exception",
        name="E",
        message="m",
        traceback="",
        signature="E: m",
        cell=0,
        cell_id=None,
    )
    told = replace(result(), failures=(failure,))
    assert [each.name for each in marked(replace(told, outcome="failed"))] == ["E"]
    assert marked(replace(told, outcome="flaky")) == []


def test_a_copy_has_no_origin_and_no_connection() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
