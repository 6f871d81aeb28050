"""What people do with releases: look at them, go back, prove them, clear them away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.publishing.errors import MirrorError, PublishError
from nbpipe.publishing.releases.journal import Event, Trigger, at
from nbpipe.publishing.releases.mirror import COMMIT, Pin
from nbpipe.publishing.releases.retention import last_current

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from nbpipe.publishing.publisher import Publisher
    from nbpipe.publishing.releases.manifest import Manifest
    from nbpipe.publishing.releases.verify import Damage

_PATIENCE = 30.0
"""Seconds that a person waits for the worker to finish what it is doing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRelease:
    """One release on disk."""

    commit: str
    path: Path
    current: bool
    pinned: bool
    published: datetime | None
    """When it became current for the first time, as far as the journal knows; UTC."""
    last_current: datetime | None
    """When it was last seen to be current; UTC."""
    author: str
    date: str
    """The commit's, ISO 8601."""
    subject: str
    files: int
    size: int
    """Bytes."""
    forced: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What a release has over another."""

    before: str | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What became of one release's verification."""

    commit: str
    damages: tuple[Damage, ...]
    repaired: bool


def require(publisher: Publisher) -> None:
    """Refuse to look at, or make, a mirror where none is: the root may be mistyped.

    Raises:
        PublishError: Nothing is published, or the disk says no.
    """
    with publisher.disk():
        there = publisher.mirror.releases()
    if not there:
        raise MirrorError(
            f"{publisher.mirror.path}: nothing is published here",
            hint=f"`nbpipe publish {publisher.settings.name}` makes the mirror.",
        )


def releases(publisher: Publisher) -> list[ListedRelease]:
    """Return the releases on disk, the current one first; waits for nobody.

    Raises:
        PublishError: The disk says no.
    """
    with publisher.disk():
        return _releases(publisher)


def show(publisher: Publisher, name: str) -> tuple[ListedRelease, Changes]:
    """Return a release, and what changed against the one that was current before it.

    Raises:
        UsageError: No release, or several, are called that.
        PublishError: The disk says no.
    """
    with publisher.disk():
        commit = _find(publisher, name)
        every = {release.commit: release for release in _releases(publisher)}
        if commit not in every:
            raise UsageError(
                f"{publisher.settings.name}: {name} is not on disk",
                hint="`nbpipe release list` shows those that are.",
            )
        return every[commit], _changes(publisher, commit)


def rollback(publisher: Publisher, name: str | None = None, *, reason: str = "") -> str:
    """Go back to a release (by default the one before) and hold it until `unpin`.

    Returns:
        The commit that is current now.

    Raises:
        UsageError: There is no such release.
        PublishError: It could not be made or shown.
    """
    with publisher.at_work(patience=_PATIENCE):
        previous = publisher.mirror.current()
        commit = _find(publisher, name) if name else _before(publisher, previous)
        publisher.make(commit)
        # First the pin: whatever happens now, the worker goes on to this release.
        pin = Pin(commit=commit, since=at(publisher.now()), reason=reason)
        publisher.mirror.pin(pin)
        if previous != commit:
            publisher.show(commit)
            publisher.record(
                Event.ROLLED_BACK, commit, Trigger.ROLLBACK, previous=previous, reason=reason
            )
        publisher.tidy()
    return commit


def unpin(publisher: Publisher) -> bool:
    """Follow the branch again from the next reconciliation on; False where nothing was pinned."""
    with publisher.at_work(patience=_PATIENCE):
        there = (publisher.mirror.state / "pin.json").exists()
        publisher.mirror.pin(None)
        if there:
            current = publisher.mirror.current() or ""
            publisher.record(Event.UNPINNED, current, Trigger.UNPIN)
    return there


def verify(
    publisher: Publisher, name: str | None = None, *, repair: bool = True
) -> list[Verification]:
    """Check one release, or all, against their blobs; build damaged ones anew.

    Raises:
        UsageError: There is no such release.
        PublishError: A repair failed.
    """
    verdicts = []
    with publisher.at_work(patience=_PATIENCE):
        every = publisher.mirror.releases()
        chosen = [_find(publisher, name)] if name else sorted(every)
        for commit in chosen:
            if commit not in every:
                raise UsageError(f"{publisher.settings.name}: release {commit} is not on disk")
            damages = publisher.damages(commit)
            repaired = bool(damages) and repair
            if repaired:
                publisher.repair(commit, damages)
                what = f"{len(damages)} damages, the first: {damages[0]}"
                publisher.record(Event.REPAIRED, commit, Trigger.MANUAL, reason=what)
            verdicts.append(Verification(commit=commit, damages=tuple(damages), repaired=repaired))
    return verdicts


