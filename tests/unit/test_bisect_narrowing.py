"""The search for the change that broke it, with a function as the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.bisecting.delta import Narrowed, narrow
from nbpipe.bisecting.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD, BAD, SKIP = Verdict.GOOD, Verdict.BAD, Verdict.SKIP
MANY = tuple(f"p{number:02}" for number in range(64))


class Judge:
    """Says what a rule says, and counts."""

    def __init__(self, rule: Callable[[frozenset[str]], Verdict]) -> None:
        self.rule = rule
        self.asked: list[frozenset[str]] = []

    def __call__(self, made: frozenset[str]) -> Verdict:
        self.asked.append(made)
        return self.rule(made)


def broken_by(*names: str) -> Judge:
    return Judge(lambda made: BAD if made >= {*names} else GOOD)


@pytest.mark.parametrize("guilty", ["p00", "p31", "p32", "p63"])
def test_one_of_sixty_four_is_found_in_six_to_thirteen_steps(guilty: str) -> None:
    judge = broken_by(guilty)
    assert narrow(MANY, judge) == Narrowed(((guilty,),))
    assert 6 <= len(judge.asked) <= 13


def test_a_single_change_needs_no_step() -> None:
    judge = broken_by("a")
    assert narrow(("a",), judge) == Narrowed((("a",),))
    assert judge.asked == []


def test_two_that_break_it_only_together_are_found() -> None:
    judge = broken_by("p05", "p50")
    found = narrow(MANY, judge)
    assert {change for (change,) in found.groups} == {"p05", "p50"}
    assert len(judge.asked) <= 30


def test_three_that_break_it_only_together_are_found() -> None:
    found = narrow(MANY, broken_by("p05", "p06", "p50"))
    assert {change for (change,) in found.groups} == {"p05", "p06", "p50"}


def test_likely_ones_are_tried_first() -> None:
    judge = broken_by("p20")
    assert narrow(MANY, judge, likely={"p20", "p40"}) == Narrowed((("p20",),))
    assert judge.asked[0] == {"p20", "p40"}
    assert len(judge.asked) <= 3


def test_an_unlikely_one_is_found_all_the_same() -> None:
    assert narrow(MANY, broken_by("p21"), likely={"p20", "p40"}) == Narrowed((("p21",),))


def test_two_that_need_each_other_do_not_hide_the_guilty_one() -> None:
    def rule(made: frozenset[str]) -> Verdict:
        if ("p10" in made) != ("p40" in made):
            return SKIP
        return BAD if "p33" in made else GOOD

    assert narrow(MANY, Judge(rule)) == Narrowed((("p33",),))


def test_between_two_that_need_each_other_nobody_decides() -> None:
    def rule(made: frozenset[str]) -> Verdict:
        if ("p10" in made) != ("p40" in made):
            return SKIP
        return BAD if "p10" in made else GOOD

    assert narrow(MANY, Judge(rule)) == Narrowed((("p10", "p40"),))


def test_what_the_guilty_one_cannot_be_judged_without_is_told_apart() -> None:
    def rule(made: frozenset[str]) -> Verdict:
        if "p10" in made and "p03" not in made:
            return SKIP
        return BAD if "p10" in made else GOOD

    assert narrow(MANY, Judge(rule)) == Narrowed((("p10",),), ("p03",))


def test_where_nothing_between_can_be_judged_all_remain() -> None:
    found = narrow(("a", "b", "c", "d"), Judge(lambda _: SKIP))
    assert found == Narrowed((("a", "b", "c", "d"),))


def test_nothing_is_judged_twice_and_never_an_end() -> None:
    judge = broken_by("p05", "p50")
    narrow(MANY, judge)
    assert len(judge.asked) == len({*judge.asked})
    assert frozenset() not in judge.asked
    assert frozenset(MANY) not in judge.asked
