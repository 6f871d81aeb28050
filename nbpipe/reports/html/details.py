"""What the page of a run shows of a notebook once somebody opens it, as JSON for its script.

All text has been through `system.text` here; the script only ever sets it as text. What would make
the page of a large run slow to load is bounded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbpipe.model import Outcome
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import cause, error
from nbpipe.reports.past import before
from nbpipe.system.text import cut, first_line, plain, plain_name
from nbpipe.system.units import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nbpipe.model import Attempt, CellTime, Failure, Result

TRACEBACK_LIMIT = 20_000
"""Characters of one traceback."""
TRACEBACKS_LIMIT = 8_000_000
"""Characters of all tracebacks of a page together, about."""
SHORT_TRACEBACK = 1_000
"""Characters that each may have whatever the number of failures."""
FAILURES = 20
"""Of one notebook."""
CELLS = 30
"""Cells whose time is shown: of more, the slowest."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page knows beside the results."""

    rerun: Callable[[Result], str]
    pages: Mapping[str, str]
    """By an executed copy: where its page is."""
    figures: Mapping[str, str]
    """By an executed copy: where its picture is."""
    traceback: int = TRACEBACK_LIMIT
    """Characters of one traceback."""


def script(results: Iterable[Result], shown: Shown) -> str:
    """Return the JSON for all results in their order; it may stand in an element `script`."""
    environments: dict[tuple[tuple[str, str], ...], int] = {}
    runs: dict[str, int] = {}
    found = []
    for result in results:
        details = of(result, shown)
        if result.packages:
            packages = tuple(sorted(result.packages.items()))
            details["packages"] = environments.setdefault(packages, len(environments))
        if result.past is not None:
            details["earlier"] = [
                [runs.setdefault(each.run, len(runs)), each.outcome.value, round(each.seconds, 1)]
                for each in result.past.earlier
            ]
        found.append({key: value for key, value in details.items() if value not in (None, [], "")})
    told = [
        [[plain_name(name), plain_name(version)] for name, version in packages]
        for packages in environments
    ]
    names = [plain_name(each) for each in runs]
    return embedded({"results": found, "environments": told, "runs": names})


def table(results: Iterable[Result], *, known: bool) -> str:
    """Return the JSON of what the columns of the table are sorted by, for each result.

    Args:
        results: In their order.
        known: Whether there are the columns of earlier runs.
    """
    return embedded([_columns(each, known=known) for each in results])


def _columns(result: Result, *, known: bool) -> list[Any]:
    past = result.past
    before = [round(past.seconds or 0, 3), past.flakiness] if past else [0, 0]
    why = result.reason or (error(result.failure) if result.failure else "")
    return [
        result.outcome.value,
        plain_name(result.path),
        result.cells_executed,
        round(result.seconds, 3),
        *(before if known else ()),
        plain_name(result.kernel),
        first_line(why),
    ]


def embedded(value: object) -> str:
    """Return the JSON of a value as it may stand in an element `script`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def of(result: Result, shown: Shown) -> dict[str, Any]:
    """Return what there is to say of one result."""
    known = before(result)
    return {
        "cause": cause(result.failure) if result.failure else "",
        "failures": [] if result.retried else _failures(result, result, shown.traceback),
        "cells": cells(result.cell_times),
        "changed": changed(result),
        "passed": plain_name(result.past.passed) if result.past else "",
        "before": known and f"It {known}.",
        "attempts": [_attempt(result, each, shown) for each in result.retried],
        "page": shown.pages.get(result.executed or ""),
        "figure": shown.figures.get(result.executed or ""),
        "notes": [first_line(note) for note in dict.fromkeys(result.notes)],
        "memory": memory(result.memory) if result.memory else "",
        "rerun": shown.rerun(result) if result.outcome is not Outcome.PASSED else "",
    }


def _failures(result: Result, each: Result | Attempt, limit: int) -> list[dict[str, Any]]:
    return [failure(result.cell_times, one, limit) for one in each.failures[:FAILURES]]


def _attempt(result: Result, attempt: Attempt, shown: Shown) -> dict[str, Any]:
    return {
        "outcome": attempt.outcome.value,
        "seconds": round(attempt.seconds, 2),
        "chosen": attempt.failures == result.failures,
        "failures": _failures(result, attempt, shown.traceback),
        "page": shown.pages.get(attempt.executed or ""),
    }


def failure(times: Iterable[CellTime], each: Failure, limit: int) -> dict[str, Any]:
    """Return what there is to say of one failure."""
    return {
        "where": place(times, each),
        "error": error(each),
        "lines": [
            [line.number, line.text, line.failing] for line in excerpt(each.source, each.traceback)
        ],
        "traceback": traceback(each, limit),
    }


def place(times: Iterable[CellTime], each: Failure) -> str:
    """Return which cell failed: its index in the file, and its prompt in the executed copy."""
    if each.cell is None:
        return "outside of its cells"
    number = next((time.number for time in times if time.cell == each.cell), None)
    return f"cells[{each.cell}]" + ("" if number is None else f", In [{number}]")


def traceback(each: Failure, limit: int = TRACEBACK_LIMIT) -> str:
    """Return the traceback as plain text; the error itself where there is none."""
    return cut(plain(each.traceback).strip("\n") or error(each), limit)


def traceback_limit(results: Iterable[Result]) -> int:
    """Return how long each traceback may be, so that all together are not too much."""
    tried = (each for result in results for each in (result.retried or (result,)))
    number = sum(len(each.failures[:FAILURES]) for each in tried)
    share = TRACEBACKS_LIMIT // max(number, 1)
    return min(TRACEBACK_LIMIT, max(SHORT_TRACEBACK, share))


def cells(times: Iterable[CellTime]) -> list[list[Any]]:
    """Return index, prompt and seconds of each cell, in order; if too many, of the slowest."""
    known = list(times)
    if len(known) > CELLS:
        slowest = sorted(range(len(known)), key=lambda index: -known[index].seconds)[:CELLS]
        known = [known[index] for index in sorted(slowest)]
    return [[each.cell, each.number, round(each.seconds, 2)] for each in known]


def changed(result: Result) -> list[list[str]]:
    """Return each package with another version than at the last pass: name, then, now.

    A package that was not imported this time is left out: a notebook that fails imports less.
    """
    past = result.past
    if past is None or not past.packages:
        return []
    return [
        [plain_name(name), plain_name(past.packages[name]), plain_name(now)]
        for name, now in sorted(result.packages.items())
        if past.packages.get(name, now) != now
    ]
