"""What can go wrong between us and a scheduler.

NbpipeError
├── SchedulerError          exit 3  a scheduler's program failed; its own words are kept
│   └── SchedulerOutage     exit 3  no answer: no news about any job, ask again later
│       └── NoAccounting    exit 3  the scheduler keeps none (see `schedulers.protocol`)
├── IncompleteRun           exit 1  it has ended, and its own result is not here
└── UsageError
    ├── ProfileError        exit 4  an unknown profile, or a value that may not be
    ├── SubmissionRefused   exit 4  the scheduler will not take this job
    └── SchedulerMissing    exit 4  its programs are not on this machine
"""

from __future__ import annotations

from nbpipe.errors import ExitCode, NbpipeError, UsageError


class SchedulerError(NbpipeError):
    """A scheduler's program failed; the message holds its own words."""


class SchedulerOutage(SchedulerError):  # noqa: N818  (the field's own word)
    """The scheduler did not answer: no news, never a state.

    After `submit` it is unknown whether the job was taken: `find` its name.
    """


class SchedulerMissing(UsageError):  # noqa: N818  (a state of things, as NothingCollected)
    """The scheduler is unknown, or its programs are not on this machine."""


class SubmissionRefused(UsageError):  # noqa: N818  (as above)
    """The scheduler will not take the job."""


class ProfileError(UsageError):
    """A profile is unknown, or one of its values may not be."""


class IncompleteRun(NbpipeError):  # noqa: N818  (what it is, not what went wrong)
    """A run has ended, and not everything that it left is here yet."""

    exit_code = ExitCode.FAILED