def gc(publisher: Publisher, *, dry_run: bool = False) -> list[str]:
    """Remove (or only name) the releases that are neither young nor among the newest.

    Raises:
        PublishError: The disk says no.
    """
    with publisher.at_work(patience=_PATIENCE):
        gone = publisher.collect_garbage(dry_run=dry_run)
        if not dry_run:
            publisher.tidy()
    return gone


def _releases(publisher: Publisher) -> list[ListedRelease]:
    mirror, entries = publisher.mirror, publisher.mirror.journal.entries()
    current, pin = mirror.current(), mirror.pinned()
    last, on_disk = last_current(entries), mirror.releases()
    published = {e.commit: e for e in reversed(entries) if e.event is Event.PUBLISHED}
    described = publisher.cache.describe(on_disk)
    found = []
    for commit in on_disk:
        if not mirror.release(commit).is_dir():
            continue  # removed by the worker at this moment
        held, first = publisher.manifest(commit), published.get(commit)
        author, date, subject = described.get(commit, ("", "", ""))
        found.append(
            ListedRelease(
                commit=commit,
                path=mirror.release(commit),
                current=commit == current,
                pinned=pin is not None and commit == pin.commit,
                published=first.time if first else None,
                last_current=last.get(commit),
                author=author,
                date=date,
                subject=subject,
                files=len(held.files),
                size=held.size,
                forced=first.forced if first else False,
                warnings=held.warnings,
            )
        )
    # Not by time: the clock may have been set back.
    order = {commit: number for number, commit in enumerate(last)}
    return sorted(
        found,
        key=lambda each: (each.current, order.get(each.commit, -1), each.commit),
        reverse=True,
    )


def _changes(publisher: Publisher, commit: str) -> Changes:
    entries = publisher.mirror.journal.entries()
    befores = [e.previous for e in entries if e.event is Event.PUBLISHED and e.commit == commit]
    before = next((each for each in befores if each and each != commit), None)
    new = _content(publisher.manifest(commit))
    old = {}
    if before and (publisher.mirror.release(before).is_dir() or publisher.cache.has(before)):
        old = _content(publisher.manifest(before))
    return Changes(
        before=before,
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


def _content(manifest: Manifest) -> dict[str, str]:
    files = {file.path: file.key for file in manifest.files}
    return files | {link.path: link.target for link in manifest.links}


def _find(publisher: Publisher, name: str) -> str:
    """Return the commit of which `name` is the id or its beginning, or `current`."""
    if name == "current" and (current := publisher.mirror.current()):
        return current
    found = [commit for commit in publisher.mirror.releases() if commit.startswith(name.lower())]
    if len(found) > 1:
        raise UsageError(
            f"{publisher.settings.name}: {name} may be any of {', '.join(sorted(found))}",
            hint="Give more of it.",
        )
    if found:
        return found[0]
    if set(name.lower()) <= set("0123456789abcdef") and (
        known := publisher.cache.resolve(name.lower())
    ):
        return known
    raise UsageError(
        f"{publisher.settings.name}: release not found: {name}",
        hint="`nbpipe release list` lists the releases.",
    )


def _before(publisher: Publisher, current: str | None) -> str:
    """Return what was current before the present release was first published.

    Later comings and goings do not count: a second rollback goes further back, never forth.
    """
    entries = publisher.mirror.journal.entries()
    for event in (Event.PUBLISHED, Event.ROLLED_BACK):
        ours = [entry for entry in entries if entry.event is event and entry.commit == current]
        for entry in ours:
            if entry.previous and COMMIT.fullmatch(entry.previous):
                return entry.previous
        if ours:
            break
    raise PublishError(
        f"{publisher.settings.name}: the journal knows no release before the current one",
        hint="Name one; `nbpipe release list` lists the releases.",
    )
