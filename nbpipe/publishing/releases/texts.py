"""Releases for people: a line each, one with what changed, what became of checking them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.system import units
from nbpipe.system.text import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from nbpipe.publishing.releases.operations import Changes, ListedRelease, Verification

_SHOWN = 20
"""Changed files that are listed of each kind."""


def line(each: ListedRelease) -> str:
    """Return a release with its state, when it was published, and its subject."""
    words = [word for word, true in (("current", each.current), ("pinned", each.pinned)) if true]
    words += ["forced"] if each.forced else []
    state = ",".join(words) or "-"
    return f"{each.commit[:12]}  {_when(each.published)}  {state:14}  {plain_name(each.subject)}"


def lines(found: ListedRelease, changes: Changes) -> Iterator[str]:
    """Yield a release's line, who made it, how large it is, and what it changed."""
    yield line(found)
    yield f"  commit   {found.commit}"
    yield f"  author   {plain_name(found.author)}, {found.date}"
    yield f"  files    {found.files:,}, {units.data(found.size)}"
    yield f"  path     {found.path}"
    for warning in found.warnings:
        yield f"  warning  {plain_name(warning)}"
    yield f"  against  {(changes.before or 'nothing')[:12]}"
    for mark, paths in (("+", changes.added), ("~", changes.changed), ("-", changes.removed)):
        for path in paths[:_SHOWN]:
            yield f"  {mark} {plain_name(path)}"
        if len(paths) > _SHOWN:
            yield f"  {mark} and {len(paths) - _SHOWN:,} more"


def damages(verdict: Verification) -> list[str]:
    """Return what was found damaged in a release, a line each."""
    return [f"{verdict.commit[:12]}: {plain_name(str(damage))}" for damage in verdict.damages]


def verdict_line(verdict: Verification) -> str:
    """Return how a release is after it was checked."""
    word = "intact" if not verdict.damages else "repaired" if verdict.repaired else "damaged"
    return f"{verdict.commit[:12]}: {word}"


def _when(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "-" * 20
