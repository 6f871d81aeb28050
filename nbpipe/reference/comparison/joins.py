"""Which row of the reference is which row of the new table, by their keys.

Rows with the same key are paired in their order. Takes about 40 bytes a row while it is made, and
8 afterwards. Needs numpy: import it where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Join:
    """The pairs of rows."""

    partner: NDArray[Any] | None
    """For each row of the reference the new one's number, -1 where it is gone; None where
    both have the same rows in the same order."""
    only_old: NDArray[Any]
    """Rows of the reference that are gone."""
    only_new: NDArray[Any]
    repeated: int
    """Rows whose keys a row before them had; 0 where the order is the same anyway."""
    reordered: bool
    """Rows that both have are in another order."""


def join(old: Sequence[NDArray[Any]], new: Sequence[NDArray[Any]]) -> Join:
    """Pair rows by the columns of keys, of which both sides have as many."""
    nothing = np.zeros(0, np.int64)
    a, b = _codes(old, new)
    if np.array_equal(a, b):
        return Join(None, nothing, nothing, 0, reordered=False)
    (order_a, sorted_a, again_a), (order_b, sorted_b, again_b) = _sorted(a), _sorted(b)
    many = int(np.count_nonzero(again_a) + np.count_nonzero(again_b))
    # Rows of one key are told apart by their place among those of that key, so that a duplicate
    # that was added or lost shows as a row, not as a changed value in another.
    if many:
        sorted_a, sorted_b = _numbered(sorted_a, again_a, sorted_b, again_b)
    partner = np.full(len(a), -1, np.int64)
    if np.array_equal(sorted_a, sorted_b):
        partner[order_a] = order_b
    elif len(sorted_b):
        at = np.minimum(np.searchsorted(sorted_b, sorted_a), len(sorted_b) - 1)
        there = sorted_b[at] == sorted_a
        partner[order_a[there]] = order_b[at[there]]
    seen = np.zeros(len(b), bool)
    seen[partner[partner >= 0]] = True
    pairs = partner[partner >= 0]
    return Join(
        partner,
        np.flatnonzero(partner < 0),
        np.flatnonzero(~seen),
        many,
        reordered=bool((np.diff(pairs) < 0).any()),
    )


def _codes(
    old: Sequence[NDArray[Any]], new: Sequence[NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return one sortable number for each row, the same for the same keys."""
    if len(old) == 1 and old[0].dtype.kind in "iu" and old[0].dtype == new[0].dtype:
        return old[0], new[0]
    rows = len(old[0])
    codes = np.zeros(rows + len(new[0]), np.int64)
    for before, after in zip(old, new, strict=True):
        found, column = np.unique(_together(before, after), return_inverse=True)
        codes = codes * len(found) + column
        # Numbered anew after each column: the product of many would not fit.
        codes = np.unique(codes, return_inverse=True)[1]
    return codes[:rows], codes[rows:]


def _together(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    if "O" in (old.dtype.kind, new.dtype.kind) or old.dtype.kind != new.dtype.kind:
        texts = [np.array([_word(each) for each in side], dtype=str) for side in (old, new)]
        return np.concatenate(texts)
    return np.concatenate([old, new])


def _word(value: Any) -> str:  # noqa: ANN401  (a key)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value.item() if isinstance(value, np.generic) else value)


def _sorted(codes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the order, the codes in it, and which of them repeat; equal ones in their order."""
    order = np.argsort(codes)
    again = _repeats(codes[order])
    if again.any():
        # Only then the slower sort: the fast one does not keep the order of equal ones.
        order = np.argsort(codes, kind="stable")
    return order, codes[order], again


def _repeats(codes: NDArray[Any]) -> NDArray[Any]:
    """Tell for each of the sorted codes whether it is the one before it."""
    same = np.zeros(len(codes), bool)
    np.equal(codes[1:], codes[:-1], out=same[1:])
    return same


def _numbered(
    a: NDArray[Any], again_a: NDArray[Any], b: NDArray[Any], again_b: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return sorted codes that differ also within equal ones: by their number among them."""
    codes = np.unique(np.concatenate([a, b]), return_inverse=True)[1]
    counts = np.concatenate([_ordinal(again_a), _ordinal(again_b)])
    codes = codes * (int(counts.max(initial=0)) + 1) + counts
    return codes[: len(a)], codes[len(a) :]


def _ordinal(again: NDArray[Any]) -> NDArray[Any]:
    """Return 0, 1, 2, ... within each run of equal codes."""
    places = np.arange(len(again))
    starts = np.maximum.accumulate(np.where(again, 0, places))
    return places - starts
