"""What was measured, and what is made of it: medians, ratios, tables, the figures asked for.

Values in, values and text out; nothing is run or read here.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Measure:
    """What one run cost."""

    wall: float
    """Seconds."""
    cpu: float
    """User and system seconds of all processes."""
    peak: int
    """Bytes of all processes together."""
    left: int = 0
    """Processes that still ran afterwards."""
    how: str = "cgroup"
    """Who counted `cpu`; see `meter`."""
    problem: str = ""
    """Why it does not count; empty where it does."""


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of one tool on one workload."""

    tool: str
    runs: list[Measure] = field(default_factory=list)
    note: str = ""

    @property
    def counted(self) -> list[Measure]:
        """The runs that did the work."""
        return [run for run in self.runs if not run.problem]

    @property
    def median(self) -> Measure | None:
        """The medians of wall and CPU, the largest peak; None where no run counts."""
        if not self.counted:
            return None
        return Measure(
            statistics.median(run.wall for run in self.counted),
            statistics.median(run.cpu for run in self.counted),
            max(run.peak for run in self.counted),
            max(run.left for run in self.counted),
            self.counted[0].how,
        )

    @property
    def remark(self) -> str:
        """What is to be known beside the figures."""
        problems = [run.problem for run in self.runs if run.problem]
        remarks = [self.note] if self.note else []
        if problems:
            remarks.append(f"{len(problems)} of {len(self.runs)} runs do not count: {problems[-1]}")
        if any(run.left for run in self.runs):
            remarks.append(f"left {max(run.left for run in self.runs)} processes behind")
        return "; ".join(remarks)


def table(series: list[Series]) -> str:
    """Return a Markdown table with remarks below it.

    Ratios are to the first tool, `from-to` is of the wall time.
    """
    head = ["tool", "wall s", "from-to", "ratio", "CPU s", "ratio", "peak MiB"]
    rows = [head, *(_row(each, series[0].median) for each in series)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in (head, rule, *rows[1:])]
    remarks = [f"- {each.tool}: {each.remark}" for each in series if each.remark]
    return "\n".join([*lines, *([""] if remarks else []), *remarks])


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]


def _row(series: Series, base: Measure | None) -> list[str]:
    median = series.median
    if median is None:
        return [series.tool, *["-"] * 6]
    walls = [run.wall for run in series.counted]
    return [
        series.tool,
        f"{median.wall:.2f}",
        f"{min(walls):.2f}-{max(walls):.2f}",
        f"{median.wall / base.wall:.2f}" if base else "-",
        f"{median.cpu:.2f}",
        f"{median.cpu / base.cpu:.2f}" if base else "-",
        f"{median.peak / 2**20:.0f}",
    ]


def difference(runs: Mapping[str, Mapping[str, object]]) -> str:
    """Return which notebook's outputs differ between two runs, and which runs; or nothing.

    Args:
        runs: By a run's name, what each notebook put out.
    """
    (first, expected), *others = runs.items()
    for name, found in others:
        for notebook in sorted(expected.keys() | found.keys()):
            if expected.get(notebook) != found.get(notebook):
                return f"{notebook} ({first}; {name})"
    return ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of medians that is asked for: `over` to `under`, at least or at most `value`."""

    workload: str
    figure: str
    over: str
    under: str
    value: float
    at_least: bool = True

    def verdict(self, series: list[Series], bound: float | None) -> str | None:
        """Return a line about it; None where something was not measured."""
        over, under = (self._seconds(name, series, bound) for name in (self.over, self.under))
        if over is None or under is None:
            return None
        ratio = over / under
        good = ratio >= self.value if self.at_least else ratio <= self.value
        return (
            f"{'reached' if good else 'MISSED'}: {self.figure} of {self.over} / {self.under} ="
            f" {ratio:.2f}, {'at least' if self.at_least else 'at most'} {self.value:g} asked for"
        )

    def _seconds(self, name: str, series: list[Series], bound: float | None) -> float | None:
        if name == BOUND:
            return bound
        wanted = [each for each in series if each.tool == name or (name == BEST and _real(each))]
        found = [getattr(each.median, self.figure) for each in wanted if each.median is not None]
        return min(found, default=None)


BOUND = "the lower bound"
BEST = "the best peer with kernels"
FLOOR = "nbdev-test"
OURS = "nbpipe"


def _real(series: Series) -> bool:
    return series.tool != FLOOR and not series.tool.startswith(OURS)


GOALS = (
    Goal("W1", "wall", "nbmake -n2", OURS, 10),
    Goal("W1", "cpu", "nbmake -n2", OURS, 8),
    Goal("W1", "wall", OURS, FLOOR, 2, at_least=False),
    Goal("W2", "wall", "nbmake -n2", OURS, 2.5),
    Goal("W2", "cpu", "nbmake -n2", OURS, 2),
    Goal("W2", "wall", "nbmake -n2", "nbpipe --preload", 5),
    Goal("W2", "cpu", "nbmake -n2", "nbpipe --preload", 4),
    Goal("W3", "wall", OURS, BOUND, 1.05, at_least=False),
    Goal("W4", "wall", OURS, BEST, 1, at_least=False),
    Goal("W5", "wall", OURS, BEST, 1, at_least=False),
)
