"""Stopping a notebook from outside of its cells, with the reason that is then told.

The reason is recorded before anything is interrupted: what a kernel says about being stopped by
us does not count.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.execution import diagnosis
from nbpipe.model import Category, Failure

if TYPE_CHECKING:
    from nbpipe.execution.source import CodeCell


class Halt:
    """Tells a running notebook to stop, once, and why; the first reason counts."""

    def __init__(self) -> None:
        self.reason: asyncio.Future[str | Failure] = asyncio.get_running_loop().create_future()
        self.now = asyncio.Event()
        """Do not wait for it to react to the interrupt."""

    def __call__(self, reason: str | Failure) -> None:
        """Ask to stop: for a failure, or with a text, which makes it skipped."""
        if not self.reason.done():
            self.reason.set_result(reason)


def at(failure: Failure, cell: CodeCell | None) -> Failure:
    """Return the failure, placed in a cell."""
    if cell is None:
        return failure
    return replace(failure, cell=cell.origin, cell_id=cell.cell_id, source=str(cell.node.source))


def too_much(why: str) -> Failure:
    """Return the failure of a notebook that produces too much."""
    return diagnosis.failure(
        Category.OUTPUT_LIMIT, "OutputLimit", f"the notebook was stopped: {why}"
    )


def overran(what: str, seconds: float) -> Failure:
    """Return the failure of a cell or a notebook that ran for too long."""
    name, message = f"{what.title()}Timeout", f"the {what} ran for more than {seconds:g} s"
    return diagnosis.failure(Category.TIMEOUT, name, message)


def told_how(failure: Failure, how: str) -> Failure:
    """Return the failure with what was done about it; its signature stays as it is."""
    if failure.category is Category.TIMEOUT:
        return replace(failure, message=f"{failure.message} and was {how}")
    return failure


def ended_early() -> Failure:
    """Return the failure of a notebook whose injected code calls `exit()`."""
    message = "code that was injected (prerun, parameters) ended the session; no cell was executed"
    return diagnosis.failure(Category.EXCEPTION, "SystemExit", message)


def waits(program: str) -> Failure:
    """Return the failure of a notebook one of whose programs waits at a terminal."""
    message = f"asks for input: {program} waits at its terminal"
    return diagnosis.failure(Category.ASKS_FOR_INPUT, "InputRequest", message)


def asks(prompt: str) -> Failure:
    """Return the failure of a notebook whose kernel asks the user for something."""
    message = f"asks for input: {prompt!r}" if prompt else "asks for input"
    return diagnosis.failure(Category.ASKS_FOR_INPUT, "InputRequest", message)
