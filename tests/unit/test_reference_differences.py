"""Two columns, value by value: what is the same, what is beyond, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from nbpipe.reference.comparison.differences import Differences
from nbpipe.reference.comparison.model import ColumnDifference, Tolerance, Verdict, Worst
from nbpipe.reference.products.protocol import Values

NAN, INF = float("nan"), float("inf")


def compare(
    old: object,
    new: object,
    *,
    blocks: int = 1,
    gone: tuple[list[bool] | None, list[bool] | None] = (None, None),
    **tolerance: float,
) -> ColumnDifference:
    found = Differences("", "Z", Tolerance(**tolerance), None)
    a, b = np.asarray(old), np.asarray(new)
    masks = [None if each is None else np.array(each) for each in gone]
    start = 0
    for piece in np.array_split(np.arange(len(a)), blocks):
        sides = [
            Values(data[piece], None if mask is None else mask[piece])
            for data, mask in ((a, masks[0]), (b, masks[1]))
        ]
        offset = start
        found.add(sides[0], sides[1], lambda row, offset=offset: f"row {offset + row}")
        start += len(piece)
    return found.result()


def test_equal_values_are_the_same() -> None:
    found = compare([1.0, 2.0, NAN, INF], [1.0, 2.0, NAN, INF])
    assert (found.verdict, found.compared, found.differing, found.max) == (Verdict.SAME, 4, 0, 0.0)


def test_the_statistics_are_of_the_sizes_of_the_differences() -> None:
    found = compare([0.0, 0.0, 0.0, 0.0], [0.0, -1.0, 2.0, 5.0], absolute=1.0)
    assert found.verdict is Verdict.DIFFERENT
    assert (found.differing, found.beyond, found.beyond_10) == (3, 2, 0)
    assert (found.max, found.mean, found.excess) == (5.0, 2.0, 5.0)
    assert found.rms == pytest.approx(np.sqrt(30 / 4))
    assert found.worst == (
        Worst(row="row 3", reference="0.0", new="5.0", difference=5.0),
        Worst(row="row 2", reference="0.0", new="2.0", difference=2.0),
    )
    assert found.histogram == {"0": 1, "1": 1, "2": 1}


def test_a_difference_of_exactly_the_tolerance_is_within() -> None:
    found = compare([1.0], [1.5], absolute=0.5)
    assert (found.verdict, found.beyond, found.excess) == (Verdict.WITHIN, 0, 1.0)


def test_the_relative_tolerance_is_of_the_reference() -> None:
    assert compare([100.0], [110.0], relative=0.1).verdict is Verdict.WITHIN
    assert compare([110.0], [99.0 - 1e-9], relative=0.1).verdict is Verdict.DIFFERENT


def test_the_shares_beyond_1_10_and_100_times_the_tolerance_are_counted() -> None:
    found = compare([0.0] * 5, [0.5, 2.0, 11.0, 101.0, 1e6], absolute=1.0)
    assert (found.beyond, found.beyond_10, found.beyond_100) == (4, 3, 2)


def test_a_share_may_be_beyond() -> None:
    old, new = np.zeros(100), np.zeros(100)
    new[:5] = 1
    assert compare(old, new, allowed=0.05).verdict is Verdict.WITHIN
    assert compare(old, new, allowed=0.049).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("old", "new"),
    [([1.0], [NAN]), ([NAN], [1.0]), ([1.0], [INF]), ([INF], [-INF]), ([NAN], [INF])],
)
def test_a_value_that_is_finite_on_one_side_only_is_beyond_every_tolerance(
    old: list[float], new: list[float]
) -> None:
    found = compare(old, new, absolute=1e300)
    assert found.verdict is Verdict.DIFFERENT
    assert (found.changed_kind, found.beyond_100, found.max) == (1, 1, None)
    assert found.worst == (
        Worst(row="row 0", reference=str(old[0]), new=str(new[0]), difference=None),
    )


def test_nan_and_infinities_do_not_spoil_the_statistics_of_the_others() -> None:
    found = compare([NAN, INF, 1.0, 1.0], [NAN, INF, 2.0, NAN], absolute=2.0)
    assert (found.max, found.changed_kind, found.differing) == (1.0, 1, 2)
    assert found.mean == 0.5


def test_null_is_the_same_as_null_whatever_lies_below() -> None:
    found = compare([1, 2, 3], [9, 2, 3], gone=([True, False, False], [True, False, False]))
    assert (found.verdict, found.compared) == (Verdict.SAME, 3)


def test_null_on_one_side_is_a_difference_even_from_nan() -> None:
    found = compare([NAN, 1.0], [NAN, 1.0], gone=([True, False], None), absolute=9.0)
    assert (found.verdict, found.changed_kind, found.mean) == (Verdict.DIFFERENT, 1, 0.0)
    assert found.worst[0] == Worst(row="row 0", reference="null", new="nan", difference=None)


def test_large_integers_are_subtracted_exactly() -> None:
    found = compare([2**62, -(2**63)], [2**62 + 1, 2**63 - 1], absolute=1.0)
    assert (found.beyond, found.differing) == (1, 2)
    assert found.max == float(2**64)


def test_unsigned_and_small_integers_do_not_wrap() -> None:
    assert compare(np.array([0], "u1"), np.array([255], "u1")).max == 255.0
    assert compare(np.array([-100], "i1"), np.array([100], "i1")).max == 200.0
    assert compare(np.array([1], "i8"), np.array([3], "u8")).max == 2.0


def test_another_width_is_compared_by_value() -> None:
    found = compare(np.array([0.1], "f4"), np.array([0.1], "f8"), relative=1e-6)
    assert found.verdict is Verdict.WITHIN


def test_strings_and_bools_are_equal_or_not() -> None:
    found = compare(np.array([b"a", b"b"]), np.array(["a", "c"]), absolute=9.0)
    assert (found.verdict, found.differing) == (Verdict.DIFFERENT, 1)
    assert found.worst == (Worst(row="row 1", reference="b", new="c"),)
    assert compare([True, False], [True, True], absolute=9.0).beyond == 1


def test_times_are_compared_in_seconds_and_shown_as_times() -> None:
    old = np.array(["2026-01-01T00:00:00", "NaT"], "datetime64[us]")
    new = np.array(["2026-01-01T00:00:03", "NaT"], "datetime64[us]")
    found = compare(old, new, absolute=2.0)
    assert (found.max, found.beyond, found.changed_kind) == (3.0, 1, 0)
    assert found.worst[0].reference == "2026-01-01T00:00:00.000000"


def test_complex_numbers_differ_by_their_distance() -> None:
    assert compare([0j], [3 + 4j], absolute=5.0).verdict is Verdict.WITHIN
    assert compare([0j], [3 + 4j]).max == 5.0


def test_the_element_of_a_vector_is_named() -> None:
    found = compare(np.zeros((2, 3)), np.array([[0, 0, 0], [0, 7, 0]]))
    assert found.worst[0].row == "row 1 [1]"


@pytest.mark.parametrize("share", [0.001, 0.5, 1.0])
def test_blocks_add_up_to_the_whole(share: float) -> None:
    random = np.random.default_rng(1)
    old = random.normal(size=10_000)
    new = np.where(random.random(10_000) < share, old + random.normal(0, 1e-3, 10_000), old)
    whole = compare(old, new, absolute=1e-3, relative=1e-4)
    pieces = compare(old, new, absolute=1e-3, relative=1e-4, blocks=7)
    size = np.abs(new - old)
    beyond = size > 1e-3 + 1e-4 * np.abs(old)
    assert whole.beyond == pieces.beyond == np.count_nonzero(beyond)
    assert whole.max == pieces.max == size.max()
    assert pieces.mean == pytest.approx(size.mean())
    assert pieces.rms == pytest.approx(np.sqrt((size**2).mean()))
    assert pieces.worst == whole.worst
    assert sum(whole.histogram.values()) == np.count_nonzero(size)
