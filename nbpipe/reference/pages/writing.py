"""One page of a comparison, into its file or a stream."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TextIO

from nbpipe.errors import UsageError
from nbpipe.reference.comparison.document import encode
from nbpipe.reports.terminal import Color, Encodable, is_colored

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.reference.comparison.model import Comparison

Kind = Literal["console", "json", "markdown", "junit", "html"]
KINDS: tuple[Kind, ...] = ("console", "json", "markdown", "junit", "html")
WIDTH = 100
"""Columns of a console page that is written to a file."""


def write_page(  # noqa: PLR0913  (what a stream is like comes in)
    comparison: Comparison,
    kind: Kind,
    path: Path | None,
    *,
    stdout: TextIO,
    color: Color = "auto",
    environ: Mapping[str, str] | None = None,
    width: int | None = None,
) -> None:
    """Write a page, whole or not at all.

    Args:
        comparison: What the page is about.
        kind: One of `KINDS`.
        path: The file; None is `stdout`.
        stdout: Where a page without a path goes.
        color: Of the console's page.
        environ: Where NO_COLOR, FORCE_COLOR and TERM are looked up.
        width: Columns of the console's page; None: those of the terminal.

    Raises:
        UsageError: The file cannot be written, or is a notebook.
    """
    if path is None:
        colored = kind == "console" and is_colored(stdout, color, environ or {})
        Encodable(stdout).write(render(comparison, kind, colored=colored, width=width))
        stdout.flush()
        return
    if path.suffix == ".ipynb" and path.exists():
        raise UsageError(
            f"{path}: the page cannot be written: it is a notebook, which no page replaces",
            hint="Name another place.",
        )
    text = render(comparison, kind, width=width or WIDTH, folder=path.absolute().parent)
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path}: the page cannot be written: {error.strerror}", hint="Name another place."
        ) from error
    finally:
        with suppress(OSError):
            fresh.unlink()


def render(
    comparison: Comparison,
    kind: Kind,
    *,
    colored: bool = False,
    width: int | None = None,
    folder: Path | None = None,
) -> str:
    """Return a page as text; `folder` is where it will be."""
    match kind:
        case "json":
            return encode(comparison)
        case "junit":
            from nbpipe.reference.pages.junit import junit  # noqa: PLC0415  (only where wanted)

            return junit(comparison)
        case "markdown":
            from nbpipe.reference.pages.markdown import markdown  # noqa: PLC0415

            return markdown(comparison)
        case "html":
            from nbpipe.reference.pages.html import html  # noqa: PLC0415

            return html(comparison, folder)
        case "console":
            from nbpipe.reference.pages.console import console  # noqa: PLC0415

            stream = io.StringIO()
            console(comparison, stream, colored=colored, width=width)
            return stream.getvalue()
