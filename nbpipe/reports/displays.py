"""Which display shows a run while it goes on: a bar, plain lines, or none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from nbpipe.reports.progress import REDRAW, Display, PlainDisplay
from nbpipe.reports.terminal import Page, is_colored, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.reports.progress import ProgressMode
    from nbpipe.reports.terminal import Color


def open_progress(  # noqa: PLR0913  (each is a decision of the command line)
    mode: ProgressMode,
    *,
    total: int,
    stream: TextIO,
    color: Color = "auto",
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.monotonic,
    redraw: float = REDRAW,
) -> Display:
    """Return the display to use as a context manager around the run.

    `auto` is a bar on a terminal and plain lines elsewhere.
    """
    if mode == "auto":
        able = is_terminal(stream) and environ.get("TERM", "") != "dumb"
        mode = "bar" if able else "plain"
    if mode == "none":
        return Display(total, clock=clock, redraw=redraw)
    if mode == "plain":
        page = Page(stream, colored=is_colored(stream, color, environ))
        return PlainDisplay(total, page, clock=clock, redraw=redraw)
    from nbpipe.reports.bar import BarDisplay, open_console  # noqa: PLC0415  (rich is slow)

    console = open_console(stream, color=color, environ=environ, force=True)
    return BarDisplay(total, console, clock=clock, redraw=redraw)
