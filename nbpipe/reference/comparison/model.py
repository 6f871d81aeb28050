"""What a comparison says: the words of every page about it. Plain values, nothing decides here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

FORMAT = 1


class Verdict(StrEnum):
    """What became of a file, a column or a measure; a fixed vocabulary."""

    SAME = "same"
    WITHIN = "within tolerance"
    DIFFERENT = "different"
    MISSING = "missing"
    NEW = "new"
    RENAMED = "renamed"
    SCHEMA_CHANGED = "schema changed"
    EXPECTED = "expected failure"
    UNEXPECTED = "unexpected pass"
    NOT_COMPARABLE = "not comparable"


FAILING = frozenset(
    {
        *(Verdict.DIFFERENT, Verdict.MISSING, Verdict.NEW, Verdict.RENAMED),
        *(Verdict.SCHEMA_CHANGED, Verdict.UNEXPECTED),
    }
)
"""Verdicts that make a run different from its reference."""

Level = Literal["presence", "content", "schema", "statistics", "data"]
"""How deep two files were compared; `content`: their bytes are the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """What counts as the same: `|new - reference| <= absolute + relative * |reference|`."""

    absolute: float = 0.0
    relative: float = 0.0
    allowed: float = 0.0
    """The share of a column's values that may be beyond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worst:
    """One of the values that are farthest beyond the tolerance."""

    row: str
    """The keys of the row, or its number (0-based), and the element's of a vector."""
    reference: str
    new: str
    difference: float | None = None
    """None where one of the two is no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnDifference:
    """How a column differs."""

    part: str
    column: str
    verdict: Verdict
    level: Literal["statistics", "data"]
    tolerance: Tolerance
    unit: str | None = None
    compared: int = 0
    """Values that were compared."""
    differing: int = 0
    """Values that are not equal."""
    beyond: int = 0
    """Values beyond the tolerance; those that came, went or are not finite count."""
    beyond_10: int = 0
    """Beyond 10 times the tolerance."""
    beyond_100: int = 0
    changed_kind: int = 0
    """Values that are null, NaN or infinite on one side only."""
    max: float | None = None
    """Of the sizes of the differences, over all values that are equal or finite on both sides."""
    mean: float | None = None
    rms: float | None = None
    excess: float | None = None
    """The largest difference in units of the tolerance; None where that is 0."""
    worst: tuple[Worst, ...] = ()
    histogram: dict[str, int] = field(default_factory=dict)
    """n -> how many differences are at least 2**n and less than 2**(n+1)."""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaChange:
    """Something about the structure of a file that is other than before."""

    part: str
    what: str
    """In words: `column Z: float64 became float32`."""
    breaking: bool
    """Who reads the file as before may fail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeywordChange:
    """A header keyword or attribute that is other than before."""

    part: str
    keyword: str
    reference: str
    """`(absent)` where it came."""
    new: str
    verdict: Verdict = Verdict.DIFFERENT
    """`within tolerance` for numbers that are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowChange:
    """Rows of a table that came or went."""

    part: str
    reference: int
    new: int
    only_reference: int = 0
    only_new: int = 0
    examples: tuple[str, ...] = ()
    """Some keys, each with where it is."""
    reordered: bool = False
    """The same rows in another order: no difference where keys name them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileComparison:
    """What became of one output."""

    path: str
    verdict: Verdict
    kind: str = ""
    level: Level = "presence"
    renamed_from: str | None = None
    bytes_reference: int | None = None
    bytes_new: int | None = None
    schema: tuple[SchemaChange, ...] = ()
    keywords: tuple[KeywordChange, ...] = ()
    rows: tuple[RowChange, ...] = ()
    columns: tuple[ColumnDifference, ...] = ()
    """Those that are not the same, the worst first."""
    compared_columns: int = 0
    uncompared: tuple[str, ...] = ()
    """What of it has no reader, with the reason: with it, bytes that differ are a difference."""
    reason: str = ""
    """Why it is expected, or not comparable."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A figure of the run's performance against the reference's."""

    name: str
    """`wall`, `core-hours`, `cpu`, `memory`, `queue`, or `cell 3`."""
    title: str = ""
    unit: str
    reference: float | None
    new: float | None
    ratio: float | None = None
    verdict: Verdict
    bound: str = ""
    """What was allowed, in words; empty where nothing is bounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A package's version, a parameter or an environment's value that changed."""

    name: str
    reference: str | None
    new: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSide:
    """One of the two runs."""

    run: str
    release: str | None
    revision: int | None = None
    """Of the release; None of a run that is none."""
    manifest: str | None = None
    """SHA-256 of its manifest: whether it is still what was compared."""
    created: str
    system: str
    host: str
    commit: str | None
    notebook: str
    executed: str | None
    log: str | None
    folder: str | None = None
    """Where its files are; None where they are gone."""
    states: tuple[str, ...] = ()
    """Jobs that did not complete: `2: TIMEOUT`."""
    accepted: tuple[str, ...] = ()
    """Differences that were accepted into it, with their reasons."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrendPoint:
    """One release, or the new run, in the trend."""

    label: str
    created: str
    system: str
    wall_seconds: float | None
    core_hours: float | None
    peak_memory_bytes: int | None
    new: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """When a comparison was made, and by which rules."""

    when: str
    """ISO 8601, UTC."""
    configuration: str | None
    """The file whose `[reference.NAME]` holds the rules; None: everything was compared exactly."""
    rules: dict[str, Any]
    """These settings, as the file has them and with their defaults."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A run against a reference."""

    format: int = FORMAT
    name: str
    today: str
    """ISO 8601: the day by which expectations were judged."""
    verdict: Verdict
    exit_code: int
    """0: the same, or within tolerance; 1: different, or not comparable."""
    summary: str
    """The verdict in one sentence."""
    reference: RunSide
    new: RunSide
    packages: tuple[Change, ...] = ()
    parameters: tuple[Change, ...] = ()
    files: tuple[FileComparison, ...] = ()
    performance: tuple[Measure, ...] = ()
    trend: tuple[TrendPoint, ...] = ()
    notes: tuple[str, ...] = ()
    made: Made | None = None
    """None where only values in memory were compared."""

    def count(self, verdict: Verdict) -> int:
        """Return how many files have that verdict."""
        return sum(each.verdict is verdict for each in self.files)


def shown(value: Any) -> str:  # noqa: ANN401  (a keyword, parameter or cell)
    """Return a value as pages show it: text as it is, numbers with all their digits."""
    return value if isinstance(value, str) else repr(value)
