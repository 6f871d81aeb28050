"""What keeps the history from being read or written; for a test run only ever a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


class HistoryError(UsageError):
    """The database cannot be used, or does not know what was asked for."""

    @classmethod
    def mistake(cls, root: Path, error: Exception) -> Self:
        """Return the error for a mistake of ours, which must not fail a run either."""
        return cls(
            f"{root}: a mistake in the history, please report it: {type(error).__name__}: {error}",
            hint="`[history] enabled = false` switches it off.",
        )


class NoHistory(HistoryError):  # noqa: N818  (what is the case)
    """Nothing was recorded yet."""
