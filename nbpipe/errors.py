"""One exception for every way a command can end that a person sees.

    NbpipeError                     something stopped the command
    ├── UsageError           exit 4  wrong arguments
    │   └── ConfigError      exit 4  the configuration has problems
    ├── NothingCollected     exit 5  no notebook was chosen
    └── InternalError        exit 3  our own mistake

The exit codes are pytest's. What a notebook does wrong is no exception: it is a
`nbpipe.model.Failure` inside a result.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended, for the shell: pytest's codes."""

    OK = 0
    FAILED = 1
    INTERRUPTED = 2
    INTERNAL_ERROR = 3
    USAGE_ERROR = 4
    NOTHING_COLLECTED = 5


class NbpipeError(Exception):
    """What happened and where (the message), and what to do next (`hint`)."""

    exit_code = ExitCode.INTERNAL_ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  {self.hint}" if self.hint else message


class UsageError(NbpipeError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE_ERROR


class ConfigError(UsageError):
    """A configuration file is unreadable or has problems; all of them are listed."""


class NothingCollected(NbpipeError):  # noqa: N818  (the exit code's own name)
    """The patterns chose no notebook at all."""

    exit_code = ExitCode.NOTHING_COLLECTED


class InternalError(NbpipeError):
    """Something that nbpipe promises did not hold."""
