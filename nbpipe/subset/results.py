"""What the results of earlier runs leave of a plan: `--lf`, `--ff` and `--resume`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from nbpipe import history, worktree
from nbpipe.history import HistoryError, NoHistory
from nbpipe.history.records import storable
from nbpipe.model import Excluded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from nbpipe.config.settings import HistorySettings
    from nbpipe.history import History, PastRun
    from nbpipe.history.records import Last, PastResult
    from nbpipe.model import Plan, Task

_KNOWN_RUNS = 500
_COMMITS = 20
"""Maximum number of earlier commits for which git is asked about renames."""


def resumed(plan: Plan, past: History, name: str, *, say: Callable[[str], None]) -> Plan:
    """Return the plan with only what an earlier run did not get to (`--resume`).

    Raises:
        HistoryError: No run of that name is known.
    """
    try:
        run = past.run(name)
    except NoHistory:
        raise
    except HistoryError as error:
        error.hint += f" `--resume={history.LATEST} PATTERN` resumes a part of it."
        raise
    results = past.results(run)
    then = _renamed(plan, {result.path: run.commit for result in results})
    now = {storable(old): storable(new) for new, old in then.items()}
    results = [replace(each, path=now.get(each.path, each.path)) for each in results]
    done = sum(result.complete for result in results)
    failed = sum(result.outcome == "failed" for result in results)
    say(
        f"resuming run {run.id}: {done} of its {len(results)} notebooks have their result"
        f" ({failed} failed)"
    )
    return keep_missing(plan, run.id, results)


def resumed_run(settings: HistorySettings, plan: Plan, name: str) -> tuple[PastRun, bool]:
    """Return the run that `--resume` names, and whether the plan leaves out what it did not run.

    Raises:
        HistoryError: The history cannot be read, or does not know it.
    """
    with history.open_history(settings, plan.root) as past:
        run = past.run(name)
        wanted = {storable(task.path) for task in plan.tasks}
        results = past.results(run)
    return run, any(not each.complete and each.path not in wanted for each in results)


def by_failure(plan: Plan, past: History, *, flaky: str, last_failed: bool) -> Plan:
    """Return the plan with what failed last time first, or alone.

    Args:
        plan: The whole one.
        past: What is known.
        flaky: The setting of that name.
        last_failed: Keep nothing else.

    Raises:
        HistoryError: `last_failed`, and no result of any of the notebooks is known.
    """
    failing = history.failing_outcomes(flaky=flaky)
    last = past.last()
    commits = {run.id: run.commit for run in past.runs(_KNOWN_RUNS)}
    then = _renamed(plan, {path: commits.get(known.run) for path, known in last.items()})
    last = with_former_names(last, then)
    if not last_failed:
        return failed_first(plan, last, failing=failing)
    if plan.tasks and not any(storable(task.path) in last for task in plan.tasks):
        raise HistoryError(
            f"{past.where}: no result of any notebook that was chosen is known",
            hint="Run them once without --lf.",
        )
    return keep_failed(plan, last, failing=failing)


def _renamed(plan: Plan, known: Mapping[str, str | None]) -> dict[str, str]:
    """Return the former path of each notebook that is known only by that: path now -> then.

    Args:
        plan: The notebooks.
        known: The paths that the history knows, each with the commit at which it ran last.
    """
    paths = {storable(task.path): task.path for task in plan.tasks}
    unknown = {path for path in paths if path not in known}
    gone = {path: commit for path, commit in known.items() if path not in paths and commit}
    found: dict[str, str] = {}
    if not unknown:
        return found
    for commit in [*dict.fromkeys(gone.values())][:_COMMITS]:
        with suppress(OSError, SubprocessError):  # of a history that was rewritten since
            for now, old in worktree.renames(plan.root, commit or "").items():
                if storable(now) in unknown and gone.get(storable(old)) == commit:
                    found.setdefault(now, old)
    return found


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


def _without(plan: Plan, reason: Callable[[Task], str | None]) -> Plan:
    """Return the plan without the tasks for which there is a reason."""
    reasons = [reason(task) for task in plan.tasks]
    pairs = list(zip(plan.tasks, reasons, strict=True))
    out = tuple(Excluded(path=task.path, reason=why) for task, why in pairs if why is not None)
    kept = tuple(task for task, why in pairs if why is None)
    return replace(plan, tasks=kept, excluded=(*plan.excluded, *out))
