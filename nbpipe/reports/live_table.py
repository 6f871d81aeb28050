"""The matrix of a run in Jupyter while it goes on: one output that is updated in its place.

It shows the whole plan from the first moment, and is never drawn more often than the page can
take: what it sends is a share of the time that has passed. After the end it is as any table, so
that a saved notebook shows how the run ended.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from nbpipe.reports import html_table
from nbpipe.reports.progress import Display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbpipe.model import Plan, Result

REDRAW = 1.0
"""Seconds between two drawings while nothing happens but time."""
RATE = 200_000
"""Characters per second that a page is sent at most: a large table is drawn less often."""


class Output(Protocol):
    """A place on a page that shows HTML, and later other HTML."""

    def show(self, page: str) -> None:
        """Show it, in place of what is there."""


class JupyterOutput:
    """An output of the cell that is being executed; `IPython.display` finds it by its id."""

    def __init__(self) -> None:
        self._id: str | None = None

    def show(self, page: str) -> None:
        """Show it in the cell, or in place of what it shows."""
        from IPython.display import HTML, display, update_display  # noqa: PLC0415  (Jupyter's)

        if self._id is None:
            self._id = display(HTML(page), display_id=True).display_id
        else:
            update_display(HTML(page), display_id=self._id)


def output() -> Output | None:
    """Return an output where this is the kernel of a notebook; None on a terminal."""
    import sys  # noqa: PLC0415

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return JupyterOutput() if getattr(shell, "kernel", None) is not None else None


class LiveTable(Display):
    """What runs, what is planned and what became of the rest.

    Args:
        plan: All of it.
        state: Adds what only the run knows: folder, reports, how it ended.
        output: Where it is shown; None: nowhere, it is only kept.
    """

    def __init__(
        self,
        plan: Plan,
        state: Callable[..., html_table.State],
        output: Output | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        redraw: float = REDRAW,
    ) -> None:
        super().__init__(len(plan.tasks), clock=clock, redraw=redraw)
        self._plan = plan
        self._state = state
        self._output = output
        self._place = {task.path: number for number, task in enumerate(plan.tasks)}
        self._results: dict[str, Result] = {}
        self._begun = clock()
        self._next = 0.0
        self._drawing = threading.Lock()

    @property
    def results(self) -> tuple[Result, ...]:
        """The results so far, in the order of the plan."""
        return tuple(sorted(list(self._results.values()), key=lambda each: self._place[each.path]))

    def page(self, *, is_over: bool) -> str:
        """Return the table as it is now."""
        with self._lock:
            now = self.clock()
            running = [(each.progress, now - each.since) for each in self.oldest()]
            begun = {each.task.path for each, _ in running} | set(self._results)
            planned: Sequence = [t for t in self._plan.tasks if t.path not in begun]
            results = self.results
        return html_table.table(
            self._state(
                results=results,
                excluded=self._plan.excluded,
                running=running,
                planned=planned,
                seconds=now - self._begun,
                moment="" if is_over else f"{datetime.now().astimezone():%H:%M:%S}",
            )
        )

    def draw(self, *, is_over: bool = False) -> None:
        """Show the table; once it was shown with `is_over`, never again."""
        if self._output is None:
            return
        with self._drawing:
            if self._ended.is_set() and not is_over:
                return
            page = self.page(is_over=is_over)
            self._output.show(page)
            self._next = self.clock() + max(REDRAW, len(page) / RATE)

    def tick(self) -> None:
        """Draw again, unless the last drawing was large and is not long ago."""
        if self.clock() >= self._next:
            self.draw()

    def _show(self, result: Result) -> None:
        self._results[result.path] = result

    def _shows_time(self) -> bool:
        return self._output is not None
