"""Which schedulers there are: the entry points `nbpipe.schedulers`, ours and a site's alike.

An entry point names a callable that takes nothing and returns a `Scheduler`.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from nbpipe.reference.errors import SchedulerMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.reference.schedulers.protocol import Scheduler

GROUP = "nbpipe.schedulers"


def names() -> list[str]:
    """Return the names of all schedulers that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def scheduler(name: str) -> Scheduler:
    """Return the scheduler of that name.

    Raises:
        SchedulerMissing: There is none, or its package is broken.
    """
    points = entry_points(group=GROUP, name=name)
    if not points:
        near = get_close_matches(name, names(), n=1, cutoff=0.5)
        advice = f"Did you mean {near[0]!r}? " if near else ""
        raise SchedulerMissing(
            f"unknown scheduler {name!r}", hint=f"{advice}Known: {', '.join(names())}."
        )
    (point, *_) = points
    try:
        make = cast("Callable[[], Scheduler]", point.load())
    except (ImportError, AttributeError) as error:
        raise SchedulerMissing(
            f"scheduler {name!r}: {point.value} cannot be loaded: {error}",
            hint="Mend or remove the package that brings it.",
        ) from error
    return make()
