"""How names, numbers and verdicts are written on a page: plain, harmless text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nbpipe.reference.comparison.model import FAILING, Verdict
from nbpipe.system import units
from nbpipe.system.text import encodable, plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from nbpipe.reference.comparison.kept import KeptVerdict
    from nbpipe.reference.comparison.model import Comparison, RunSide

Tone = Literal["bad", "warn", "good", ""]

GONE = "-"


def kept_line(kept: KeptVerdict) -> str:
    """Return a kept verdict with what it was compared with, when, and what has changed since."""
    revision = f" (revision {kept.revision})" if (kept.revision or 1) > 1 else ""
    outdated = f"; outdated: {kept.outdated}" if kept.outdated else ""
    return text(
        f"compared with {kept.against}{revision}, {moment(kept.when)}: {kept.verdict}{outdated}"
    )


def tone(verdict: Verdict) -> Tone:
    """Return how a verdict looks."""
    if verdict in FAILING:
        return "bad"
    if verdict in {Verdict.EXPECTED, Verdict.NOT_COMPARABLE}:
        return "warn"
    return "good"


def title(comparison: Comparison) -> str:
    """Return the page's title."""
    return text(f"{comparison.name}: {label(comparison.new)} against {label(comparison.reference)}")


def label(side: RunSide) -> str:
    """Return what a run is called: its release, else its id."""
    return side.release or side.run


def text(value: str) -> str:
    """Return text from a file as one harmless line."""
    return encodable(plain_name(value))


def number(value: float | None) -> str:
    """Return a number for people."""
    return GONE if value is None else f"{value:.4g}"


def moment(value: str) -> str:
    """Return a time of a record (ISO 8601, UTC) for people."""
    return text(f"{value[:16].replace('T', ' ')} UTC" if "T" in value else value)


def amount(value: float | None, unit: str) -> str:
    """Return a measure with its unit for people."""
    if value is None:
        return GONE
    if unit == "s":
        return duration(value)
    if unit == "bytes":
        return size(int(value))
    return f"{value:.3g}"


def size(value: int | None) -> str:
    """Return a number of bytes for people."""
    return GONE if value is None else units.data(value)
