"""Which of the notebooks that wait may start beside those that run. Values in, a value out.

There are so many slots, and so much memory where there is a budget. In the order in which they
wait:

- one whose group is at work is overtaken until the group is free;
- the first one else for which there is no room yet is the head. It is overtaken only by what
  fits beside the head itself, all that has overtaken it included, and is in none of its groups.
  So it waits for nothing but what ran before it was the head: small ones use the room that it
  cannot use, and it is not kept waiting by them;
- a need larger than all there is counts as all there is: such a notebook runs alone. Where
  nothing runs, the first one starts, whatever it needs: nothing waits for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Need:
    """What one notebook takes while it runs; two are never the same."""

    slots: int = 1
    memory: int = 0
    """Bytes."""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Running:
    """A notebook that runs."""

    need: Need
    overtook: Need | None = None
    """The head that waited when it started."""


@dataclass(frozen=True, slots=True)
class Room:
    """Slots and bytes of memory: all that there are, or what is left of them."""

    slots: int
    memory: int = 0

    def without(self, needs: Iterable[Need]) -> Room:
        """Return what is left beside them."""
        taken = list(needs)
        return Room(
            self.slots - sum(need.slots for need in taken),
            self.memory - sum(need.memory for need in taken),
        )

    def common(self, other: Room) -> Room:
        """Return what both have."""
        return Room(min(self.slots, other.slots), min(self.memory, other.memory))

    def has(self, need: Need) -> bool:
        """Return whether it is enough."""
        return need.slots <= self.slots and need.memory <= self.memory

    def capped(self, need: Need) -> Need:
        """Return the need, or all that there is where that is less."""
        if self.has(need):
            return need
        return Need(
            slots=min(need.slots, self.slots),
            memory=min(need.memory, self.memory),
            groups=need.groups,
        )


def choose(
    waiting: Iterable[Need],
    running: Collection[Running],
    everything: Room,
    *,
    available: int | None = None,
) -> tuple[int, Need | None] | None:
    """Return the place of the one to start, and the head that it overtakes; None: something ends.

    Args:
        waiting: In their order; none needs more than everything.
        running: Those that run.
        everything: The room that there is.
        available: Bytes of memory that the machine has left in this moment, whatever the plan
            says; None where that does not matter.
    """
    left = everything.without(each.need for each in running)
    if running and available is not None:
        left = left.common(Room(left.slots, available))
    busy = frozenset(group for each in running for group in each.need.groups)
    if left.slots < 1:
        return None
    head = None
    for place, need in enumerate(waiting):
        if not busy.isdisjoint(need.groups):
            continue
        if left.has(need) or not running:
            return place, head
        if head is None:
            head = need
            past = [each.need for each in running if each.overtook is head]
            left = left.common(everything.without([head, *past]))
            busy |= head.groups
        if left.slots < 1:
            return None
    return None
