"""How a notebook does somewhere, in git's words: executed, and written to no history."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe import outputs, runner
from nbpipe.errors import ExitCode, NbpipeError
from nbpipe.model import Outcome
from nbpipe.reports.groups import cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from nbpipe.model import Plan, Progress, Result


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends this process."""


class Verdict(StrEnum):
    """What a commit or an environment is, in git's words."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


class Interrupted(NbpipeError):  # noqa: N818  (what happened)
    """Somebody ended it."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self) -> None:
        super().__init__("interrupted; nothing was changed")


def judge(plan: Plan, retries: int, below: Path | None = None) -> tuple[Verdict, str]:
    """Execute the one notebook of a plan; return the verdict, and its cause where there is one.

    Args:
        plan: It holds one task.
        retries: A failing notebook is tried so many times more.
        below: Where the temporary folder is made; None: where all are.

    Raises:
        Interrupted: A signal ended it.
    """
    tasks = tuple(replace(task, retries=retries) for task in plan.tasks)
    with tempfile.TemporaryDirectory(prefix="nbpipe-bisect-", dir=below) as folder:
        (result,) = _run(replace(plan, tasks=tasks), Path(folder) / "out")
    if result.outcome is Outcome.SKIPPED:
        return Verdict.SKIP, result.reason or ""
    if result.outcome is Outcome.FAILED:
        return Verdict.BAD, cause(result.failure)
    flaky = result.outcome is Outcome.FLAKY
    return Verdict.GOOD, f"flaky: {cause(result.failure)}" if flaky else ""


@contextlib.contextmanager
def handling(
    handler: Callable[[int, FrameType | None], object] | signal.Handlers,
) -> Iterator[None]:
    """Handle what ends this process; afterwards it is as before, whoever set it meanwhile."""
    before = {number: signal.getsignal(number) for number in ENDS}
    try:
        for number in ENDS:
            signal.signal(number, handler)
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


class _Silent:
    def started(self, progress: Progress) -> None:
        pass

    def moved(self, progress: Progress) -> None:
        pass

    def finished(self, result: Result) -> None:
        pass


def _run(plan: Plan, folder: Path) -> tuple[Result, ...]:
    """Execute a plan, written to no history.

    Raises:
        Interrupted: A signal ended it.
    """
    run_id = runner.new_run_id(datetime.now(UTC))
    out = outputs.make_folder(folder, run_id, plan.tasks)
    noted: list[int] = []  # before the run listens, and after
    order = runner.Order(plan=plan, run_id=run_id, jobs=1, output_dir=out)

    def handled(scheduler: runner.Executor) -> contextlib.AbstractContextManager[None]:
        if noted:
            scheduler.stop("the search was interrupted")
        return runner.signals(scheduler, say=lambda _: None, running=lambda: "")

    with handling(lambda number, _: noted.append(number)):
        run = asyncio.run(runner.run(order, _Silent(), on_start=handled))
    if run.interrupted or noted:
        raise Interrupted
    return run.results
