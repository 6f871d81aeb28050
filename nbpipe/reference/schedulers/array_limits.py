"""An array that is larger than the scheduler takes, as several.

The limit is what the scheduler itself answers. Where it does not say one, nothing is split, and
what it refuses is told in its own words.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.reference.errors import SchedulerError, SchedulerMissing, SubmissionRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbpipe.reference.schedulers.programs import Programs
    from nbpipe.reference.schedulers.protocol import JobRequest, Scheduler

    Part = Callable[[JobRequest, int, int | None], tuple[str, ...]]


def answer(programs: Programs, *question: str) -> str:
    """Return what a scheduler's program says of its limits; nothing where it cannot be asked."""
    with contextlib.suppress(SchedulerError, SchedulerMissing):
        return programs.ask(*question)
    return ""


def number(said: str, pattern: str) -> int | None:
    """Return the first group of a pattern in an answer as a number; None where it is not there."""
    found = re.search(pattern, said, re.MULTILINE)
    return int(found[1]) if found else None


def in_parts(  # noqa: PLR0913  (keywords)
    scheduler: Scheduler,
    request: JobRequest,
    count: int,
    *,
    most: int | None,
    at_once: int | None,
    submit: Part,
) -> tuple[str, ...]:
    """Submit an array, as several where it is larger than one may be; return the tasks' ids.

    All have the same name, so that it finds all of them. The files of the second and later ones
    have its number before the index. Where one is refused, those before it are cancelled.

    Args:
        scheduler: Cancels.
        request: What to submit.
        count: Tasks in all.
        most: Tasks of one array at most; None: nobody knows.
        at_once: Tasks that may run at once, shared out among the arrays.
        submit: Submits one array.

    Raises:
        SubmissionRefused, SchedulerOutage, SchedulerMissing: As for `Scheduler.submit_array`.
    """
    size = count if most is None or most < 1 else min(most, count)
    sizes = [size] * (count // size) + ([count % size] if count % size else [])
    jobs: tuple[str, ...] = ()
    for number, tasks in enumerate(sizes, 1):
        share = max(1, at_once * tasks // count) if at_once else None
        try:
            jobs += submit(_numbered(request, number), tasks, share)
        except SubmissionRefused as error:
            with contextlib.suppress(SchedulerError):
                scheduler.cancel(jobs)
            if number > 1:
                error.hint = f"It took {len(jobs)} of {count} tasks. {error.hint}"
            raise
    return jobs


def _numbered(request: JobRequest, number: int) -> JobRequest:
    def named(file: Path) -> Path:
        return file.with_name(f"{file.name}.{number}")

    if number == 1:
        return request
    return replace(request, stdout=named(request.stdout), stderr=named(request.stderr))
