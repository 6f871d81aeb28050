"""The bar: running notebooks at the bottom of the terminal, failures above as they happen.

Imports rich at its top: imported only where a bar is wanted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from nbpipe.model import Outcome
from nbpipe.reports.matrix import COLORS
from nbpipe.reports.progress import Display, Running, finished_line
from nbpipe.reports.terminal import Color, Encodable, is_colored, is_terminal
from nbpipe.system.text import plain_name
from nbpipe.system.units import duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from rich.console import RenderableType

    from nbpipe.model import Result

ROOM = 4
"""Lines of the terminal that are not for running notebooks."""
BAR = 24
"""Columns of the bar."""


class BarDisplay(Display):
    """A bar with counts, above it the running notebooks that the screen has room for."""

    def __init__(
        self,
        total: int,
        console: Console,
        **more: Any,  # noqa: ANN401  (as `Display`)
    ) -> None:
        super().__init__(total, **more)
        self._console = console
        self._start = self.clock()
        self._width = console.width
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            get_renderable=self._render,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Take the terminal's last lines."""
        self._live.start(refresh=True)
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the lines back: nothing of the bar stays."""
        super().__exit__(kind, error, traceback)
        with self._lock:
            self._try(self._live.stop)

    def tick(self) -> None:
        """Draw again."""
        with self._lock:
            self._wipe_wrapped()
            self._live.refresh()

    def _wipe_wrapped(self) -> None:
        """Wipe what a terminal that has become narrower broke into more lines.

        The library goes up by as many lines as it has drawn; a terminal that lays its text out
        anew, as most do, has made more of them.
        """
        width = self._console.width
        if width < self._width:
            options = self._console.options.update(width=self._width)
            lines = self._console.render_lines(self._render(), options, pad=False)
            extra = sum(max(Segment.get_line_length(line) - 1, 0) // width for line in lines)
            if extra:
                self._console.control(Control.move(0, -extra))
                self._console.file.write("\r\x1b[J")
        self._width = width

    def _show(self, result: Result) -> None:
        if result.outcome in {Outcome.FAILED, Outcome.FLAKY}:
            pieces = finished_line(result)
            text = Text.assemble(*pieces, no_wrap=True, overflow="ignore")
            self._console.print(text, soft_wrap=True)

    def _shows_time(self) -> bool:
        return True

    def _render(self) -> RenderableType:
        now = self.clock()
        room = max(1, self._console.height - ROOM)
        table = Table.grid(padding=(0, 2), expand=False)
        table.add_column()  # the only one that may be narrowed: where it is, is seen at any width
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        oldest = self.oldest()
        for running in oldest[:room]:
            table.add_row(*_columns(running, now))
        if len(oldest) > room:
            table.add_row(f"and {len(oldest) - room} more", "", "")
        # No padding behind the last line: at the last column, the terminal's echo of Ctrl-C
        # would begin a new line, and what is wiped next would be one line short.
        return Group(table, self._totals(now))

    def _totals(self, now: float) -> RenderableType:
        line = Table.grid(padding=(0, 1))
        counts = Text(f"{self.done}/{self.total}")
        for outcome, number in self.counts.items():
            if number:
                counts.append(f"  {number} {outcome.value}", COLORS[outcome])
        counts.append(f"  {duration(now - self._start)}")
        if (left := self.left()) is not None and self.done < self.total:
            counts.append(f", about {duration(left)} left")
        style = COLORS[Outcome.FAILED if self.counts[Outcome.FAILED] else Outcome.PASSED]
        bar = ProgressBar(
            total=max(1, self.total),
            completed=self.done,
            width=BAR,
            complete_style=style,
            finished_style=style,
        )
        line.add_row(bar, counts)
        return line


class _Console(Console):
    """A rich console that leaves the decision about a broken pipe to its user."""

    def on_broken_pipe(self) -> None:
        """Do not end the process, as rich does.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError(errno.EPIPE, "the reader of the progress is gone")


def open_console(
    stream: TextIO,
    *,
    color: Color = "auto",
    environ: Mapping[str, str],
    width: int | None = None,
    force: bool = False,
) -> Console:
    """Return a rich console for what moves; `force` takes the stream for a terminal."""
    known = {name: environ[name] for name in ("COLUMNS", "LINES", "TERM") if name in environ}
    return _Console(
        file=cast("TextIO", Encodable(stream)),
        color_system="standard" if is_colored(stream, color, environ) else None,
        force_terminal=force or is_terminal(stream),
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ=known,
    )


def _columns(running: Running, now: float) -> tuple[Text, Text, Text]:
    progress = running.progress
    cell = f"cell {progress.cell}/{progress.cells}" if progress.cell else "starting"
    if progress.attempt > 1:
        cell = f"{cell}, attempt {progress.attempt}"
    name = Text(plain_name(progress.task.path), no_wrap=True, overflow="ellipsis")
    return name, Text(cell), Text(duration(now - running.since))
