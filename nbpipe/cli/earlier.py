"""What earlier runs have to say about a new one: `--lf`, `--ff`, `--resume`, and the warning."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

import click

from nbpipe import history, worktree
from nbpipe.cli import affected
from nbpipe.history import HistoryError, NoHistory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.config import Config
    from nbpipe.history import History, PastRun
    from nbpipe.model import Plan

_KNOWN_RUNS = 500
_COMMITS = 20
"""Maximum number of earlier commits for which git is asked about renames."""

_RUN = re.compile(r"latest|[\dT]+(?:-[0-9a-f]*)?")
"""The beginning of a run's id, as `nbpipe.runner` makes them, or the newest."""


class ResumingCommand(click.Command):
    """A command with `--resume [RUN]` and patterns: what follows the option may be either."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the latest run named where a pattern follows `--resume`."""
        ends = args.index("--") if "--" in args else len(args)
        for place in range(min(ends, len(args) - 1)):
            if args[place] == "--resume" and _is_pattern(args[place + 1]):
                args[place] = f"--resume={history.LATEST}"
        return super().parse_args(ctx, args)


def _is_pattern(word: str) -> bool:
    """Return whether a word that may name a run names notebooks: it is no run's, and is there."""
    if _RUN.fullmatch(word):
        return False
    return bool(set(word) & set("*?[/")) or word.endswith(".ipynb") or Path(word).exists()


def narrowed(  # noqa: PLR0913  (an option each)
    plan: Plan,
    config: Config,
    *,
    last_failed: bool,
    failed_first: bool,
    resume: str | None,
    changed_since: str | None = None,
) -> Plan:
    """Return the plan with what the options leave of it, in their order.

    Raises:
        HistoryError: The history cannot be read, or knows nothing of what was chosen.
    """
    if changed_since is not None:
        plan = affected.narrowed(plan, config, changed_since)
    if not (last_failed or failed_first or resume):
        return plan
    try:
        with history.open_history(config.settings.history, plan.root) as past:
            if resume:
                plan = _resumed(plan, past, resume)
            if last_failed or failed_first:
                plan = _by_failure(plan, past, config, last_failed=last_failed)
    except NoHistory as error:
        if last_failed or resume:
            raise
        warn(error)
    return plan


def _resumed(plan: Plan, past: History, name: str) -> Plan:
    try:
        run = past.run(name)
    except NoHistory:
        raise
    except HistoryError as error:
        error.hint += f" `--resume={history.LATEST} PATTERN` resumes a part of it."
        raise
    results = past.results(run)
    then = _renamed(plan, {result.path: run.commit for result in results})
    now = {history.storable(old): history.storable(new) for new, old in then.items()}
    results = [replace(each, path=now.get(each.path, each.path)) for each in results]
    done = sum(result.complete for result in results)
    failed = sum(result.outcome == "failed" for result in results)
    click.echo(
        f"resuming run {run.id}: {done} of its {len(results)} notebooks have their result"
        f" ({failed} failed)",
        err=True,
    )
    return history.keep_missing(plan, run.id, results)


def resumed_run(config: Config, plan: Plan, name: str) -> tuple[PastRun, bool]:
    """Return the run that `--resume` names, and whether the plan leaves out what it did not run.

    Raises:
        HistoryError: The history cannot be read, or does not know it.
    """
    with history.open_history(config.settings.history, plan.root) as past:
        run = past.run(name)
        wanted = {history.storable(task.path) for task in plan.tasks}
        results = past.results(run)
    return run, any(not each.complete and each.path not in wanted for each in results)


def _by_failure(plan: Plan, past: History, config: Config, *, last_failed: bool) -> Plan:
    failing = history.failing_outcomes(flaky=config.settings.test.flaky)
    last = past.last()
    commits = {run.id: run.commit for run in past.runs(_KNOWN_RUNS)}
    then = _renamed(plan, {path: commits.get(known.run) for path, known in last.items()})
    last = history.with_former_names(last, then)
    if not last_failed:
        return history.failed_first(plan, last, failing=failing)
    if plan.tasks and not any(history.storable(task.path) in last for task in plan.tasks):
        raise HistoryError(
            f"{past.where}: no result of any notebook that was chosen is known",
            hint="Run them once without --lf.",
        )
    return history.keep_failed(plan, last, failing=failing)


def _renamed(plan: Plan, known: Mapping[str, str | None]) -> dict[str, str]:
    """Return the former path of each notebook that is known only by that: path now -> then.

    Args:
        plan: The notebooks.
        known: The paths that the history knows, each with the commit at which it ran last.
    """
    paths = {history.storable(task.path): task.path for task in plan.tasks}
    unknown = {path for path in paths if path not in known}
    gone = {path: commit for path, commit in known.items() if path not in paths and commit}
    found: dict[str, str] = {}
    if not unknown:
        return found
    for commit in [*dict.fromkeys(gone.values())][:_COMMITS]:
        with suppress(OSError, SubprocessError):  # of a history that was rewritten since
            for now, old in worktree.renames(plan.root, commit or "").items():
                if history.storable(now) in unknown and gone.get(history.storable(old)) == commit:
                    found.setdefault(now, old)
    return found


def warn(problem: HistoryError | None) -> None:
    """Tell on standard error what is wrong with the history; the run does not depend on it."""
    if problem is not None:
        click.echo(f"nbpipe: warning: the history: {problem}", err=True)
