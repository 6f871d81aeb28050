"""What libraries warn of, kept off the terminal: one line at the end of a command, all by --debug.

Python prints a warning wherever the cursor is, with a line of the library's source. What our own
loggers say is not touched, nor is anything where `-W` or PYTHONWARNINGS ask for warnings.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter
from typing import TextIO

_OWN = {"nbpipe", "webhook"}
_KEPT = 200


class Remarks(logging.Handler):
    """Takes Python's warnings, and the records that no handler takes, and counts them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen: Counter[str] = Counter()
        self._last_resort = logging.lastResort

    def install(self) -> None:
        """Take them from now on, until the process ends."""
        logging.lastResort = self
        if not sys.warnoptions:
            warnings.showwarning = self._show

    def _show(  # noqa: PLR0913, PLR0917  (of `warnings.showwarning`)
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del file, line
        self._keep(f"{category.__name__}: {message} ({filename}:{lineno})")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a library's record; print our own."""
        if record.name.partition(".")[0] in _OWN and self._last_resort is not None:
            self._last_resort.handle(record)
        else:
            self._keep(f"{record.name}: {self.format(record)}")

    def _keep(self, text: str) -> None:
        if text in self._seen or len(self._seen) < _KEPT:
            self._seen[text] += 1

    def told(self, *, everything: bool) -> str:
        """Return the note for a person; empty where there is nothing to tell."""
        if not self._seen:
            return ""
        if everything:
            lines = (f"  {count} x {text}" for text, count in self._seen.items())
            return "\n".join(["note: libraries warned of:", *lines])
        first = next(iter(self._seen)).split("\n", 1)[0]
        others = len(self._seen) - 1
        more = f" (and {others} other{'s' if others > 1 else ''})" if others else ""
        return f"note: a library warned: {first}{more}; --debug shows all"
