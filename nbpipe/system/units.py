"""Sizes, durations and counts as people write and read them. The only module that does either.

One grammar for each, wherever a text comes from: an option, a configuration, a profile.

- An amount of memory: `16G`, `512M`, `1.5TiB`, `16g`. As in systemd and Slurm, K, M, G and T stand
  for powers of 1024, with or without `i` and `B`, in capitals or not; a unit is always there. What
  is measured in files and outputs is in powers of 1000 (`megabytes`, `data`), as disks are.
- A duration: seconds (`90`, `1.5`), units (`90s`, `10m`, `4h`, `2d`, `1h30m`), or a clock
  (`2:00:00`, `1-12:00:00`). `1:30` is refused: it is minutes to some and hours to others.

Which amounts make sense is for the caller to say. Nothing here looks at a machine or a clock.
humanize is not used: it writes, in forms of its own, and reads nothing.
"""

from __future__ import annotations

import re

_UNITS = "KMGT"
_STEP = 1024
MIB = _STEP**2
SIZE = rf"^\s*(?=.*[1-9])[0-9]{{1,18}}(\.[0-9]{{1,18}})?\s*(?i:[{_UNITS}](?:i?B|i)?)\s*\Z"
"""An amount: above 0, always with its unit."""
BUDGET = rf"{SIZE}|^\s*(100|[1-9][0-9]?)\s*%\s*\Z"
"""An amount, or a share of the whole."""
EXAMPLES = "such as 16G, 512M or 1.5T"

MINUTE, HOUR, DAY = 60, 3_600, 86_400
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_PLAIN = re.compile(_NUMBER)
_CLOCK = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])")
_PARTS = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in "dhms"))
DURATIONS = "such as 90, 90s, 10m, 4h, 1h30m or 2:00:00"


def size(text: str) -> int:
    """Return an amount of memory in bytes.

    Raises:
        ValueError: The text is not an amount.
    """
    if not re.match(SIZE, text):
        raise ValueError(f"{text!r} is not an amount of memory, {EXAMPLES}")
    number, unit = re.findall(rf"[0-9.]+|[{_UNITS}]", text.upper())[:2]
    return max(1, int(float(number) * _STEP ** (_UNITS.index(unit) + 1)))


def budget(text: str, *, whole: int | None) -> int:
    """Return an amount, or a share (`80%`) of the whole, in bytes.

    Raises:
        ValueError: The text is neither, or a share of something unknown (None).
    """
    if not re.match(BUDGET, text):
        raise ValueError(f"{text!r} is not an amount of memory, {EXAMPLES}, or a share such as 80%")
    if not text.strip().endswith("%"):
        return size(text)
    if whole is None:
        raise ValueError(f"{text!r}: how much memory this machine has is not known; name an amount")
    return whole * int(text.strip().rstrip("% ")) // 100


def seconds(text: str) -> float:
    """Return a duration in seconds, above 0.

    Raises:
        ValueError: The text is not a duration.
    """
    if _PLAIN.fullmatch(text):
        found = float(text)
    else:
        matched = _CLOCK.fullmatch(text) or _PARTS.fullmatch(text)
        numbers = [float(number or 0) for number in matched.groups()] if matched else []
        found = sum(n * unit for n, unit in zip(numbers, (DAY, HOUR, MINUTE, 1), strict=False))
    if found <= 0:
        raise ValueError(f"{text!r} is not a duration, {DURATIONS}")
    return found


def is_bare(text: str) -> bool:
    """Return whether a duration does not say its unit: `90` does not, `90s` and `2:00:00` do."""
    return _PLAIN.fullmatch(text) is not None


def memory(amount: int) -> str:
    """Return an amount of memory for people: `312 MiB`, `1.5 GiB`."""
    value = amount / _STEP
    for unit in _UNITS:
        if value < _STEP * 0.9995 or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{value:.{0 if value >= 99.5 or unit in 'KM' else 1}f} {unit}iB"  # noqa: PLR2004


def asked(amount: int) -> str:
    """Return an amount of memory as a job asks for it: `125 GB`; powers of 1024, few digits."""
    for unit, exponent in (("TB", 4), ("GB", 3)):
        if amount >= _STEP**exponent:
            return f"{amount / _STEP**exponent:.4g} {unit}"
    return f"{amount / MIB:.4g} MB"


def data(amount: int) -> str:
    """Return the size of a file for people, in powers of 1000: `1.5 GB`, `12 B`."""
    for factor, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if amount >= factor:
            return f"{amount / factor:.1f} {unit}"
    return f"{amount} B"


def megabytes(amount: float) -> str:
    """Return a limit as the configuration has it, in 10^6 bytes: `100 MB`, `0.5 MB`."""
    return f"{amount / 1e6:g} MB"


def whole_megabytes(amount: int) -> str:
    """Return a size as so many whole 10^6 bytes: `100 MB`."""
    return f"{amount // 10**6} MB"


def duration(seconds: float) -> str:
    """Return a duration for people: `1.2 s`, `2 min 05 s`, `1 h 02 min`."""
    if round(seconds, 1) < MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"


def clock(seconds: int) -> str:
    """Return `H:MM:SS`, which Slurm, PBS and people read alike."""
    return f"{seconds // HOUR}:{seconds // MINUTE % 60:02}:{seconds % 60:02}"


def in_words(seconds: int) -> str:
    """Return `4 hours`, `90 minutes`, `2 days`: whole units only, else the clock's form."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1)):
        if seconds % length == 0 and (seconds >= 2 * length or seconds == length):
            many = seconds // length
            if unit in {"minute", "second"} and many >= 120:  # noqa: PLR2004
                break
            return f"{many} {unit}{'' if many == 1 else 's'}"
    return clock(seconds)


def ago(seconds: float) -> str:
    """Return how long ago something was, as people say it."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        many = int(seconds // length)
        if many >= 1:
            return f"{many} {unit}{'s' if many > 1 else ''} ago"
    return "just now"


def count(number: int, noun: str) -> str:
    """Return `1 notebook`, `1,200 notebooks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
