"""The rules of a comparison, and what follows from recorded values alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from comparing import rules
from manifests import PLAIN, manifest

from nbpipe.reference.comparison import Verdict, compare
from nbpipe.reference.comparison.model import Change, FileComparison, Tolerance
from nbpipe.reference.comparison.outputs import compare_statistics, renames
from nbpipe.reference.comparison.performance import compare_performance
from nbpipe.reference.comparison.rules import path_matches
from nbpipe.reference.comparison.whole import changes, overall
from nbpipe.reference.manifest import Column, Job, Output, Part, Statistics

DAY = date(2026, 2, 1)


def output(path: str, sha: str = "a", size: int = 1) -> Output:
    return Output(path=path, bytes=size, sha256=sha * 64, kind="binary")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("[[:alpha:]].csv", True), ("[z-a].csv", False), ("[!x].csv", True), ("out[!x]a.csv", False)],
)
def test_a_set_in_a_pattern_is_read_as_git_does(pattern: str, *, matches: bool) -> None:
    assert path_matches([pattern], "out/a.csv") is matches


def test_the_last_rule_that_matches_wins_and_columns_come_after_files() -> None:
    made = rules(
        {
            "absolute": 1.0,
            "relative": 0.1,
            "files": [{"paths": ["out/*.fits"], "absolute": 2.0, "allowed": 0.5}],
            "columns": [
                {"names": ["Z*"], "absolute": 3.0},
                {"names": ["ZCAT/ZERR"], "paths": ["*.fits"], "absolute": 4.0},
            ],
        }
    )
    assert made.tolerance("a.csv", "", "X") == Tolerance(absolute=1.0, relative=0.1)
    assert made.tolerance("out/a.fits", "ZCAT", "X").absolute == 2.0
    assert made.tolerance("out/a.fits", "ZCAT", "Z").absolute == 3.0
    assert made.tolerance("out/a.fits", "ZCAT", "ZERR") == Tolerance(
        absolute=4.0, relative=0.1, allowed=0.5
    )


def test_a_file_may_have_keys_of_its_own_or_none() -> None:
    made = rules({"keys": ["ID"], "files": [{"paths": ["x.csv"], "keys": []}]})
    assert (made.keys("y.csv"), made.keys("x.csv")) == (("ID",), ())


def test_renames_are_paired_by_content_each_once() -> None:
    before = {each.path: each for each in (output("a"), output("b"), output("c", "c"))}
    after = {each.path: each for each in (output("x"), output("c", "d"))}
    pairs = [(old.path, new.path) for old, new in renames(before, after)]
    assert pairs == [("a", "x")]


def test_empty_files_are_no_renames() -> None:
    assert renames({"a": output("a", size=0)}, {"b": output("b", size=0)}) == []


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], (Verdict.SAME, 0)),
        ([Verdict.SAME], (Verdict.SAME, 0)),
        ([Verdict.SAME, Verdict.WITHIN], (Verdict.WITHIN, 0)),
        ([Verdict.EXPECTED], (Verdict.WITHIN, 0)),
        ([Verdict.UNEXPECTED], (Verdict.DIFFERENT, 1)),
        ([Verdict.RENAMED], (Verdict.DIFFERENT, 1)),
        ([Verdict.NOT_COMPARABLE, Verdict.SAME], (Verdict.NOT_COMPARABLE, 1)),
        ([Verdict.NOT_COMPARABLE, Verdict.NEW], (Verdict.DIFFERENT, 1)),
    ],
)
def test_the_verdict_on_the_run_and_its_exit_code(
    verdicts: list[Verdict], expected: tuple[Verdict, int]
) -> None:
    files = [FileComparison(path=str(n), verdict=each) for n, each in enumerate(verdicts)]
    assert overall(files, ()) == expected


def test_an_ignored_file_is_not_even_missing() -> None:
    made = rules({"ignore": ["*.log"]})
    found = compare(manifest(output("a.log")), None, manifest(), None, made, DAY)
    assert (found.files, found.exit_code) == ((), 0)


def test_what_changed_around_the_run_is_told() -> None:
    assert changes({"a": 1, "b": "x"}, {"b": "y", "c": None}) == (
        Change(name="a", reference="1", new=None),
        Change(name="b", reference="x", new="y"),
        Change(name="c", reference=None, new="None"),
    )


def with_statistics(**figures: float) -> Output:
    numbers = Statistics(**{"count": 10, **figures})  # type: ignore[arg-type]
    column = Column(name="Z", dtype="float64", statistics=numbers)
    part = Part(name="", form="table", rows=10, columns=(column,))
    return replace(output("z"), parts=(part,))


@pytest.mark.parametrize(
    ("old", "new", "settings", "verdict"),
    [
        ({"mean": 1.0}, {"mean": 1.0}, {}, Verdict.SAME),
        ({"mean": 1.0}, {"mean": 1.0 + 1e-14}, {}, Verdict.WITHIN),
        ({"mean": 1.0}, {"mean": 1.1}, {}, Verdict.DIFFERENT),
        ({"mean": 1.0}, {"mean": 1.1}, {"absolute": 0.2}, Verdict.WITHIN),
        ({"std": 1.0}, {"std": 1.3}, {"absolute": 0.2}, Verdict.WITHIN),
        ({"max": 1.0}, {"max": 9.0}, {"allowed": 0.1}, Verdict.WITHIN),
        ({"nan": 0}, {"nan": 1}, {}, Verdict.DIFFERENT),
        ({"nan": 0}, {"nan": 1}, {"allowed": 0.1}, Verdict.WITHIN),
        ({"count": 10}, {"count": 11}, {"allowed": 1.0}, Verdict.DIFFERENT),
        ({"min": 1.0}, {}, {"absolute": 9.0}, Verdict.DIFFERENT),
    ],
)
def test_statistics_are_judged_by_the_tolerance(
    old: dict[str, float], new: dict[str, float], settings: dict[str, float], verdict: Verdict
) -> None:
    sides = with_statistics(**old), with_statistics(**new)
    (found,) = compare_statistics(*sides, rules(settings))
    assert found.verdict is verdict


def measures(new: Job, **bound: object) -> dict[str, tuple[float | None, Verdict]]:
    old = replace(PLAIN, cells=(), jobs=(Job(id="1", wall_seconds=100.0, queue_seconds=1.0),))
    made = rules({"performance": [{"measure": "wall", **bound}]})
    found = compare_performance(old, replace(old, jobs=(new,)), made)
    return {each.name: (each.ratio, each.verdict) for each in found}


@pytest.mark.parametrize(
    ("seconds", "bound", "verdict"),
    [
        (110.0, {"more": 0.2}, Verdict.WITHIN),
        (121.0, {"more": 0.2}, Verdict.DIFFERENT),
        (79.0, {"more": 0.2}, Verdict.WITHIN),
        (79.0, {"less": 0.2}, Verdict.DIFFERENT),
        (121.0, {"more": 0.2, "system": "other*"}, Verdict.WITHIN),
        (121.0, {"more": 0.2, "floor": 30.0}, Verdict.WITHIN),
    ],
)
def test_a_bound_on_the_wall_time(
    seconds: float, bound: dict[str, object], verdict: Verdict
) -> None:
    assert measures(Job(id="1", wall_seconds=seconds), **bound)["wall"] == (seconds / 100, verdict)


def test_the_queue_is_told_and_never_judged() -> None:
    found = measures(Job(id="1", wall_seconds=100.0, queue_seconds=9e9), more=0.0)
    assert found["queue"] == (9e9, Verdict.WITHIN)


def test_core_hours_are_of_the_children_too_and_wall_of_the_run() -> None:
    found = {each.name: each.new for each in compare_performance(PLAIN, PLAIN, rules())}
    assert (found["core-hours"], found["wall"], found["memory"]) == (0.75, 100.0, 10**9)
