"""Writing to terminals, pipes and files: colours only where wanted, never an encoding error.

The one place that decides about colours and that knows the stream's encoding. No words of a
report, and nothing about notebooks, enter here; text comes in harmless (see `system.text`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

Color = Literal["auto", "always", "never"]
Piece = str | tuple[str, str]
"""Text, or text with its style in rich's words (`bold red`)."""


def is_terminal(stream: TextIO) -> bool:
    """Tell whether somebody looks at the stream; a closed or odd stream is none."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def is_colored(stream: TextIO, color: Color, environ: Mapping[str, str]) -> bool:
    """Decide about colours: the option, then NO_COLOR, FORCE_COLOR, then what the stream is.

    Sources: no-color.org, force-color.org (a variable counts when it is not empty).
    """
    if color != "auto":
        return color == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return is_terminal(stream) and environ.get("TERM", "") != "dumb"


@dataclass(frozen=True, slots=True)
class Encodable:
    r"""A stream that writes what its encoding has, and the rest as `\u2603`."""

    stream: TextIO

    @property
    def encoding(self) -> str:
        """The stream's encoding; UTF-8 where it has none, as a text in memory."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write the text, whatever is in it."""
        encoded = text.encode(self.encoding, "backslashreplace")
        return self.stream.write(encoded.decode(self.encoding))

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Tell what the stream says."""
        return is_terminal(self.stream)

    def fileno(self) -> int:
        """Return the stream's descriptor.

        Raises:
            OSError: It has none.
        """
        return self.stream.fileno()


class Page:
    """Lines on a stream, in colours or without; a line is never wrapped or cut."""

    def __init__(self, stream: TextIO, *, colored: bool) -> None:
        self._stream = Encodable(stream)
        self._colored = colored

    @property
    def columns(self) -> int | None:
        """How many columns the terminal has; None where the stream is no terminal."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or None
        except (AttributeError, OSError, ValueError):
            return None

    def line(self, *pieces: Piece) -> None:
        """Write one line."""
        self._stream.write("".join(self._render(piece) for piece in pieces).rstrip(" ") + "\n")

    def title(self, text: str) -> None:
        """Write a heading, an empty line before it."""
        self.line()
        self.line((text, "bold"))

    def flush(self) -> None:
        """Make everything visible."""
        self._stream.flush()

    def _render(self, piece: Piece) -> str:
        if isinstance(piece, str):
            return piece
        text, style = piece
        return styled(text, style) if self._colored and style else text


def styled(text: str, style: str) -> str:
    """Return the text with the codes of the 8 colours that every terminal has."""
    from rich.color import ColorSystem  # noqa: PLC0415  (rich is slow to import)
    from rich.style import Style  # noqa: PLC0415

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)
