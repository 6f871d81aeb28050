"""One past run: lines for people, values for programs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

from nbpipe.system.text import plain, plain_name
from nbpipe.system.units import count, duration
from nbpipe.system.units import memory as in_memory

if TYPE_CHECKING:
    from nbpipe.history.records import PastResult, PastRun

_TRACEBACK_LINES = 12
_OUTCOMES = ("passed", "failed", "flaky", "skipped")


def lines(run: PastRun, results: list[PastResult]) -> list[str]:
    """Return the run with its failures, and what has no result."""
    found = [
        f"run {run.id} of {run.started:%Y-%m-%d %H:%M:%S} UTC on {plain_name(run.host)}",
        f"  root     {plain_name(run.root)}",
        f"  commit   {run.commit or 'none'}",
        f"  nbpipe   {run.version}, Python {run.python}, {count(run.jobs, 'job')}",
        f"  copies   {plain_name(run.output_dir)}",
    ]
    measured = [each for each in results if each.memory is not None]
    if measured:
        most = max(measured, key=lambda each: each.memory or 0)
        found.append(
            f"  memory   at most {in_memory(most.memory or 0)}, by {plain_name(most.path)}"
        )
    for result in results:
        if result.complete and result.failures:
            found += _failure(result)
    missing = [each for each in results if not each.complete]
    if missing:
        found += ["", f"{count(len(missing), 'notebook')} without a result (--resume {run.id}):"]
        for each in missing:
            reason = f"  {plain(each.reason)}" if each.reason else ""
            found.append(f"  {plain_name(each.path)}{reason}")
    return [*found, "", _totals(run, results)]


def document(run: PastRun, results: list[PastResult]) -> dict[str, Any]:
    """Return a run for programs: the JSON report's words, where it has the same things."""
    told = dataclasses.asdict(run) | {"started": f"{run.started:%Y-%m-%dT%H:%M:%SZ}"}
    counts = Counter(each.outcome for each in results if each.complete)
    return {
        "format": 1,
        "run": told,
        "summary": {
            "total": len(results),
            **{outcome: counts[outcome] for outcome in _OUTCOMES},
            "missing": sum(not each.complete for each in results),
        },
        "notebooks": [_notebook(each) for each in results],
    }


def _notebook(result: PastResult) -> dict[str, Any]:
    failures = [dataclasses.asdict(failure) for failure in result.failures]
    return {
        "path": result.path,
        "outcome": result.outcome,
        "complete": result.complete,
        "reason": result.reason,
        "kernel": result.kernel,
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "memory": result.memory,
        "failure": failures[0] if failures else None,
        "failures": failures,
    }


def _failure(result: PastResult) -> list[str]:
    lines = ["", f"{str(result.outcome).upper()}  {plain_name(result.path)}  ({result.kernel})"]
    for failure in result.failures:
        where = "outside of its cells" if failure.cell is None else f"in cells[{failure.cell}]"
        lines.append(f"  {failure.category} {where}: {plain(failure.signature)}")
        text = failure.traceback.strip() or failure.message
        shown = plain(text).strip("\n").split("\n")[-_TRACEBACK_LINES:]
        lines += [f"    | {line}" for line in shown]
    return lines


def _totals(run: PastRun, results: list[PastResult]) -> str:
    counts = Counter(each.outcome for each in results if each.complete)
    told = [f"{counts[outcome]:,} {outcome}" for outcome in _OUTCOMES if counts[outcome]]
    took = "its end was not recorded" if run.seconds is None else f"in {duration(run.seconds)}"
    start = "interrupted: " if run.interrupted else ""
    return f"{start}{', '.join(told) or 'no results'} {took}"
