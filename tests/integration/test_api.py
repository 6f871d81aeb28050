"""`nbpipe.test`, as a notebook or a script uses it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from running import until

import nbpipe
from nbpipe.cli.test import command
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection


@pytest.fixture
def inside(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Return the collection, which is the working directory."""
    monkeypatch.chdir(collection.root)
    return collection


def test_a_run_yields_every_result_and_shows_itself(inside: Collection, tmp_path: Path) -> None:
    inside.notebook("good.ipynb", "1")
    inside.notebook("bad <b>.ipynb", "1 / 0")
    inside.notebook("x_tested.ipynb", "1")
    run = nbpipe.test(output_dir=tmp_path / "copies")
    results = {result.path: result.outcome for result in run}
    assert results == {"good.ipynb": nbpipe.Outcome.PASSED, "bad <b>.ipynb": nbpipe.Outcome.FAILED}
    assert [result.path for result in run.passed] == ["good.ipynb"]
    assert [result.path for result in run.failed] == ["bad <b>.ipynb"]
    assert str(run.failed[0]).startswith("FAILED   bad <b>.ipynb")
    page = run._repr_html_()
    assert "bad &lt;b&gt;.ipynb" in page
    assert "x_tested.ipynb" in page
    assert "ZeroDivisionError" in run.failures()._repr_html_()
    assert "ZeroDivisionError" in repr(run.failures())
    assert list(run) == []
    assert (tmp_path / "copies/good.ipynb").exists()


def test_options_are_those_of_the_command_line(inside: Collection, tmp_path: Path) -> None:
    (inside.root / "pre.py").write_text("ready = 1\n", encoding="utf-8")
    inside.notebook("a.ipynb", ("n = 1", {"tags": ["parameters"]}), "assert (ready, n) == (1, 5)")
    inside.notebook("b.ipynb", "1 / 0")
    run = nbpipe.test(
        ["a.ipynb", "b.ipynb"],
        exclude="b*",
        prerun="pre.py",
        parameters={"n": 5},
        jobs=1,
        output_dir=tmp_path / "copies",
    ).wait()
    assert [str(result.outcome) for result in run.results] == ["passed"]
    assert [each.path for each in run.plan.excluded] == ["b.ipynb"]


