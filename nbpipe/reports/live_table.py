"""The matrix of a run in Jupyter while it goes on: one output that is updated in its place.

It shows the whole plan from the first moment, and is never drawn more often than the page can
take: what it sends is a share of the time that has passed. After the end it is as any table, so
that a saved notebook shows how the run ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nbpipe.reports import html_table
from nbpipe.reports.html_table import FileBrowser, State
from nbpipe.reports.progress import Display

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.model import Plan, Result

REDRAW = 1.0
"""Seconds between two drawings while nothing happens but time."""
RATE = 50_000
"""Characters per second that a page is sent at most: a large table is drawn less often."""
CALM = 600.0
"""A run of so many seconds is drawn every second, one of N times as many every N seconds: whoever
executes this notebook may count every drawing as output, and end it beyond some limit."""


class Output(Protocol):
    """A place on a page that shows HTML, and later other HTML."""

    def show(self, page: str) -> None:
        """Show it, in place of what is there."""

    def again(self, page: str) -> None:
        """Show it in the cell that is being executed, too, unless it is there already."""


class JupyterOutput:
    """An output of the cell that is being executed; `IPython.display` finds it by its id.

    Args:
        cell: Returns the number of the cell that is being executed.
    """

    def __init__(self, cell: Callable[[], int]) -> None:
        self._cell = cell
        self._id: str | None = None
        self._shown_in: set[int] = set()

    def show(self, page: str) -> None:
        """Show it in the cell, or in place of what it shows."""
        from IPython import display  # noqa: PLC0415  (Jupyter's)

        if self._id is None:
            self._display(page, display_id=True)
        else:
            content = display.HTML(page)  # type: ignore[no-untyped-call]
            display.update_display(content, display_id=self._id)  # type: ignore[no-untyped-call]

    def again(self, page: str) -> None:
        """Show it in the cell that is being executed, too: both go on being updated."""
        if self._cell() not in self._shown_in:
            self._display(page, display_id=self._id or True)

    def _display(self, page: str, *, display_id: str | bool) -> None:
        from IPython import display  # noqa: PLC0415

        content = display.HTML(page)  # type: ignore[no-untyped-call]
        handle = display.display(content, display_id=display_id)  # type: ignore[no-untyped-call]
        self._id = handle.display_id
        self._shown_in.add(self._cell())


def output() -> Output | None:
    """Return an output where this is the kernel of a notebook; None on a terminal."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return None
    return JupyterOutput(lambda: int(shell.execution_count))


def file_browser(environ: Mapping[str, str]) -> FileBrowser:
    """Return what Jupyter can open from the notebook that this kernel belongs to.

    The working directory has no links in its path; where users reach a collection through one
    (`~/notebooks-latest`), what Jupyter can open is beside the link. Jupyter's server names the
    notebook in JPY_SESSION_NAME.
    """
    cwd = Path.cwd()
    folder = Path(environ.get("JPY_SESSION_NAME", "")).parent
    with contextlib.suppress(OSError):
        if folder.is_absolute() and folder.samefile(cwd):
            root = _server_root(environ)
            is_below = root is not None and folder.is_relative_to(root)
            return FileBrowser(folder=folder, cwd=cwd, root=root if root and is_below else folder)
    return FileBrowser(folder=cwd, cwd=cwd, root=cwd)


def _server_root(environ: Mapping[str, str]) -> Path | None:
    """Return the top folder that Jupyter's server shows; None where it does not say.

    A server tells about itself in a file of the runtime folder, where `jupyter server list` looks;
    JPY_PARENT_PID is the process that started the kernel.
    """
    number = environ.get("JPY_PARENT_PID", "")
    if not number.isdigit():
        return None
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415  (Jupyter's)

    file = Path(jupyter_runtime_dir(), f"jpserver-{number}.json")
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        root = json.loads(file.read_text(encoding="utf-8"))["root_dir"]
        return Path(os.path.normpath(Path(root).expanduser()))
    return None


class LiveTable(Display):
    """What runs, what is planned and what became of the rest.

    Args:
        plan: All of it.
        completed: Adds what only the run knows: folder, reports, how it ended.
        output: Where it is shown; None: nowhere, it is only kept.
    """

    def __init__(
        self,
        plan: Plan,
        completed: Callable[[State], State],
        output: Output | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        redraw: float = REDRAW,
    ) -> None:
        super().__init__(len(plan.tasks), clock=clock, redraw=redraw)
        self._plan = plan
        self._completed = completed
        self._output = output
        self._place = {task.path: number for number, task in enumerate(plan.tasks)}
        self._results: dict[str, Result] = {}
        self._begun = clock()
        self._next = 0.0
        self._is_over = False
        self._drawing = threading.Lock()

    @property
    def results(self) -> tuple[Result, ...]:
        """The results so far, in the order of the plan."""
        return tuple(
            # A copy, made in one step: the run's thread adds to it meanwhile.
            sorted(self._results.copy().values(), key=lambda each: self._place[each.path])
        )

    def page(self, *, is_over: bool) -> str:
        """Return the table as it is now."""
        with self._lock:
            now = self.clock()
            running = [(each.progress, now - each.since) for each in self.oldest()]
            begun = {each.task.path for each, _ in running} | set(self._results)
            planned = [t for t in self._plan.tasks if t.path not in begun]
            results = self.results
        state = State(
            results=results,
            excluded=self._plan.excluded,
            running=running,
            planned=planned,
            seconds=now - self._begun,
            moment="" if is_over else f"{datetime.now().astimezone():%H:%M:%S}",
        )
        return html_table.table(self._completed(state))

    def draw(self, *, is_over: bool = False) -> None:
        """Show the table; once it was shown with `is_over`, never again."""
        if self._output is None:
            return
        with self._drawing:
            if self._ended.is_set() and not is_over:
                return
            self._is_over = is_over
            page = self.page(is_over=is_over)
            self._output.show(page)
            now = self.clock()
            self._next = now + max(REDRAW, len(page) / RATE, (now - self._begun) / CALM)

    def again(self) -> bool:
        """Show the table in the cell that is being executed; return whether there is a page."""
        if self._output is None:
            return False
        with self._drawing:
            self._output.again(self.page(is_over=self._is_over))
        return True

    def tick(self) -> None:
        """Draw again, unless the last drawing was large and is not long ago."""
        if self.clock() >= self._next:
            self.draw()

    def _show(self, result: Result) -> None:
        self._results[result.path] = result

    def _shows_time(self) -> bool:
        return self._output is not None
