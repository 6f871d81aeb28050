"""Statistics of a numeric column, block by block: exact, in one pass, in bounded memory.

Means and variances are merged as Chan, Golub and LeVeque do (1979), so that a column of large
numbers with a small spread keeps its digits. Needs numpy: import it where it is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbpipe.reference.manifest import Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nbpipe.reference.products.protocol import Values

NUMERIC = "biufcM"
"""Kinds of numpy's dtypes that have statistics: complex by their size, times in seconds."""


@dataclass(slots=True)
class Running:
    """The statistics of what has been seen."""

    count: int = 0
    missing: int = 0
    nan: int = 0
    infinite: int = 0
    finite: int = 0
    low: int | float | None = None
    high: int | float | None = None
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared distances from the mean."""

    def add(self, values: Values) -> None:
        """Take a block into account; what is no number is only counted."""
        data = values.data
        self.count += data.size
        if values.missing is not None:
            self.missing += int(np.count_nonzero(values.missing))
            data = data[~values.missing]
        if data.dtype.kind not in NUMERIC:
            return
        self._numbers(numbers(data).reshape(-1))

    def _numbers(self, data: NDArray[Any]) -> None:
        if data.dtype.kind == "f":
            good = np.isfinite(data)
            if not good.all():
                nan = int(np.count_nonzero(np.isnan(data)))
                self.nan += nan
                self.infinite += data.size - int(np.count_nonzero(good)) - nan
                data = data[good]
        if not data.size:
            return
        low, high = data.min().item(), data.max().item()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        self._merge(data)

    def _merge(self, data: NDArray[Any]) -> None:
        size = data.size
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(data.mean(dtype=np.float64))
            distances = np.subtract(data, mean, dtype=np.float64)
            # No dot product: the threads of a BLAS take longer to meet than to add.
            squares = float(np.square(distances, out=distances).sum())
            total = self.finite + size
            shift = mean - self.mean
            self.mean += shift * size / total
            self.squares += squares + shift * shift * self.finite * size / total
        self.finite = total

    def result(self, *, numeric: bool = True) -> Statistics:
        """Return the statistics; without `numeric` only what holds for any column."""
        some = numeric and self.finite > 0
        return Statistics(
            count=self.count,
            missing=self.missing,
            nan=self.nan,
            infinite=self.infinite,
            min=self.low if some else None,
            max=self.high if some else None,
            mean=_finite(self.mean) if some else None,
            std=_finite(math.sqrt(self.squares / self.finite)) if some else None,
        )


def numbers(data: NDArray[Any]) -> NDArray[Any]:
    """Return real numbers: the size of a complex one, a time as seconds since 1970 (NaT: NaN)."""
    match data.dtype.kind:
        case "b":
            return data.view(np.uint8)
        case "c":
            sizes: NDArray[Any] = np.abs(data)
            return sizes
        case "M":
            micro = data.astype("datetime64[us]")
            seconds = micro.astype(np.int64) / 1e6
            return np.where(np.isnat(micro), np.nan, seconds)
        case "f" if data.dtype.itemsize < np.dtype(np.float32).itemsize:
            return data.astype(np.float32)
        case _:
            return data


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
