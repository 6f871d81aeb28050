"""Which display shows a run while it goes on: a bar, plain lines, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from nbpipe.reports.progress import Display, PlainDisplay
from nbpipe.reports.terminal import Page, is_colored, is_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.reports.progress import ProgressMode
    from nbpipe.reports.terminal import Color


def resolved(mode: ProgressMode, stream: TextIO, environ: Mapping[str, str]) -> ProgressMode:
    """Return what `auto` stands for: a bar on a terminal, plain lines elsewhere."""
    if mode != "auto":
        return mode
    able = is_terminal(stream) and environ.get("TERM", "") != "dumb"
    return "bar" if able else "plain"


def open_progress(
    mode: ProgressMode,
    *,
    total: int,
    stream: TextIO,
    color: Color = "auto",
    environ: Mapping[str, str],
    **more: Any,  # noqa: ANN401  (as `Display`)
) -> Display:
    """Return the display to use as a context manager around the run."""
    mode = resolved(mode, stream, environ)
    if mode == "none":
        return Display(total, **more)
    if mode == "plain":
        page = Page(stream, colored=is_colored(stream, color, environ))
        return PlainDisplay(total, page, **more)
    from nbpipe.reports.bar import BarDisplay, open_console  # noqa: PLC0415  (rich is slow)

    console = open_console(stream, color=color, environ=environ, force=True)
    return BarDisplay(total, console, **more)
