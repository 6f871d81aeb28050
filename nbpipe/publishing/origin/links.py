"""Where a symbolic link of a tree leads, decided without a file system.

A link is followed component by component, through every other link of the tree, as the kernel
would: one that leaves the tree at any step leaves it. Values only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

LONGEST = 4_095
"""Bytes in a link's target: PATH_MAX with its end."""
_HOPS = 40
"""Links the kernel follows in one path (path_resolution(7))."""
STEPS = 3_000_000
"""Parts of targets that are gone through for one tree; a few seconds."""
_UNREADABLE = re.compile("[\x00-\x1f\x7f]")


class Leads(StrEnum):
    """Where to."""

    INSIDE = "inside"
    NOWHERE = "nowhere"
    """Inside, but nothing is there."""
    OUTSIDE = "outside"
    ROUND = "round"
    """A loop of links, or too many."""
    TOO_FAR = "too far"
    """All links together have more folders on their ways than are gone through."""


_ARRIVES = (Leads.INSIDE, Leads.NOWHERE)


def leads(link: str, links: Mapping[str, str], others: Container[str]) -> Leads:
    """Return where the link at that path leads.

    Args:
        link: A key of `links`.
        links: Every link of the tree: path -> target.
        others: The paths of its files and folders.
    """
    return Following(links, others).leads(link)


@dataclass(frozen=True, slots=True)
class _End:
    """Where following a link ends, from wherever it is met."""

    leads: Leads
    path: str = ""
    """The place, where it is inside."""
    missing: int = 0
    """Folders that are not there, from that place on."""
    hops: int = 0
    """Links on the way."""


class Following:
    """All links of a tree, each followed once: what several lead through is not walked again.

    Args:
        links: Every link of the tree: path -> target.
        others: The paths of its files and folders.
    """

    def __init__(self, links: Mapping[str, str], others: Container[str]) -> None:
        self._links = links
        self._others = others
        self._known: dict[tuple[str, str], _End | None] = {}
        """By folder and target, which many links may share; None while it is being followed."""
        self.steps = 0
        """Parts of targets that were gone through so far."""

    def leads(self, link: str) -> Leads:
        """Return where the link at that path leads."""
        return self._follow(link).leads

    def _follow(self, link: str) -> _End:
        """Follow a link, and those that it leads through first, without recursion."""
        waiting = [link]
        while True:
            name = waiting[-1]
            key = name.rpartition("/")[0], self._links[name]
            if (known := self._known.get(key)) is None:
                self._known[key] = None
                found = self._walk(*key)
                if isinstance(found, str):
                    through = found.rpartition("/")[0], self._links[found]
                    if through not in self._known:
                        waiting.append(found)
                        continue
                    found = _End(Leads.ROUND)  # it is being followed: back where it came from
                self._known[key] = known = found
            waiting.pop()
            if not waiting:
                return known
            self._known.pop((waiting[-1].rpartition("/")[0], self._links[waiting[-1]]))

    def _walk(self, folder: str, target: str) -> _End | str:
        """Go through a target's parts; return the link on the way that is to be followed first."""
        self.steps += target.count("/") + 1
        if self.steps > STEPS:
            return _End(Leads.TOO_FAR)
        if _outside(target):
            return _End(Leads.OUTSIDE)
        way = _Way(folder)
        for part in _parts(target):
            if part == "..":
                if not way.up():
                    return _End(Leads.OUTSIDE)
            elif (stop := self._down(way, part)) is not None:
                return stop
        return _End(Leads.NOWHERE if way.nowhere else Leads.INSIDE, way.here, way.missing, way.hops)

    def _down(self, way: _Way, part: str) -> _End | str | None:
        """Go on by one name; return the end, or the link to be followed first, where it is one."""
        path = f"{way.here}/{part}" if way.here else part
        if way.missing or (path not in self._links and path not in self._others):
            way.miss()
            return None
        if path not in self._links:
            way.here = path
            return None
        through = self._known.get((way.here, self._links[path]))
        if through is None:
            return path
        if through.leads not in _ARRIVES:
            return through
        return None if way.jump(through) else _End(Leads.ROUND)


@dataclass(slots=True)
class _Way:
    """How far a target was gone through."""

    here: str
    missing: int = 0
    """Folders that are not there, from `here` on: only the way back has to be counted."""
    hops: int = 0
    nowhere: bool = False

    def up(self) -> bool:
        """Go to the folder above; False where there is none."""
        if self.missing:
            self.missing -= 1
        elif self.here:
            self.here = self.here.rpartition("/")[0]
        else:
            return False
        return True

    def miss(self) -> None:
        """Go to what is not there."""
        self.missing, self.nowhere = self.missing + 1, True

    def jump(self, through: _End) -> bool:
        """Go to where a link ends; False where that is one too many."""
        self.here, self.missing = through.path, through.missing
        self.hops += through.hops + 1
        self.nowhere = self.nowhere or through.leads is Leads.NOWHERE
        return self.hops <= _HOPS


def _parts(target: str) -> list[str]:
    return [part for part in target.split("/") if part not in {"", "."}]


def _outside(target: str) -> bool:
    return (
        not target
        or target.startswith("/")
        or len(target.encode()) > LONGEST
        or _UNREADABLE.search(target) is not None
    )
