"""In which order changes are tried: side by side what has to change together.

Pure. Most mixes that cannot be judged are of packages that do not fit each other, and packages say
whom they fit. A search that cuts between two of those wastes a step, or many. Only the order comes
from here: what does not fit is judged all the same, since what a package says need not be so.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nbpipe.bisecting.locks import PackageChange, Pin

    Needs = Mapping[str, Sequence[str]]
    """By distribution: what it requires, as its metadata have it."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Which of the changes have to do with each other, both ways."""

    tied: Mapping[str, Collection[str]]
    """What says that it does not fit the other one, where only one of the two is changed."""
    related: Mapping[str, Collection[str]]
    """What requires the other one at all."""

    def together(self, names: Collection[str]) -> frozenset[str]:
        """Return some changes with all that are tied to them."""
        found: set[str] = set()
        waiting = [*names]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.tied.get(name, ())
        return frozenset(found)

    def clusters(self) -> dict[str, str]:
        """Return what belongs together, by change: the name of one of them."""
        return {name: min(self.together({name})) for name in self.tied}

    def ordered(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return changes so that tied ones follow each other, and related ones where they can."""
        found: dict[str, None] = {}
        for first in names:
            tied: list[str] = []
            related = [first]
            while tied or related:
                name = (tied or related).pop()
                if name not in found:
                    found[name] = None
                    tied += sorted(self.tied.get(name, ()), reverse=True)
                    related += sorted(self.related.get(name, ()), reverse=True)
        return tuple(found)


def neighbours(
    changes: Sequence[PackageChange], good: Needs, bad: Needs, markers: Mapping[str, str]
) -> Neighbours:
    """Return which of the changes have to do with each other.

    Args:
        changes: What differs.
        good: What the distributions of the good lock file require; empty where nobody knows.
        bad: Those of the bad one.
        markers: What environment markers are decided by.
    """
    tied: dict[str, set[str]] = {change.name: set() for change in changes}
    related: dict[str, set[str]] = {change.name: set() for change in changes}
    others = {change.name: (change.bad, change.good) for change in changes}
    for side, needs in enumerate((good, bad)):
        for name in related.keys() & needs.keys():
            for requirement in _holding(needs[name], markers):
                wanted = canonicalize_name(requirement.name)
                if wanted not in related or wanted == name:
                    continue
                fits = _fits(requirement, others[wanted][side])
                for found in (related,) if fits else (related, tied):
                    found[name].add(wanted)
                    found[wanted].add(name)
    return Neighbours(tied, related)


def _holding(texts: Sequence[str], markers: Mapping[str, str]) -> Iterator[Requirement]:
    """Yield requirements whose markers hold; those that cannot be read or decided left out."""
    unclear = (InvalidRequirement, UndefinedEnvironmentName, UndefinedComparison)
    for text in texts:
        with contextlib.suppress(*unclear):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(dict(markers)):
                yield requirement


def _fits(requirement: Requirement, other: Pin | None) -> bool:
    """Return whether a pin is what is required, as far as its version is known."""
    if other is None:
        return False
    if other.has_address:
        return True
    with contextlib.suppress(InvalidVersion):  # which `===` may name
        return requirement.specifier.contains(other.version, prereleases=True)
    return True
