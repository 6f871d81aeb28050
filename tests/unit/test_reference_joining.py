"""Rows of two tables are paired by their keys."""

from __future__ import annotations

import numpy as np
import pytest

from nbpipe.reference.comparison.joins import Join, join


def pairs(old: list[object], new: list[object], *more: tuple[list[object], list[object]]) -> Join:
    sides = [(old, new), *more]
    return join([np.array(each[0]) for each in sides], [np.array(each[1]) for each in sides])


def partner(found: Join) -> list[int] | None:
    return None if found.partner is None else found.partner.tolist()


def test_the_same_order_needs_no_looking_up() -> None:
    assert partner(pairs([3, 1, 2], [3, 1, 2])) is None


def test_rows_in_another_order_are_found() -> None:
    found = pairs([3, 1, 2], [2, 3, 1])
    assert partner(found) == [1, 2, 0]
    assert found.reordered


def test_rows_that_came_and_went_are_told() -> None:
    found = pairs([3, 1, 2], [1, 4, 3])
    assert partner(found) == [2, 0, -1]
    assert (found.only_old.tolist(), found.only_new.tolist()) == ([2], [1])


def test_rows_added_at_the_end_are_no_other_order() -> None:
    found = pairs([1, 2], [1, 2, 3])
    assert (partner(found), found.reordered) == ([0, 1], False)


def test_several_keys_name_a_row_together() -> None:
    found = pairs([1, 1, 2], [1, 2, 1], (["a", "b", "a"], ["b", "a", "a"]))
    assert partner(found) == [2, 0, 1]


def test_repeated_keys_are_paired_in_their_order() -> None:
    found = pairs([7, 5, 7], [7, 7, 7, 5])
    assert partner(found) == [0, 3, 1]
    assert (found.repeated, found.only_new.tolist()) == (3, [2])


@pytest.mark.parametrize("empty", [[], [1]])
def test_an_empty_side_pairs_nothing(empty: list[object]) -> None:
    found = join([np.array(empty, dtype=int)], [np.array([2], dtype=int)])
    assert partner(found) == [-1] * len(empty)
    assert found.only_new.tolist() == [0]


def test_bytes_and_texts_are_the_same_key() -> None:
    assert partner(pairs([b"x", b"y"], ["y", "x"])) == [1, 0]


def test_a_thousand_shuffled_rows_are_found() -> None:
    random = np.random.default_rng(1)
    old, new = random.permutation(1000), random.permutation(1000)
    found = join([old], [new])
    assert found.partner is not None
    assert np.array_equal(new[found.partner], old)
