"""What keeps a run from being told on GitHub.

GithubError             exit 1   GitHub says no, or does not answer for too long
└── Unclear                      nobody knows whether GitHub did what it was asked to
"""

from __future__ import annotations

from nbpipe.errors import ExitCode, NbpipeError


class GithubError(NbpipeError):
    """GitHub does not do what it was asked to; `status` is its answer's, None without one."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class NotFound(GithubError):  # noqa: N818  (what is the case)
    """GitHub knows no such thing, or does not show it to whoever asks."""


class Unclear(GithubError):  # noqa: N818  (likewise)
    """It was sent, and the answer is missing: it may have been done."""
