"""A plan and what is known from earlier -> which of it runs, and in which order. No database."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.history.access import storable
from nbpipe.model import Excluded, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from nbpipe.history.records import Last, PastResult
    from nbpipe.model import Plan, Task


def keep_failed(plan: Plan, last: Mapping[str, Last], *, failing: Collection[str]) -> Plan:
    """Return the plan with only what failed the last time that it was executed (`--lf`).

    Args:
        plan: The whole one.
        last: What is known about each notebook.
        failing: Outcomes that count as a failure.
    """

    def reason(task: Task) -> str | None:
        known = last.get(storable(task.path))
        if known is None:
            return "deselected by --lf: no result of it is known"
        if known.outcome in failing:
            return None
        return f"deselected by --lf: {known.outcome} in run {known.run}"

    return _without(plan, reason)


def with_former_names(last: Mapping[str, Last], then: Mapping[str, str]) -> dict[str, Last]:
    """Return what is known of notebooks, also under the names that they have now.

    Args:
        last: What is known about each notebook, by its path at that time.
        then: The path now -> the path at that time.
    """
    renamed = {
        storable(now): last[storable(old)] for now, old in then.items() if storable(old) in last
    }
    return {**renamed, **last}


def keep_missing(plan: Plan, run: str, results: Iterable[PastResult]) -> Plan:
    """Return the plan with only what a run planned and did not get to the end of (`--resume`)."""
    known = {result.path: result for result in results}

    def reason(task: Task) -> str | None:
        result = known.get(storable(task.path))
        if result is None:
            return f"deselected by --resume: not in the plan of run {run}"
        if result.complete:
            return f"deselected by --resume: {result.outcome} in run {run}"
        return None

    return _without(plan, reason)


def failed_first(plan: Plan, last: Mapping[str, Last], *, failing: Collection[str]) -> Plan:
    """Return the plan with those first that failed the last time (`--ff`); each says so."""
    first, others = [], []
    for task in plan.tasks:
        known = last.get(storable(task.path))
        if known is not None and known.outcome in failing:
            first.append(replace(task, turn=f"first by --ff: {known.outcome} in run {known.run}"))
        else:
            others.append(task)
    return replace(plan, tasks=(*first, *others))


def start_order(tasks: tuple[Task, ...], last: Mapping[str, Last]) -> tuple[Task, ...]:
    """Return the tasks in the order in which to start them.

    Those of `--ff` first; then those of which nothing is known, as one of them may be long; then
    the longest. What is equal keeps the order of the plan. Each that does not say itself how much
    memory it needs needs what it took the last time.
    """

    def key(task: Task) -> tuple[bool, bool, float]:
        known = last.get(storable(task.path))
        return (not task.turn, known is not None, -known.seconds if known else 0.0)

    return tuple(_expecting(task, last) for task in sorted(tasks, key=key))


def _expecting(task: Task, last: Mapping[str, Last]) -> Task:
    known = last.get(storable(task.path))
    if task.memory is not None or known is None or known.memory is None:
        return task
    return replace(task, memory=known.memory)


def failing_outcomes(*, flaky: str) -> frozenset[str]:
    """Return the outcomes that count as a failure; `flaky` is the setting of that name."""
    failed = {Outcome.FAILED.value}
    return frozenset(failed | {Outcome.FLAKY.value} if flaky == "fail" else failed)


def _without(plan: Plan, reason: Callable[[Task], str | None]) -> Plan:
    """Return the plan without the tasks for which there is a reason."""
    reasons = [reason(task) for task in plan.tasks]
    pairs = list(zip(plan.tasks, reasons, strict=True))
    out = tuple(Excluded(path=task.path, reason=why) for task, why in pairs if why is not None)
    kept = tuple(task for task, why in pairs if why is None)
    return replace(plan, tasks=kept, excluded=(*plan.excluded, *out))
