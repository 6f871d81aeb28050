"""The past of a collection and of one notebook: lines for people, values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbpipe.history.statistics import STRIP_LEGEND, statistics
from nbpipe.system.text import first_line, plain_name
from nbpipe.system.units import duration
from nbpipe.system.units import memory as in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.history.records import PastResult, PastRun

_STRIP = 30
"""Outcomes that a line has room for."""


def notebook_lines(path: str, results: list[PastResult]) -> list[str]:
    """Return how a notebook did over time, then each of its results."""
    lines = [plain_name(path), f"  {_line(results)}", f"  {STRIP_LEGEND}"]
    for each in results:
        failure = each.failures[0] if each.failures else None
        why = f"{failure.category}: {failure.signature}" if failure else each.reason or ""
        memory = "" if each.memory is None else in_memory(each.memory)
        line = f"  {each.run:22}  {each.outcome:7}  {duration(each.seconds):>10}  {memory:>9}  "
        lines.append((line + first_line(why, 100)).rstrip())
    return lines


def notebook_document(path: str, results: list[PastResult]) -> dict[str, Any]:
    """Return the same for programs."""
    return {"path": path, **_statistics(results), "results": [_result(each) for each in results]}


def overview_lines(
    runs: Sequence[PastRun], by_path: Mapping[str, list[PastResult]], *, every: bool
) -> list[str]:
    """Return the runs, then the notebooks that need a look, or all of them.

    Args:
        runs: The newest first.
        by_path: Their results of each notebook.
        every: Whether steady notebooks are listed as well.
    """
    counts = {run.id: dict.fromkeys(("passed", "failed", "flaky", "skipped"), 0) for run in runs}
    for found in by_path.values():
        for each in found:
            counts[each.run][str(each.outcome)] += 1
    lines = [f"{run.id:22}  {_end(run):>12}  {_counted(counts[run.id])}" for run in runs]
    shown = {path: found for path, found in by_path.items() if every or _is_unsteady(found)}
    if shown:
        lines += ["", STRIP_LEGEND]
    for path, found in sorted(shown.items()):
        lines += [f"  {plain_name(path)}", f"    {_line(found)}"]
    return lines


def overview_document(
    runs: Sequence[PastRun], by_path: Mapping[str, list[PastResult]]
) -> dict[str, Any]:
    """Return the same for programs, with every notebook."""
    notebooks = [{"path": path, **_statistics(found)} for path, found in by_path.items()]
    return {"runs": [_run(run) for run in runs], "notebooks": notebooks}


def _is_unsteady(results: list[PastResult]) -> bool:
    """Tell whether a notebook needs a look: it failed last, or its outcome changes."""
    return results[0].outcome == "failed" or statistics(results).flakiness > 0


def _line(results: list[PastResult]) -> str:
    numbers = statistics(results)
    parts = [numbers.strip[-_STRIP:], f"flakiness {numbers.flakiness:.0%}"]
    if numbers.median_seconds is not None and numbers.last_seconds is not None:
        median, last = duration(numbers.median_seconds), duration(numbers.last_seconds)
        parts += [f"median {median}", f"last {last}"]
    if numbers.last_memory is not None:
        parts.append(f"memory {in_memory(numbers.last_memory)}")
    return "   ".join(parts)


def _end(run: PastRun) -> str:
    if run.interrupted:
        return "interrupted"
    return "no end" if run.seconds is None else duration(run.seconds)


def _counted(counts: dict[str, int]) -> str:
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items() if number)
    return told or "no results"


def _statistics(results: list[PastResult]) -> dict[str, Any]:
    numbers = statistics(results)
    return {
        "runs": numbers.runs,
        "strip": numbers.strip,
        "flakiness": round(numbers.flakiness, 4),
        "median_seconds": numbers.median_seconds,
        "last_seconds": numbers.last_seconds,
        "last_memory": numbers.last_memory,
    }


def _result(result: PastResult) -> dict[str, Any]:
    failure = result.failures[0] if result.failures else None
    return {
        "run": result.run,
        "started": f"{result.started:%Y-%m-%dT%H:%M:%SZ}",
        "outcome": result.outcome,
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
        "memory": result.memory,
        "category": failure and failure.category,
        "signature": failure and failure.signature,
    }


def _run(run: PastRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "started": f"{run.started:%Y-%m-%dT%H:%M:%SZ}",
        "seconds": run.seconds,
        "interrupted": run.interrupted,
        "commit": run.commit,
        "host": run.host,
    }
