"""Amounts of memory as people write them: `16G`, `512M`, `80%`.

As in systemd and Slurm, K, M, G and T stand for powers of 1024 (`Gi`, `GiB` likewise). Nothing
here looks at a machine.
"""

from __future__ import annotations

import re

_UNITS = "KMGT"
_STEP = 1024
SIZE = rf"^\s*(?=.*[1-9])\d+(\.\d+)?\s*[{_UNITS}](iB|i|B)?\s*\Z"
"""An amount: above 0, always with its unit."""
BUDGET = rf"{SIZE}|^\s*(100|[1-9]\d?)\s*%\s*\Z"
"""An amount, or a share of the whole."""
EXAMPLES = "such as 16G, 512M or 1.5T"


def parse(text: str) -> int:
    """Return an amount in bytes.

    Raises:
        ValueError: It is none.
    """
    if not re.match(SIZE, text):
        raise ValueError(f"{text!r} is not an amount of memory, {EXAMPLES}")
    number, unit = re.findall(rf"[\d.]+|[{_UNITS}]", text)[:2]
    return int(float(number) * _STEP ** (_UNITS.index(unit) + 1))


def budget(text: str, *, whole: int | None) -> int:
    """Return an amount, or a share (`80%`) of the whole, in bytes.

    Raises:
        ValueError: It is none, or a share of something unknown (None).
    """
    if not re.match(BUDGET, text):
        raise ValueError(f"{text!r} is not an amount of memory, {EXAMPLES}, or a share such as 80%")
    if not text.strip().endswith("%"):
        return parse(text)
    if whole is None:
        raise ValueError(f"{text!r}: how much memory this machine has is not known; name an amount")
    return whole * int(text.strip().rstrip("% ")) // 100


def shown(amount: int) -> str:
    """Return an amount of bytes for people: `312 MiB`, `1.5 GiB`."""
    value = amount / _STEP
    for unit in _UNITS:
        if value < _STEP * 0.9995 or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{value:.{0 if value >= 99.5 or unit in 'KM' else 1}f} {unit}iB"  # noqa: PLR2004
