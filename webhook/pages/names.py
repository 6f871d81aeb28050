"""What the collections of a history are called in addresses, and on pages.

The database knows a collection by its keys (`nbpipe.history.identity`). One that is published
here has its name from the configuration; another one from its keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.history import PastCollection

_LONGEST = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A collection of the history."""

    id: int
    name: str
    """In addresses: letters, digits and `._-`."""
    title: str
    """Where it comes from, for people."""
    place: str = ""
    """The origin's address, `host/org/repo`; empty where none is known."""
    folder: str = ""
    """The collection's folder in the repository, with a slash at its end."""


def named(collections: Iterable[PastCollection], origins: Mapping[str, str]) -> dict[str, Named]:
    """Return the collections by name; of two that would have the same, the later has a number.

    Args:
        collections: As the history has them, the first recorded first.
        origins: The address of an origin (`host/org/repo`) -> the published collection's name.
    """
    found: dict[str, Named] = {}
    for each in collections:
        name, title = _call(each.keys, origins)
        name = _plain(name) or f"collection-{each.id}"
        if name in found:
            name = f"{name}-{each.id}"
        place, folder = _place(each.keys, name, origins)
        found[name] = Named(id=each.id, name=name, title=title, place=place, folder=folder)
    return found


def _call(keys: Iterable[str], origins: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and the title; the kind of key that says most comes first."""
    kinds = {key.partition(":")[0]: key.partition(":")[2] for key in keys}
    if given := kinds.get("name"):
        return given, given
    if origin := kinds.get("origin"):
        address, _, folder = origin.rpartition(":")
        name = origins.get(address, address.rpartition("/")[2])
        inside = folder.strip("/")
        return (f"{name}-{inside}", f"{address}: {inside}") if inside else (name, address)
    if path := kinds.get("path"):
        return path.rstrip("/").rpartition("/")[2], path
    if root := kinds.get("root"):
        commit, _, folder = root.partition(":")
        return f"{commit[:12]}-{folder}", f"commit {commit[:12]} {folder}"
    return "", ""


def _place(keys: Iterable[str], name: str, origins: Mapping[str, str]) -> tuple[str, str]:
    """Return the origin's address and the folder in it, as far as the keys tell them."""
    for key in keys:
        kind, _, rest = key.partition(":")
        if kind == "origin":
            address, _, folder = rest.rpartition(":")
            return address, folder
    return next((place for place, other in origins.items() if other == name), ""), ""


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST].strip(".-")
