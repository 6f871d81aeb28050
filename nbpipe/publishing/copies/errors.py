"""What can keep a copy from being made or updated; the command ends with 1, nothing is lost.

CopyError                exit 1   something stopped the whole of it; the message says what and where
├── ReleaseGone                   the release was cleaned up while it was being read
├── CopyBusy                      another getlatest is at work in the same folder
└── NoSpace                       the disk or the quota is full
"""

from __future__ import annotations

from nbpipe.errors import ExitCode, NbpipeError


class CopyError(NbpipeError):
    """The copy could not be made or updated to the end; the user's files are as they were."""

    exit_code = ExitCode.FAILED


class ReleaseGone(CopyError):  # noqa: N818  (what happened)
    """The release is no longer there: its time was over while it was being copied."""


class CopyBusy(CopyError):  # noqa: N818  (likewise)
    """Another process holds the copy's lock."""


class NoSpace(CopyError):  # noqa: N818  (likewise)
    """The disk or the quota is full."""
