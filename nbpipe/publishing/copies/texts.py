"""What getlatest reports: lines for people, one JSON document for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nbpipe.publishing.copies.places import short
from nbpipe.system.text import plain_name
from nbpipe.system.units import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.publishing.copies.listing import Listing
    from nbpipe.publishing.copies.report import Report

FOLD = 10
"""Names shown before a list is folded."""
SHORT = 12
"""Digits of a commit."""


def report_lines(report: Report) -> list[str]:
    """Return what became of a copy, for people."""
    would = "would be " if report.dry_run else ""
    pairs = [f"{plain_name(mine)} -> {plain_name(new)}" for mine, new in report.beside]
    runs = [f"{plain_name(mine)} -> {plain_name(kept)}" for mine, kept in report.executed]
    gone = "as you changed or ran it" if report.prune else "--prune removes what you did not change"
    parts = [
        (f"{would}added", report.added),
        (f"{would}updated", report.updated),
        (f"{would}restored", report.restored),
        (f"kept as you changed {'it' if len(report.kept) == 1 else 'them'}", report.kept),
        (f"run by you: the new one has the name, your run {would or 'is '}kept beside", runs),
        (f"{would}placed beside yours, changed by you and upstream", pairs),
        ("removed from beside yours: unchanged, of an older release", report.replaced),
        (f"{would}removed, deleted upstream and not changed by you", report.pruned),
        (f"deleted upstream, kept here ({gone})", report.gone),
        ("deleted by you, not brought back (--restore does)", report.stays_deleted),
        ("never part of a copy", [f"{plain_name(path)}: {why}" for path, why in report.left_out]),
        ("Git LFS pointers, not the files' own content", report.pointers),
        ("NOT up to date", [f"{plain_name(path)}: {why}" for path, why in report.problems]),
    ]
    lines = [f"{plain_name(report.folder)}: release {report.release[:SHORT]}, {_summary(report)}"]
    for title, names in parts:
        if names:
            lines.append(f"  {len(names)} {title}")
            whole = names in (report.added, report.updated, report.restored, report.gone)
            whole = whole or names in (report.pruned, report.pointers)
            lines += [f"    {line}" for line in _folded(_by_folder(names) if whole else names)]
    return lines + [f"  {plain_name(note)}" for note in report.notes]


def report_table(report: Report) -> list[str]:
    """Return the same as JSON, with every name."""
    table = {
        "format": 1,
        "folder": report.folder,
        "source": report.source,
        "release": report.release,
        "dry_run": report.dry_run,
        "new_folder": report.made,
        "added": report.added,
        "updated": report.updated,
        "restored": report.restored,
        "up_to_date": report.same,
        "kept": report.kept,
        "beside": [{"path": mine, "as": new} for mine, new in report.beside],
        "executed": [{"path": mine, "as": kept} for mine, kept in report.executed],
        "removed_beside": report.replaced,
        "pruned": report.pruned,
        "deleted_upstream": report.gone,
        "stays_deleted": report.stays_deleted,
        "left_out": [{"path": path, "reason": why} for path, why in report.left_out],
        "lfs_pointers": report.pointers,
        "problems": [{"path": path, "reason": why} for path, why in report.problems],
        "warning": report.warning,
        "notes": report.notes,
    }
    return [json.dumps(table, indent=1)]


def collection_table(names: Sequence[str]) -> list[str]:
    """Return the collections there are where none of them is the usual one, as JSON."""
    return [json.dumps({"format": 1, "collections": list(names)}, indent=1)]


def collection_lines(names: Sequence[str], chosen: str | None = None) -> list[str]:
    """Return the collections there are and how each is taken, for people."""
    if not names:
        return []
    width = max(len(plain_name(name)) for name in names)
    return ["collections"] + [
        f"  {plain_name(name):{width}}  getlatest {plain_name(short(name))}"
        f"{'  (listed here)' if name == chosen else ''}"
        for name in names
    ]


def listing_lines(listing: Listing) -> list[str]:
    """Return what there is to take, for people."""
    release = listing.release
    date, subject = release.about()
    of = f" of {date[:10]}" if date else ""
    head = f"{listing.name}: release {release.commit[:SHORT]}{of}, from {release.source}"
    lines = [plain_name(head)]
    if subject:
        lines.append(f"  {plain_name(subject)}")
    lines += collection_lines(listing.collections, listing.name)
    lines.append("folders")
    for folder, paths in listing.folders.items():
        lines += _folder_lines(plain_name(folder), paths, listing)
    if listing.releases:
        lines.append("releases")
    for each in listing.releases:
        moment = each.date.replace("T", " ").removesuffix("Z")[:16]
        lines.append(f"  {each.commit}  {moment}{'  current' if each.current else ''}")
    return lines


def _folder_lines(folder: str, paths: Sequence[str], listing: Listing) -> list[str]:
    notebooks = [path for path in paths if path in listing.titles]
    held = f"{count(len(notebooks), 'notebook')}, {count(len(paths), 'file')}"
    few = notebooks if listing.only or len(notebooks) <= FOLD else notebooks[: FOLD - 1]
    width = max((len(plain_name(path)) for path in few), default=0)
    titles = [(plain_name(path), plain_name(listing.titles[path])) for path in few]
    lines = [
        f"  {folder}/  {held}",
        *(f"    {path:{width}}  {title}".rstrip() for path, title in titles),
    ]
    if more := len(notebooks) - len(few):
        lines.append(f"    ... and {more} more (--list --only {folder} shows them all)")
    return lines


def listing_table(listing: Listing) -> list[str]:
    """Return the same as JSON."""
    date, subject = listing.release.about()
    table = {
        "format": 1,
        "collection": listing.name,
        "collections": list(listing.collections),
        "source": listing.release.source,
        "release": listing.release.commit,
        "date": date or None,
        "subject": subject or None,
        "warning": listing.release.warning,
        "folders": [
            {
                "path": folder,
                "files": len(paths),
                "notebooks": sum(path in listing.titles for path in paths),
            }
            for folder, paths in listing.folders.items()
        ],
        "notebooks": [
            {"path": path, "title": title or None} for path, title in listing.titles.items()
        ],
        "releases": [
            {"commit": each.commit, "date": each.date, "current": each.current}
            for each in listing.releases
        ],
    }
    return [json.dumps(table, indent=1)]


def _summary(report: Report) -> str:
    if report.made and not report.dry_run:
        return f"a new copy of {count(len(report.added), 'file')}"
    if not report.changed:
        return "nothing new" if not report.problems else "nothing could be updated"
    done = len(report.added) + len(report.updated) + len(report.restored) + len(report.beside)
    would = "would be " if report.dry_run else ""
    removed = f"{count(len(report.pruned), 'file')} {would}removed" if report.pruned else ""
    written = f"{count(done, 'file')} {would}written" if done else ""
    return ", ".join(filter(None, (written, removed)))


def _folded(names: Sequence[str]) -> list[str]:
    some = [plain_name(name) for name in names]
    if len(some) <= FOLD:
        return some
    return [*some[: FOLD - 1], f"... and {len(some) - FOLD + 1} more (--json names them all)"]


def _by_folder(names: Sequence[str]) -> Sequence[str]:
    """Return a long list as its top folders, each with how many files it has there."""
    if len(names) <= FOLD:
        return names
    counts: dict[str, int] = {}
    for name in names:
        top, slash, _ = name.partition("/")
        counts[top + slash] = counts.get(top + slash, 0) + 1
    return [
        f"{top}  ({count(number, 'file')})" if top.endswith("/") else top
        for top, number in counts.items()
    ]
