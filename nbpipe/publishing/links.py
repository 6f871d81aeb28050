"""Where a symbolic link of a tree leads, decided without a file system.

A link is followed component by component, through every other link of the tree, as the kernel
would: one that leaves the tree at any step leaves it. Values only.
"""

from __future__ import annotations

import re
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

LONGEST = 4_095
"""Bytes in a link's target: PATH_MAX with its end."""
_HOPS = 40
"""Links the kernel follows in one path (path_resolution(7))."""
_UNREADABLE = re.compile("[\x00-\x1f\x7f]")


class Leads(StrEnum):
    """Where to."""

    INSIDE = "inside"
    NOWHERE = "nowhere"
    """Inside, but nothing is there."""
    OUTSIDE = "outside"
    ROUND = "round"
    """A loop of links, or too many."""


def leads(link: str, links: Mapping[str, str], others: Container[str]) -> Leads:
    """Return where the link at that path leads.

    Args:
        link: A key of `links`.
        links: Every link of the tree: path -> target.
        others: The paths of its files and folders.
    """
    here = link.split("/")[:-1]
    pending = deque(_parts(links[link]))
    hops, missing = 0, False
    if _outside(links[link]):
        return Leads.OUTSIDE
    while pending:
        part = pending.popleft()
        if part == "..":
            if not here:
                return Leads.OUTSIDE
            here.pop()
            continue
        path = "/".join([*here, part])
        if path not in links:
            here.append(part)
            missing = missing or path not in others
            continue
        hops += 1
        if _outside(links[path]):
            return Leads.OUTSIDE
        if hops > _HOPS:
            return Leads.ROUND
        pending.extendleft(reversed(_parts(links[path])))
    return Leads.NOWHERE if missing else Leads.INSIDE


def _parts(target: str) -> list[str]:
    return [part for part in target.split("/") if part not in {"", "."}]


def _outside(target: str) -> bool:
    return (
        not target
        or target.startswith("/")
        or len(target.encode()) > LONGEST
        or _UNREADABLE.search(target) is not None
    )
