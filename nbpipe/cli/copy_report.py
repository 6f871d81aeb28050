"""What getlatest tells: lines for people, one JSON document for programs. Values in, lines out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.publishing.copies.releases import Release
    from nbpipe.publishing.copies.report import Report

FOLD = 10
"""Names shown before a list is folded."""
SHORT = 12
"""Digits of a commit."""


def report_lines(report: Report) -> list[str]:
    """Return what became of a copy, for people."""
    would = "would be " if report.dry_run else ""
    pairs = [f"{shown(mine)} -> {shown(new)}" for mine, new in report.beside]
    parts = [
        (f"{would}added", report.added),
        (f"{would}updated", report.updated),
        (f"{would}restored", report.restored),
        (f"kept as you changed {'it' if len(report.kept) == 1 else 'them'}", report.kept),
        (f"{would}placed beside yours, changed by you and upstream", pairs),
        ("deleted upstream, kept here", report.gone),
        ("deleted by you, not brought back (--restore does)", report.stays_deleted),
        ("never part of a copy", [f"{shown(path)}: {why}" for path, why in report.left_out]),
        ("NOT up to date", [f"{shown(path)}: {why}" for path, why in report.problems]),
    ]
    lines = [f"{shown(report.folder)}: release {report.release[:SHORT]}, {_summary(report)}"]
    for title, names in parts:
        if names:
            lines.append(f"  {len(names)} {title}")
            whole = names in (report.added, report.updated, report.restored, report.gone)
            lines += [f"    {line}" for line in _folded(_by_folder(names) if whole else names)]
    return lines + [f"  {note}" for note in report.notes]


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
        "deleted_upstream": report.gone,
        "stays_deleted": report.stays_deleted,
        "left_out": [{"path": path, "reason": why} for path, why in report.left_out],
        "problems": [{"path": path, "reason": why} for path, why in report.problems],
        "notes": report.notes,
    }
    return [json.dumps(table, indent=1)]


def listing_lines(name: str, release: Release, releases: Sequence[tuple[str, bool]]) -> list[str]:
    """Return what there is to take, for people."""
    lines = [f"{name}: release {release.commit[:SHORT]}, from {shown(release.source)}", "folders"]
    for folder, (files, notebooks) in sorted(_folders(release).items()):
        lines.append(
            f"  {shown(folder)}/  {_count(notebooks, 'notebook')}, {_count(files, 'file')}"
        )
    if releases:
        lines.append("releases")
    for commit, current in releases:
        lines.append(f"  {commit}{'  current' if current else ''}")
    return lines


def listing_table(name: str, release: Release, releases: Sequence[tuple[str, bool]]) -> list[str]:
    """Return the same as JSON."""
    table = {
        "format": 1,
        "collection": name,
        "source": release.source,
        "release": release.commit,
        "folders": [
            {"path": folder, "files": files, "notebooks": notebooks}
            for folder, (files, notebooks) in sorted(_folders(release).items())
        ],
        "releases": [{"commit": commit, "current": current} for commit, current in releases],
    }
    return [json.dumps(table, indent=1)]


def shown(name: str) -> str:
    """Return a name as a terminal may print it."""
    return name if name.isprintable() else ascii(name)[1:-1]


def _summary(report: Report) -> str:
    if report.made and not report.dry_run:
        return f"a new copy of {_count(len(report.added), 'file')}"
    if not report.changed:
        return "nothing new" if not report.problems else "nothing could be updated"
    done = len(report.added) + len(report.updated) + len(report.restored) + len(report.beside)
    return f"{_count(done, 'file')} {'would be ' if report.dry_run else ''}written"


def _folded(names: Sequence[str]) -> list[str]:
    some = [shown(name) for name in names]
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
        f"{top}  ({_count(number, 'file')})" if top.endswith("/") else top
        for top, number in counts.items()
    ]


def _folders(release: Release) -> dict[str, tuple[int, int]]:
    """Return the top folders with their number of files and notebooks; "." is the root."""
    counts: dict[str, tuple[int, int]] = {}
    for path in release.listing():
        top, slash, _ = path.partition("/")
        files, notebooks = counts.get(top if slash else ".", (0, 0))
        counts[top if slash else "."] = files + 1, notebooks + path.endswith(".ipynb")
    return counts


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
