"""What happens while a run goes on: a bar that moves, plain lines, or nothing.

A display is told when a notebook starts, moves to its next cell and finishes; a small thread of
its own redraws, so that nobody has to call it while nothing happens. Its methods may be called
from any thread. A reader that went away (`| head`, a closed terminal) ends the showing and never
the run.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from nbpipe.model import Outcome
from nbpipe.reports.groups import error
from nbpipe.reports.matrix import COLORS
from nbpipe.system.text import first_line, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from nbpipe.model import Progress, Result
    from nbpipe.reports.terminal import Page, Piece

ProgressMode = Literal["auto", "bar", "plain", "none"]

SILENCE = 30.0
"""Seconds without a finished notebook, after which the plain display says what runs."""
REDRAW = 0.25
"""Seconds between two looks at the clock."""
_KNOWN = 0.8
"""Share of the notebooks of which it must be known how long they take, to foresee an end."""


def remaining(seconds: Iterable[float], jobs: int) -> float:
    """Return how long tasks of these lengths take, the longest first, `jobs` at a time."""
    slots = [0.0] * max(jobs, 1)
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(slots, slots[0] + each)
    return max(slots)


@dataclass(frozen=True, slots=True)
class Running:
    """One notebook on its way."""

    progress: Progress
    since: float


class Display:
    """Keeps what is running; shows nothing. The others build on it.

    Args:
        total: How many notebooks there will be.
        expected: What is known of how long they take, in seconds, by path.
        jobs: How many run at a time.
        clock: Seconds that only grow.
        redraw: Seconds between two calls of `tick` by the display's own thread; 0: no thread.
    """

    def __init__(
        self,
        total: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        redraw: float = REDRAW,
        expected: Mapping[str, float] = MappingProxyType({}),
        jobs: int = 1,
    ) -> None:
        self.total = total
        self._expected, self._jobs = dict(expected), jobs
        self._foreseen = len(self._expected)
        self.clock = clock
        self.counts = dict.fromkeys(Outcome, 0)
        self._redraw = redraw
        self._running: dict[str, Running] = {}
        self._unread = False
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start showing."""
        if self._redraw and self._shows_time():
            thread = threading.Thread(target=self._tick_on, name="progress", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads: it shows what ends, no time
                thread.start()
                self._thread = thread
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop showing, and leave the terminal as it was."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def started(self, progress: Progress) -> None:
        """Take note that a notebook starts."""
        with self._lock:
            self._running[progress.task.path] = Running(progress, self.clock())

    def moved(self, progress: Progress) -> None:
        """Take note of the cell a notebook is at."""
        with self._lock:
            if (known := self._running.get(progress.task.path)) is None:
                self.started(progress)
            else:
                self._running[progress.task.path] = replace(known, progress=progress)

    def finished(self, result: Result) -> None:
        """Take note of what became of a notebook, and show it."""
        with self._lock:
            self._running.pop(result.path, None)
            self._expected.pop(result.path, None)
            self.counts[result.outcome] += 1
            self._try(lambda: self._show(result))

    def running(self) -> str:
        """Return what is running, the oldest first: path, cell, for how long. For SIGUSR1."""
        now = self.clock()
        each = self.oldest()
        if not each:
            return "no notebook is running"
        lines = [f"  {_describe(running, now)}" for running in each]
        return "\n".join([f"running: {count(len(each), 'notebook')}", *lines])

    def oldest(self) -> list[Running]:
        """Return what is running, the oldest first."""
        snapshot = list(self._running.values())  # one step, whatever other threads do
        snapshot.sort(key=lambda running: running.since)
        return snapshot

    @property
    def done(self) -> int:
        """How many notebooks have finished."""
        return sum(self.counts.values())

    def left(self) -> float | None:
        """Return the seconds that the run will still take; None where too little is known."""
        if self._foreseen < self.total * _KNOWN:
            return None
        now = self.clock()
        running = {each.progress.task.path: now - each.since for each in self.oldest()}
        seconds = [
            max(each - running.get(path, 0.0), 0.0) for path, each in list(self._expected.items())
        ]
        return remaining(seconds, self._jobs)

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Draw nothing meanwhile, so that others can write to the same terminal."""
        with self._lock:
            yield

    def tick(self) -> None:
        """Look at the clock, and show what time has changed."""

    def _show(self, result: Result) -> None:
        """Show a notebook that has finished."""

    def _try(self, show: Callable[[], None]) -> None:
        """Write to the stream, until nobody reads it any more."""
        if not self._unread:
            try:
                show()
            except OSError:
                self._unread = True

    def _shows_time(self) -> bool:
        return False

    def _tick_on(self) -> None:
        while not self._ended.wait(self._redraw):
            self._try(self.tick)


class PlainDisplay(Display):
    """One line for each notebook that finishes; after a silence one about what runs."""

    def __init__(
        self,
        total: int,
        page: Page,
        **more: Any,  # noqa: ANN401  (as `Display`)
    ) -> None:
        super().__init__(total, **more)
        self._page = page
        self._told = self.clock()

    def tick(self) -> None:
        """Say what runs when nothing was said for `SILENCE` seconds."""
        with self._lock:
            if self._running and self.clock() - self._told >= SILENCE:
                self._told = self.clock()
                self._page.line(self.running())
                self._page.flush()

    def _show(self, result: Result) -> None:
        self._told = self.clock()
        self._page.line(*self._position(), *finished_line(result))
        self._page.flush()

    def _position(self) -> list[Piece]:
        width = len(str(self.total))
        return [f"[{self.done:{width}}/{self.total}] "]

    def _shows_time(self) -> bool:
        return True


def finished_line(result: Result) -> list[Piece]:
    """Return `PASSED  a/b.ipynb  (python3, 10 cells, 1.2 s)`, and why where it did not pass."""
    word = f"{result.outcome.value.upper():7}"
    line: list[Piece] = [(word, COLORS[result.outcome]), f"  {plain_name(result.path)}"]
    if result.outcome is Outcome.SKIPPED:
        return [*line, f"  ({first_line(result.reason or '')})"]
    cells = count(result.cells_executed, "cell")
    kernel = plain_name(result.kernel)
    line.append(f"  ({kernel}, {cells}, {duration(result.seconds)})")
    if (failure := result.failure) is not None:
        where = "" if failure.cell is None else f" in cells[{failure.cell}]"
        line.append(f"  {failure.category.value}{where}: {error(failure)}")
    return line


def _describe(running: Running, now: float) -> str:
    progress = running.progress
    if not progress.cell:
        cell = "starting"
    elif progress.cells:
        cell = f"cell {progress.cell}/{progress.cells}"
    else:
        cell = f"cell {progress.cell}"
    attempt = f", attempt {progress.attempt}" if progress.attempt > 1 else ""
    name = plain_name(progress.task.path)
    return f"{name}  {cell}{attempt}, for {duration(now - running.since)}"
