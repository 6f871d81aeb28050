"""Draw what was measured: for each workload wall and CPU seconds of each tool, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from results import Series
    from workloads import Workload

_OURS, _PEERS, _PALER = "#1a5fb4", "#77767b", 0.45
_ROW_INCHES, _WIDTH_INCHES = 0.3, 9


def draw(
    measured: Mapping[str, list[Series]], workloads: Mapping[str, Workload], file: Path
) -> None:
    """Write a chart; its kind is the file's suffix."""
    heights = [len(series) + 2 for series in measured.values()]
    figure = Figure((_WIDTH_INCHES, _ROW_INCHES * sum(heights)), layout="constrained")
    rows = figure.subplots(len(measured), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, series) in zip(rows, measured.items(), strict=True):
        axes.set_title(f"{name}: {workloads[name].title}", fontsize=10, loc="left")
        _bars(axes, series)
    rows[-1].set_xlabel("seconds, median: wall (full), CPU of all processes (pale)")
    figure.savefig(file)


def _bars(axes: Axes, series: list[Series]) -> None:
    for place, each in enumerate(series):
        median = each.median
        if median is None:
            axes.text(0, place, " cannot do it", va="center", fontsize=8)
            continue
        colour = _OURS if each.tool.startswith("nbpipe") else _PEERS
        axes.barh(place - 0.2, median.wall, 0.36, color=colour)
        axes.barh(place + 0.2, median.cpu, 0.36, color=colour, alpha=_PALER)
        axes.text(median.wall, place - 0.2, f" {median.wall:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(series)), [each.tool for each in series], fontsize=8)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
