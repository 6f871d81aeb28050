"""What can keep a collection from being published, one class for each thing a person does next.

PublishError             exit 1   the last release stays; the message says why
├── OriginError                   the origin cannot be reached, or not now: tried again
│   └── BranchGone                the branch is not there (deleted, renamed): an alarm
├── Refused                       this commit will not be published; remembered
├── MirrorError                   the disk, the folders or the cache: tried again
├── Busy                          another process works on the same collection
└── Stopped                       the service ends; nothing is wrong
"""

from __future__ import annotations

from nbpipe.errors import ExitCode, NbpipeError


class PublishError(NbpipeError):
    """The collection could not be published; what was current still is."""

    exit_code = ExitCode.FAILED


class OriginError(PublishError):
    """The origin did not answer, or not as git wants it."""


class BranchGone(OriginError):  # noqa: N818  (what happened, as in the design)
    """The origin answers and has no such branch."""


class Refused(PublishError):  # noqa: N818  (likewise)
    """The tree breaks a rule, or the gate said no: the same commit is not tried again."""


class MirrorError(PublishError):
    """Something of ours is in the way: a full disk, a folder that is not ours, a damaged cache."""


class Busy(PublishError):  # noqa: N818  (likewise)
    """Another process holds the collection's lock."""


class Stopped(PublishError):  # noqa: N818  (likewise)
    """The service ends, and what it was doing with it; the next start does it."""
