"""What stands beside the prompt of a code cell: its index, where it comes from, its time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbformat import NotebookNode

KEY = "nbpipe-shown"
"""Of a cell's metadata: read by the template."""
SHOWN_SECONDS = 0.1
"""A cell that took less has no time of its own on the page."""
_ORIGINS = {
    "injected-prerun": "code that ran first, not in the source",
    "injected-parameters": "parameters of this run, not in the source",
    "parameters": "default parameters",
}


def add(notebook: NotebookNode, seconds: Mapping[int, float]) -> None:
    """Write the labels of all cells into their metadata.

    Args:
        notebook: An executed copy.
        seconds: By the index of a cell in the source, which has no injected ones.
    """
    place = 0
    shown: list[tuple[float, dict[str, Any]]] = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        tags = tags if isinstance(tags, list) else []
        origin = next((_ORIGINS[each] for each in _ORIGINS if each in tags), "")
        injected = any(each in tags for each in ("injected-prerun", "injected-parameters"))
        took = _recorded(cell) if injected else seconds.get(place, _recorded(cell))
        facts: dict[str, Any] = {
            "place": None if injected else place,
            "origin": origin,
            "seconds": duration(took) if took >= SHOWN_SECONDS else "",
            "slowest": False,
        }
        place += not injected
        shown.append((took, facts))
    slowest = max(shown, key=lambda each: each[0], default=(0.0, {}))
    timed = [took for took, facts in shown if facts["seconds"]]
    if len(timed) > 1:
        slowest[1]["slowest"] = True
    for cell, (_, facts) in zip(notebook.cells, shown, strict=True):
        cell.metadata[KEY] = facts


def _recorded(cell: NotebookNode) -> float:
    """Return what Jupyter recorded of a cell's execution, in seconds; 0 where it did not."""
    times = cell.metadata.get("execution")
    if not isinstance(times, dict):
        return 0.0
    try:
        begin = datetime.fromisoformat(times["iopub.execute_input"])
        end = datetime.fromisoformat(times["shell.execute_reply"])
        return max((end - begin).total_seconds(), 0.0)
    except (KeyError, TypeError, ValueError):
        return 0.0
