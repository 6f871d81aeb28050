"""When the next reconciliation is due. Values only: the time and the randomness come in.

A lone beacon is acted on at once; a burst is waited out, so that a thousand beacons cost three
fetches; failures are tried again with growing pauses, but never later than the next poll would
come: an origin that is back is noticed at the poll's pace. The poll catches what nobody reported.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from nbpipe.publishing.releases.journal import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

RECENT = 0.3
"""Seconds in which more than two wakes are a burst."""
QUIET = 0.5
"""Seconds without a wake that end a burst."""
LONGEST = 5.0
"""Seconds that a burst is waited for at most."""
FIRST_RETRY = 1.0
LAST_RETRY = 900.0
"""Seconds between two tries while something fails."""


class Schedule:
    """The state of one worker; times are seconds of a clock that never goes back."""

    def __init__(self, *, poll: float, random: Callable[[], float]) -> None:
        """Take the seconds between two polls (0: none) and a source of numbers in [0, 1)."""
        self._poll = poll
        self._random = random
        self._recent: deque[float] = deque(maxlen=3)
        self._pending: Trigger | None = None
        self._pending_since = 0.0
        self._due = math.inf
        self._next: tuple[float, Trigger] = (math.inf, Trigger.POLL)
        self._ended = -math.inf
        self._failures = 0

    def wake(self, trigger: Trigger, now: float) -> None:
        """Take note of a reason to look."""
        self._recent.append(now)
        burst = len(self._recent) == self._recent.maxlen and now - self._recent[0] < RECENT
        if self._pending is None:
            self._pending, self._pending_since = trigger, now
        elif self._due <= self._pending_since:
            # The first of a burst is not put off by those behind it.
            return
        self._due = min(now + QUIET, self._pending_since + LONGEST) if burst else now

    def wait(self, now: float) -> float:
        """Return the seconds until something is due; 0: now, infinite: never by itself."""
        due = self._next[0]
        if self._pending is not None:
            pause = self._ended + FIRST_RETRY if self._failures else -math.inf
            due = min(due, max(self._due, pause))
        return max(due - now, 0.0)

    def begin(self) -> Trigger:
        """Start what is due, and return why; wakes from now on ask for another one."""
        trigger = self._pending or self._next[1]
        self._pending, self._due = None, math.inf
        return trigger

    def end(self, now: float, *, again: bool) -> None:
        """Finish it.

        Args:
            now: The time.
            again: It failed in a way that may pass by itself.
        """
        self._ended = now
        self._failures = self._failures + 1 if again else 0
        # Many services that started together do not stay together.
        poll = self._poll * (0.9 + self._random() / 5) if self._poll else math.inf
        if again:
            pause = FIRST_RETRY * 2.0 ** min(self._failures - 1, 30) * (1 + self._random() / 2)
            self._next = (now + min(pause, poll, LAST_RETRY), Trigger.RETRY)
        else:
            self._next = (now + poll, Trigger.POLL)
