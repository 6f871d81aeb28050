"""The differences between two columns, block by block, in bounded memory.

Two values are the same where both are null, or both NaN, or equal, or closer than the tolerance.
A value that is null, NaN or infinite on one side only is beyond any tolerance. Bools, strings
and objects are equal or not. Numbers are compared with all their digits (whole numbers and
decimals of any length, nanoseconds) before their distance becomes a double. A list of varying
length is one value where its length differs, and element by element where it does not. Needs
numpy: import it where it is used.
"""

from __future__ import annotations

import heapq
import math
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from nbpipe.reference.comparison.model import ColumnDifference, Verdict, Worst
from nbpipe.reference.products.statistics import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nbpipe.reference.comparison.model import Tolerance
    from nbpipe.reference.products.protocol import Values

KEPT = 5
"""Worst values that are kept."""
EXPONENT_BIAS, EXPONENT_SHIFT, EXPONENTS = 1023, 52, 2048
"""Of an IEEE 754 double."""
PLAIN = "iufcM"
"""Kinds of numpy's dtypes that have tolerances."""
TEXT = 120
"""Characters of a value that is shown."""
SMALLEST = sys.float_info.min
"""The least distance of two values that are not equal (a normal double: it has an exponent)."""
TICKS = {"D": 1 / 86_400, "h": 1 / 3600, "m": 1 / 60, "s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Units of numpy's times: how many are a second."""
MOSTLY = 0.3
"""Where more than this share differs, picking out the differing ones costs more than it saves."""


class Differences:
    """What has been seen of one column."""

    def __init__(self, part: str, column: str, tolerance: Tolerance, unit: str | None) -> None:
        self._about = (part, column, unit)
        self._tolerance = tolerance
        self._compared = self._differing = self._changed = 0
        self._paired = 0
        """Values that are numbers on both sides."""
        self._beyond = [0, 0, 0]
        self._max = self._sum = self._squares = self._excess = 0.0
        self._histogram: NDArray[Any] = np.zeros(EXPONENTS, np.int64)
        self._worst: list[tuple[float, int, Worst]] = []

    def add(self, old: Values, new: Values, row: Callable[[int], str]) -> None:
        """Take a block into account; `row` names a row of it."""
        size = old.data.size
        if not size:
            return
        sides = old.data.reshape(-1), new.data.reshape(-1)
        if _are_lists(*sides):
            self._lists(*sides, old, new, row)
            return
        self._compared += size
        show = _Show(*sides, _flat(old.missing), _flat(new.missing), row, size // len(old.data))
        places = self._present(show, size)
        a, b = sides if places is None else (sides[0][places], sides[1][places])
        if a.dtype.kind in PLAIN and b.dtype.kind in PLAIN and _alike(a, b):
            self._numbers(a, b, places, show)
        elif (pair := _long_numbers(a, b)) is not None:
            self._numbers(*pair, places, show)
        else:
            self._exact(a, b, places, show)

    def result(self) -> ColumnDifference:
        """Return what there is to say."""
        part, column, unit = self._about
        count = self._paired
        found = np.flatnonzero(self._histogram)
        return ColumnDifference(
            part=part,
            column=column,
            unit=unit,
            verdict=self._verdict(),
            level="data",
            tolerance=self._tolerance,
            compared=self._compared,
            differing=self._differing,
            beyond=self._beyond[0],
            beyond_10=self._beyond[1],
            beyond_100=self._beyond[2],
            changed_kind=self._changed,
            max=_finite(self._max) if count else None,
            mean=_finite(self._sum / count) if count else None,
            rms=_finite(math.sqrt(self._squares / count)) if count else None,
            excess=_finite(self._excess) if self._excess else None,
            worst=tuple(each for _, _, each in sorted(self._worst, reverse=True, key=_rank)),
            histogram={str(int(n) - EXPONENT_BIAS): int(self._histogram[n]) for n in found},
        )

    def _verdict(self) -> Verdict:
        if not self._differing:
            return Verdict.SAME
        allowed = self._tolerance.allowed * self._compared
        return Verdict.DIFFERENT if self._beyond[0] > allowed else Verdict.WITHIN

    def _present(self, show: _Show, size: int) -> NDArray[Any] | None:
        """Count what is null on one side only; return where nothing is, None for everywhere."""
        if show.old_gone is None and show.new_gone is None:
            return None
        nobody = np.zeros(size, bool)
        old = nobody if show.old_gone is None else show.old_gone
        new = nobody if show.new_gone is None else show.new_gone
        self._changes(np.flatnonzero(old != new), show)
        return np.flatnonzero(~(old | new))

    def _changes(self, places: NDArray[Any], show: _Show) -> None:
        """Count values that are beyond every tolerance."""
        self._differing += len(places)
        self._changed += len(places)
        for step in range(3):
            self._beyond[step] += len(places)
        for place in places[:KEPT]:
            self._keep(math.inf, int(place), None, show)

    def _lists(
        self,
        a: NDArray[Any],
        b: NDArray[Any],
        old: Values,
        new: Values,
        row: Callable[[int], str],
    ) -> None:
        """Compare lists: those of another length as a whole, the others element by element."""
        gone = [_flat(each.missing) for each in (old, new)]
        sizes = [np.array([-1 if each is None else len(each) for each in side]) for side in (a, b)]
        for size, missing in zip(sizes, gone, strict=True):
            if missing is not None:
                size[missing] = -1
        other = np.flatnonzero(sizes[0] != sizes[1])
        if len(other):
            self._compared += len(other)
            shown = _Show(_lengths(sizes[0]), _lengths(sizes[1]), None, None, row, 1)
            self._changes(other, shown)
        alike = np.flatnonzero((sizes[0] == sizes[1]) & (sizes[0] > 0))
        if not len(alike):
            return
        first, second = (np.concatenate([side[at] for at in alike]) for side in (a, b))
        owner = np.repeat(alike, sizes[0][alike])
        place = np.concatenate([np.arange(size) for size in sizes[0][alike]])
        self.add(
            type(old)(first),
            type(old)(second),
            lambda element: f"{row(int(owner[element]))} [{place[element]}]",
        )

    def _exact(
        self, a: NDArray[Any], b: NDArray[Any], places: NDArray[Any] | None, show: _Show
    ) -> None:
        if a.dtype.kind != b.dtype.kind:
            a, b = _texts(a), _texts(b)
        found = np.flatnonzero(np.asarray(a != b, dtype=bool))
        self._differing += len(found)
        for step in range(3):
            self._beyond[step] += len(found)
        for at in found[:KEPT]:
            self._keep(0.0, int(at if places is None else places[at]), None, show)

    def _numbers(
        self, a: NDArray[Any], b: NDArray[Any], places: NDArray[Any] | None, show: _Show
    ) -> None:
        unequal = np.asarray(a != b, dtype=bool)
        amount = int(np.count_nonzero(unequal))
        self._paired += len(a)
        if not amount:
            return
        if amount < MOSTLY * len(a):
            found = np.flatnonzero(unequal)
            a, b = a[found], b[found]
            places = found if places is None else places[found]
        size = _distance(a, b)
        with np.errstate(over="ignore"):
            total = float(size.sum())
        if not math.isfinite(total):
            places = np.arange(len(a)) if places is None else places
            good = np.isfinite(size)
            self._not_finite(a, b, ~good, places, show)
            a, size, places = a[good], size[good], places[good]
            total = float(size.sum())
        if len(size):
            self._sum += total
            self._distances(_sizes(a), size, places, show)

    def _not_finite(
        self,
        a: NDArray[Any],
        b: NDArray[Any],
        odd: NDArray[Any],
        places: NDArray[Any],
        show: _Show,
    ) -> None:
        """Sort out NaN and infinities: on both sides the same, on one side only a change."""
        different = odd & np.asarray(a != b, dtype=bool)
        both = _is_nan(a) & _is_nan(b)
        self._paired -= int(np.count_nonzero(different))
        self._changes(places[different & ~both], show)

    def _distances(
        self, a: NDArray[Any], size: NDArray[Any], places: NDArray[Any] | None, show: _Show
    ) -> None:
        self._differing += int(np.count_nonzero(size))
        with np.errstate(over="ignore"):
            self._squares += float(np.square(size).sum())
        self._max = max(self._max, float(size.max()))
        exponents = size.view(np.int64) >> EXPONENT_SHIFT
        bins = np.bincount(exponents, minlength=EXPONENTS)
        bins[0] = 0  # equal values, and what is too small for a normal double
        self._histogram += bins
        given = self._tolerance
        limit: Any = given.absolute
        if given.relative:
            limit = given.absolute + given.relative * a
        if given.absolute or given.relative:
            with np.errstate(divide="ignore", invalid="ignore"):
                excess = size / limit
            top = float(np.nanmax(excess, initial=0.0))
            self._excess = max(self._excess, top)
        beyond = np.flatnonzero(size > limit)
        if not len(beyond):
            return
        scores = (excess if given.absolute or given.relative else size)[beyond]
        here = limit if np.ndim(limit) == 0 else limit[beyond]
        self._count_beyond(size[beyond], here)
        if len(self._worst) == KEPT and scores.max() <= self._worst[0][0]:
            return
        for at in _top(scores):
            at_all = beyond[at]
            place = int(at_all if places is None else places[at_all])
            self._keep(float(scores[at]), place, float(size[at_all]), show)

    def _count_beyond(self, size: NDArray[Any], limit: NDArray[Any] | float) -> None:
        for step, factor in enumerate((1, 10, 100)):
            self._beyond[step] += int(np.count_nonzero(size > factor * limit))

    def _keep(self, score: float, place: int, size: float | None, show: _Show) -> None:
        """Keep it where it is among the worst; of equal ones the first."""
        if len(self._worst) == KEPT and score <= self._worst[0][0]:
            return
        entry = (score, -self._compared - place, show.worst(place, size))
        if len(self._worst) < KEPT:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heapreplace(self._worst, entry)


@dataclass(frozen=True, slots=True)
class _Show:
    """A block as it came, to show the worst of it."""

    old: NDArray[Any]
    new: NDArray[Any]
    old_gone: NDArray[Any] | None
    new_gone: NDArray[Any] | None
    row: Callable[[int], str]
    width: int
    """Elements of a row."""

    def worst(self, place: int, size: float | None) -> Worst:
        """Return one value of the block with its row."""
        row = self.row(place // self.width)
        if self.width > 1:
            row = f"{row} [{place % self.width}]"
        old = text_of(self.old[place], self.old_gone is not None and self.old_gone[place])
        new = text_of(self.new[place], self.new_gone is not None and self.new_gone[place])
        return Worst(row=row, reference=old, new=new, difference=size)


def _rank(entry: tuple[float, int, Worst]) -> tuple[float, int]:
    return entry[:2]


def _flat(missing: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if missing is None else missing.reshape(-1)


def _alike(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Tell whether both are times, or neither is."""
    return (a.dtype.kind == "M") == (b.dtype.kind == "M")


def _are_lists(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Tell whether both hold lists of varying length."""
    return all(
        side.dtype.kind == "O" and any(isinstance(each, np.ndarray) for each in side)
        for side in (a, b)
    )


def _lengths(sizes: NDArray[Any]) -> NDArray[Any]:
    """Return what is shown of lists whose lengths differ."""
    return np.array(["null" if n < 0 else f"{n} elements" for n in sizes], dtype=object)


def _long_numbers(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return numbers that Python holds with all their digits; None where one is none."""
    if "O" not in (a.dtype.kind, b.dtype.kind) or "M" in (a.dtype.kind, b.dtype.kind):
        return None
    sides = []
    for side in (a, b):
        if side.dtype.kind not in "iufO":
            return None
        sides.append(side.astype(object))
        if not all(isinstance(each, (int, float, Decimal)) for each in sides[-1]):
            return None
        if any(isinstance(each, bool) for each in sides[-1]):
            return None
    return sides[0], sides[1]


def _sizes(data: NDArray[Any]) -> NDArray[Any]:
    """Return how large numbers are, as doubles: of times the seconds since 1970."""
    if data.dtype.kind == "M":
        data = numbers(data)
    if data.dtype.kind == "O":
        data = np.array([_double(each) for each in data], dtype=np.float64)
    sizes: NDArray[Any] = np.abs(data).astype(np.float64)
    return sizes


def _is_nan(data: NDArray[Any]) -> NDArray[Any]:
    if data.dtype.kind == "O":
        return np.array([each != each for each in data], dtype=bool)  # noqa: PLR0124  (a NaN)
    found: NDArray[Any] = np.isnat(data) if data.dtype.kind == "M" else np.isnan(data)
    return found


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return |a - b| as doubles (of times in seconds); exact before it becomes one."""
    if a.dtype.kind == "M":
        size = _seconds(a, b)
    elif a.dtype.kind == "O":
        size = np.array([_apart(*pair) for pair in zip(a, b, strict=True)], dtype=np.float64)
    else:
        size = _subtracted(a, b)
    # What is not equal is never at a distance of 0, however little a double can tell them apart.
    size[(size == 0) & np.asarray(a != b, dtype=bool)] = SMALLEST
    return size


def _subtracted(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    if a.dtype.kind in "iu" and b.dtype.kind == a.dtype.kind:
        high, low = np.maximum(a, b), np.minimum(a, b)
        # Modulo 2**64 the difference is right whatever the signs are.
        exact: NDArray[Any] = high.astype(np.uint64) - low.astype(np.uint64)
        return exact.astype(np.float64)
    wide = np.result_type(a, b, np.float64)  # or complex, or a long double
    with np.errstate(invalid="ignore", over="ignore"):
        size: NDArray[Any] = np.abs(np.subtract(a, b, dtype=wide))
    return np.ascontiguousarray(size, dtype=np.float64)


def _seconds(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return how far apart times are, in seconds; NaN where one of them is none."""
    gap = a - b
    unit = np.datetime_data(gap.dtype)[0]
    ticks = gap.astype(np.int64)
    seconds = np.abs(ticks.astype(np.float64)) / TICKS[unit]
    size: NDArray[Any] = np.where(np.isnat(gap), np.nan, seconds)
    return size


def _apart(a: Any, b: Any) -> float:  # noqa: ANN401  (int, float or Decimal)
    """Return |a - b|; NaN where one of them is not finite."""
    if not (_is_finite(a) and _is_finite(b)):
        return math.nan
    return _double(abs(Fraction(a) - Fraction(b)))


def _is_finite(value: Any) -> bool:  # noqa: ANN401  (int, float or Decimal)
    return (
        value.is_finite()
        if isinstance(value, Decimal)
        else math.isfinite(value)
        if isinstance(value, float)
        else True
    )


def _double(value: Any) -> float:  # noqa: ANN401  (int, float, Decimal or Fraction)
    """Return the nearest double; the largest where it is beyond."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(sys.float_info.max, value)


def _texts(data: NDArray[Any]) -> NDArray[Any]:
    """Return strings of any kind as Python's own."""
    if data.dtype.kind == "S":
        data = np.strings.decode(data, "utf-8", "backslashreplace")
    texts: NDArray[Any] = data.astype(object)
    return texts


def _top(scores: NDArray[Any]) -> NDArray[Any]:
    """Return where the largest are, those of equal size in their order."""
    floor = np.partition(scores, -KEPT)[-KEPT] if len(scores) > KEPT else scores.min()
    found = np.flatnonzero(scores >= floor)[: 4 * KEPT]
    return found[np.argsort(-scores[found], kind="stable")][:KEPT]


def text_of(value: Any, gone: bool = False) -> str:  # noqa: ANN401, FBT001, FBT002  (a cell)
    """Return a value as pages show it."""
    if gone:
        return "null"
    if isinstance(value, np.bytes_):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, bytes):
        return f"{len(value)} bytes: {value[:16].hex()}"
    text = str(value.item() if isinstance(value, np.generic) and value.dtype.kind != "M" else value)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= TEXT else f"{text[:TEXT]}..."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
