"""What there is to take: collections, folders with their notebooks' titles, releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.publishing.copies import selection
from nbpipe.publishing.copies.decision import Kind
from nbpipe.publishing.copies.substance import SUFFIX
from nbpipe.publishing.copies.titles import title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.publishing.copies.places import Source
    from nbpipe.publishing.copies.releases import Published, Release


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One collection, as `--list` shows it."""

    name: str
    release: Release
    folders: Mapping[str, Sequence[str]]
    """The files by top folder; "." is the root."""
    titles: Mapping[str, str]
    """Of every notebook; empty where it has none."""
    releases: Sequence[Published]
    """All that a mirror has, the newest first."""
    collections: Sequence[str]
    """The names of several."""
    only: bool
    """Some folders were asked for."""


def listing(source: Source, release: Release, only: Sequence[str]) -> Listing:
    """Return what there is to take.

    Args:
        source: Where from.
        release: The one to look into.
        only: Folders or files; none: everything.

    Raises:
        UsageError: `only` names what the release does not hold.
        CopyError: The release cannot be read.
    """
    files = release.listing()
    wanted = selection.cleaned(only, files, "--only") or [""]
    folders: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for path in sorted(files):
        if not any(selection.below(path, folder) for folder in wanted):
            continue
        top, slash, _ = path.partition("/")
        folders.setdefault(top if slash else ".", []).append(path)
        if path.endswith(SUFFIX):
            titles[path] = ""
            if files[path].kind is Kind.FILE:
                with release.open(path) as file:
                    titles[path] = title(file.read())
    return Listing(
        name=source.name,
        release=release,
        folders=dict(sorted(folders.items())),
        titles=titles,
        releases=source.mirror.releases() if source.mirror else [],
        collections=source.collections,
        only=bool(only),
    )