def test_what_runs_is_chosen_as_on_the_command_line(
    inside: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    inside.notebook("fits.ipynb", "1 / 0")
    inside.notebook("slow.ipynb", "1")
    inside.notebook("table.ipynb", "1 / 0")

    def ran(**options: Any) -> list[str]:  # noqa: ANN401  (of `nbpipe.test`)
        run = nbpipe.test(jobs=1, output_dir=tmp_path / "copies", **options).wait()
        return [each.path for each in run.results if each.attempts]

    assert ran(k="fits or slow") == ["fits.ipynb", "slow.ipynb"]
    assert ran(lf=True) == ["fits.ipynb"]
    assert ran(shard=(2, 3)) == ["slow.ipynb"]
    first = ran(exitfirst=True, k="fits or table")
    assert len(first) == 1
    assert sorted([*first, *ran(resume=True)]) == ["fits.ipynb", "table.ipynb"]
    with pytest.raises(UsageError, match=r"shard=\(4, 3\): not \(I, N\)"):
        nbpipe.test(shard=(4, 3))


def test_it_takes_what_the_command_line_takes() -> None:
    """All but what is about a terminal, or has no use in a notebook."""
    names = {
        "keyword": "k",
        "last_failed": "lf",
        "failed_first": "ff",
        "reports": "report",
        "parameter": "parameters",
        "config_file": "config",
    }
    terminal = {"color", "debug", "durations", "list_only", "progress", "tracebacks", "verbose"}
    elsewhere = {"cluster", "parameters_file"}
    options = {names.get(each.name or "", each.name or "") for each in command.params}
    assert options - set(inspect.signature(nbpipe.test).parameters) <= terminal | elsewhere


def test_a_limit_may_have_units(inside: Collection, tmp_path: Path) -> None:
    inside.notebook("a.ipynb", "1")
    run = nbpipe.test(timeout="10m", notebook_timeout="1h30m", output_dir=tmp_path / "copies")
    limits = run.wait().plan.tasks[0].limits
    assert (limits.cell_seconds, limits.notebook_seconds) == (600.0, 5400.0)


def test_reports_are_written_and_one_that_cannot_be_is_refused_before_anything_runs(
    inside: Collection, tmp_path: Path
) -> None:
    inside.notebook("a.ipynb", "1 / 0")
    copies = tmp_path / "copies"
    reports = ["html", "json", f"junit={tmp_path / 'junit.xml'}", "markdown"]
    run = nbpipe.test(report=reports, output_dir=copies)
    assert run.reports == {}
    run.wait()
    assert run.reports == {
        "html": copies / "html",
        "json": copies / "report.json",
        "junit": tmp_path / "junit.xml",
        "markdown": copies / "report.md",
    }
    assert all(path.exists() for path in run.reports.values())
    with pytest.raises(UsageError, match="nosuch"):
        nbpipe.test(report="nosuch", output_dir=copies)


def test_a_run_can_be_stopped(inside: Collection, tmp_path: Path) -> None:
    inside.notebook(
        "long.ipynb", "import pathlib, time\npathlib.Path('runs').touch()\ntime.sleep(600)"
    )
    inside.notebook("next.ipynb", "1")
    run = nbpipe.test(jobs=1, output_dir=tmp_path / "copies")
    while not (inside.root / "runs").exists():
        assert not run.results
    run.stop()
    assert [result.reason for result in run.skipped] == [
        "the run was stopped",
        "not started: the run was stopped",
    ]


def test_wrong_use_raises_at_once(inside: Collection) -> None:
    with pytest.raises(nbpipe.UsageError, match="nosuch"):
        nbpipe.test("nosuch.ipynb")
    with pytest.raises(nbpipe.NothingCollected):
        nbpipe.test()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jobs": 0}, "jobs=0: expected int >= 1"),  # it would wait for ever
        ({"timeout": -1}, "timeout=-1: expected float > 0.0"),
        ({"timeout": "soon"}, "timeout='soon': expected float, got str"),
        ({"timeout": "300"}, "timeout='300': expected float, got str"),  # as in nbpipe.toml
        ({"missing_kernel": "no"}, "missing_kernel='no': invalid enum value 'no'"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_starts(
    inside: Collection, options: dict[str, Any], said: str
) -> None:
    inside.notebook("a.ipynb", "1")
    with pytest.raises(nbpipe.UsageError, match=said):
        nbpipe.test(**options)


def test_a_parameter_that_cannot_be_injected_is_refused_before_anything_runs(
    inside: Collection, tmp_path: Path
) -> None:
    inside.notebook("a.ipynb", "1")
    loop: dict[str, Any] = {}
    loop["alpha"] = loop
    for value, why in (({1, 2}, "type set"), ({1: 1, "b": 2}, "not text"), (loop, "holds itself")):
        with pytest.raises(UsageError, match=why):
            nbpipe.test(parameters={"alpha": value}, output_dir=tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_two_runs_into_one_folder_at_once_are_refused(inside: Collection, tmp_path: Path) -> None:
    inside.notebook("a.ipynb", "open('begun', 'w')\nimport time\ntime.sleep(600)")
    run = nbpipe.test(output_dir=tmp_path / "copies")
    until((inside.root / "begun").exists, "the first run executes")
    with pytest.raises(UsageError, match=r"another run \(.*\) writes into the output directory"):
        nbpipe.test(output_dir=tmp_path / "copies")
    run.stop()
    inside.notebook("a.ipynb", "1")
    assert nbpipe.test(output_dir=tmp_path / "copies").wait().passed
