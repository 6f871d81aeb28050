"""Which of the planned notebooks run this time: what earlier runs and changes leave of a plan.

Reads the history, git and the kernels; executes nothing. What a change can affect is decided in
`collecting.affected`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe import history
from nbpipe.history import NoHistory
from nbpipe.subset.changes import affected_only
from nbpipe.subset.results import by_failure, resumed

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.config import Config
    from nbpipe.model import Plan

__all__ = ["Subset", "narrowed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subset:
    """Which of the planned notebooks are asked for; by default all of them, in their order."""

    last_failed: bool = False
    """Only those that failed last time (`--lf`)."""
    failed_first: bool = False
    """Those that failed last time first (`--ff`)."""
    resume: str | None = None
    """Only what this run did not get to: a run's id, its beginning, or `latest` (`--resume`)."""
    changed_since: str | None = None
    """Only what changes since this commit could affect (`--changed-since`)."""


def narrowed(plan: Plan, config: Config, subset: Subset, *, say: Callable[[str], None]) -> Plan:
    """Return the plan with the subset of it, in its order.

    Args:
        plan: The whole one.
        config: Where the history is, and whether flaky notebooks failed.
        subset: What is asked for.
        say: Shows a line to a person.

    Raises:
        HistoryError: The history cannot be read, or knows nothing of what was chosen.
        UsageError: The collection is not in a git repository, or the commit is not in it.
    """
    settings = config.settings
    if subset.changed_since is not None:
        plan = affected_only(plan, settings.history, subset.changed_since, say=say)
    if not (subset.last_failed or subset.failed_first or subset.resume):
        return plan
    flaky = settings.test.flaky
    try:
        with history.open_history(settings.history, plan.root) as past:
            if subset.resume:
                plan = resumed(plan, past, subset.resume, say=say)
            if subset.last_failed or subset.failed_first:
                plan = by_failure(plan, past, flaky=flaky, last_failed=subset.last_failed)
    except NoHistory as error:
        if subset.last_failed or subset.resume:
            raise
        say(f"nbpipe: warning: the history: {error}")
    return plan
