"""A service's log on standard error: one printable line per record."""

from __future__ import annotations

import logging
import sys
from typing import Any

from nbpipe.system.text import plain, plain_name


class OneLine(logging.Formatter):
    """One printable line per record, whatever a server, a commit or a request made it say.

    A traceback stands below, indented, so that no line of it looks like a record.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's)
        """Return the record's line."""
        return plain_name(" ".join(super().formatMessage(record).split()))

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  (logging's)
        """Return a traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  (logging's)
        """Return a stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in plain(text).splitlines())


def log_to_stderr(form: str) -> None:
    """Have everything of importance logged to standard error, in that form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
