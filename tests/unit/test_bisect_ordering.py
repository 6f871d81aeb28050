"""Changes that have to do with each other stand side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbpipe.bisecting.delta import Narrowed, narrow
from nbpipe.bisecting.locks import Lock, PackageChange, Pin, differences
from nbpipe.bisecting.order import Neighbours, neighbours
from nbpipe.bisecting.verdict import Verdict

MARKERS = {"sys_platform": "linux", "python_version": "3.11"}


def changes(**versions: str) -> tuple[PackageChange, ...]:
    """Return changes written as `a="1 -> 2"`; nothing before or after the arrow: not there."""
    locks = [
        Lock(
            Path("lock.txt"),
            {name: Pin(name, each, f"{name}=={each}") for name, each in side.items() if each},
        )
        for side in (
            {name: text.split("->")[number].strip() for name, text in versions.items()}
            for number in (0, 1)
        )
    ]
    return differences(*locks)


def ties(found: Neighbours) -> set[tuple[str, ...]]:
    return {tuple(sorted((name, each))) for name, many in found.tied.items() for each in many}


def test_what_does_not_fit_the_other_version_is_tied() -> None:
    made = changes(alpha="1 -> 2", beta="1 -> 2", gamma="1 -> 2")
    bad = {"alpha": ["beta>=2", "gamma>=1"], "gamma": ["elsewhere>=9"]}
    found = neighbours(made, {}, bad, MARKERS)
    assert ties(found) == {("alpha", "beta")}
    assert found.related["alpha"] == {"beta", "gamma"}
    good = {"gamma": ["beta<2"]}
    assert ties(neighbours(made, good, {}, MARKERS)) == {("beta", "gamma")}


def test_what_came_or_went_is_tied_to_what_requires_it() -> None:
    made = changes(alpha="1 -> 2", new="-> 1", old="1 ->")
    found = neighbours(made, {"alpha": ["old"]}, {"alpha": ["New"]}, MARKERS)
    assert ties(found) == {("alpha", "new"), ("alpha", "old")}


@pytest.mark.parametrize(
    "text",
    [
        "beta>=2; sys_platform == 'win32'",
        "beta>=2; extra == 'more'",
        "beta>=2; extra in nonsense",
        "beta is wanted",
    ],
)
def test_a_requirement_that_does_not_hold_or_is_none_ties_nothing(text: str) -> None:
    made = changes(alpha="1 -> 2", beta="1 -> 2")
    assert ties(neighbours(made, {}, {"alpha": [text]}, MARKERS)) == set()


def test_an_address_has_no_version_to_compare() -> None:
    pin = Pin("beta", "https://example.org/b.zip", "beta @ https://example.org/b.zip")
    made = (*changes(alpha="1 -> 2"), PackageChange("beta", pin, Pin("beta", "2", "beta==2")))
    found = neighbours(made, {}, {"alpha": ["beta>=2"]}, MARKERS)
    assert ties(found) == set()
    assert found.related["beta"] == {"alpha"}


def test_tied_ones_follow_each_other_and_related_ones_come_next() -> None:
    tied = {"a": {"y"}, "y": {"a", "m"}, "m": {"y"}}
    related = {"a": {"y", "x"}, "y": {"a", "m"}, "m": {"y"}, "x": {"a"}}
    found = Neighbours(tied, related)
    assert found.ordered(("a", "b", "c", "m", "x", "y")) == ("a", "y", "m", "x", "b", "c")
    assert found.ordered(()) == ()
    assert found.together({"m"}) == {"m", "y", "a"}
    assert found.together({"x"}) == {"x"}


def test_eight_that_need_each_other_cost_few_steps_once_they_stand_together() -> None:
    names = tuple(f"p{number:02}" for number in range(64))
    close = {names[number] for number in range(3, 64, 8)}
    found = Neighbours({name: close - {name} for name in close}, {})
    steps = []

    def judge(made: frozenset[str]) -> Verdict:
        steps.append(made)
        if 0 < len(close & made) < len(close):
            return Verdict.SKIP
        return Verdict.BAD if "p40" in made else Verdict.GOOD

    assert narrow(names, judge) == Narrowed((("p40",),))
    apart = len(steps)
    steps.clear()
    assert narrow(found.ordered(names), judge, clusters=found.clusters()) == Narrowed((("p40",),))
    assert len(steps) <= 10 < apart
