"""The benchmark of runners: what it builds, what it makes of its measures, what a meter sees."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from benchmarks.runner.results import OURS, Goal, Measure, Series, difference, table
from benchmarks.runner.workloads import WORKLOADS

METER = Path(__file__).parents[2] / "benchmarks/runner/meter.py"


def series(tool: str, *walls: float, cpu: float = 1.0) -> Series:
    return Series(tool, [Measure(wall, cpu, 2**20) for wall in walls])


def test_the_workloads_have_the_notebooks_of_their_titles(tmp_path: Path) -> None:
    counts = {}
    for name, workload in WORKLOADS.items():
        folder = tmp_path / name
        folder.mkdir()
        counts[name] = len(workload.build(folder))
        assert len(list(folder.glob("*.ipynb"))) == counts[name]
    assert counts == {"W1": 40, "W2": 12, "W3": 40, "W4": 1, "W5": 1}


def test_every_notebook_says_that_it_was_run_in_its_last_line(tmp_path: Path) -> None:
    WORKLOADS["W2"].build(tmp_path, scale=0.1)
    notebook = nbformat.read(tmp_path / "n00.ipynb", 4)
    nbformat.validate(notebook)
    *_, last = notebook.cells[-1].source.splitlines()
    assert last == (
        "import os; open(os.path.join(os.environ['NBPIPE_BENCHMARK_RAN'], 'n00'), 'x').close()"
    )


def test_the_long_notebook_bounds_what_two_workers_can_do() -> None:
    assert WORKLOADS["W3"].bound(2) == pytest.approx(21.7)  # (39 x 0.6 s + 20 s) / 2
    assert WORKLOADS["W3"].bound(8) == 20.0
    assert WORKLOADS["W1"].bound(2) is None


def test_a_run_that_did_not_do_the_work_has_no_part_in_the_median() -> None:
    runs = [Measure(1.0, 4.0, 10), Measure(0.1, 0.1, 10, problem="1 of 2"), Measure(3.0, 2.0, 30)]
    assert Series("a", runs).median == Measure(2.0, 3.0, 30)


def test_the_table_has_ratios_to_the_first_tool_and_the_reason_of_one_that_cannot() -> None:
    failed = Series("c", [Measure(9.0, 9.0, 0, problem="exit code 1: no")])
    assert table([series("a", 1.0, 2.0, 4.0), series("bb", 5.0, cpu=3.0), failed]) == (
        "| tool | wall s |   from-to | ratio | CPU s | ratio | peak MiB |\n"
        "| ---- | -----: | --------: | ----: | ----: | ----: | -------: |\n"
        "| a    |   2.00 | 1.00-4.00 |  1.00 |  1.00 |  1.00 |        1 |\n"
        "| bb   |   5.00 | 5.00-5.00 |  2.50 |  3.00 |  3.00 |        1 |\n"
        "| c    |      - |         - |     - |     - |     - |        - |\n"
        "\n"
        "- c: 1 of 1 runs do not count: exit code 1: no"
    )


def test_a_figure_is_compared_with_the_best_peer_that_uses_kernels() -> None:
    goal = Goal("W4", "wall", OURS, "the best peer with kernels", 1, at_least=False)
    measured = [
        series(OURS, 3.0),
        series("slow", 9.0),
        series("fast", 2.0),
        series("nbdev-test", 1),
    ]
    assert goal.verdict(measured, None) == (
        "MISSED: wall of nbpipe / the best peer with kernels = 1.50, at most 1 asked for"
    )
    assert goal.verdict(measured[:1], None) is None


def test_a_different_output_is_named_with_its_runs() -> None:
    same = {"n00": ["1"], "n01": ["2"]}
    assert difference({"fork": same, "spawn": dict(same)}) == ""
    assert difference({"fork": same, "spawn": same | {"n01": ["3"]}}) == "n01 (fork; spawn)"


@pytest.mark.skipif(sys.platform != "linux", reason="the meter reads /proc")
def test_the_meter_counts_what_a_detached_process_used_and_kills_what_is_left(
    tmp_path: Path,
) -> None:
    work = "import time\nwhile time.process_time() < 0.5: pass"
    detached = f"setsid {sys.executable} -c '{work}' & setsid sleep 1000 & exit 3"
    result = tmp_path / "result.json"
    subprocess.run(
        [sys.executable, "-I", METER, result, "60", "sh", "-c", detached], check=True, timeout=120
    )
    measured = json.loads(result.read_text(encoding="utf-8"))
    assert measured["cpu"] >= 0.5
    assert measured["code"] == 3
    assert measured["left"] == 1


def test_every_part_of_the_benchmark_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(METER.parent)
    assert importlib.import_module("compare").main
