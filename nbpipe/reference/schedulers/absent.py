"""A scheduler that cannot be asked from here: its package or its programs are elsewhere.

A run that has ended can be looked at on any host that sees its folder; only a question to the
scheduler fails, in the words of whatever is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from nbpipe.reference.schedulers.protocol import Traits

if TYPE_CHECKING:
    from collections.abc import Collection

    from nbpipe.reference.errors import SchedulerMissing
    from nbpipe.reference.schedulers.protocol import JobRequest


class Absent:
    """Stands for a scheduler; every question raises the error that says what is missing."""

    traits = Traits(warning=None, dependencies=None, arrays=False)

    def __init__(self, name: str, error: SchedulerMissing) -> None:
        self.name = name
        self._error = error

    def submit(self, _request: JobRequest) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def submit_array(
        self,
        _request: JobRequest,
        _count: int,
        *,
        at_once: int | None = None,  # noqa: ARG002  (the protocol's)
    ) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def poll(self, _jobs: Collection[str]) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def account(self, _jobs: Collection[str]) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def cancel(self, _jobs: Collection[str]) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error

    def find(self, _name: str) -> NoReturn:
        """Refuse (see `Scheduler`)."""
        raise self._error
