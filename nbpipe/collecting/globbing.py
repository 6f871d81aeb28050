"""Names that a shell put in the place of a glob: they mean what the quoted glob means."""

from __future__ import annotations

import os
from collections import defaultdict


def expanded_by_a_shell(files: list[str], folders: list[str]) -> set[str]:
    """Return the files that a shell's glob seems to have named.

    They are *all* the files of one ending in their folder, at least two of them; where that holds
    for one folder, a single file that is all of another named folder counts too, as in
    `*/*.ipynb`. Or they are, with the named folders, all there is in their folder, as in `*`.

    Args:
        files: The named files, absolute.
        folders: The named folders, absolute.
    """
    named: dict[str, set[str]] = defaultdict(set)
    for path in (*files, *folders):
        folder, name = os.path.split(path)
        named[folder].add(name)
    wanted = set(files)
    expanded: set[str] = set()
    by_ending: dict[str, list[set[str]]] = defaultdict(list)
    if len(files) + len(folders) > 1:
        for folder, names in named.items():
            there = _visible(folder)
            if len(names) > 1 and names >= there:
                expanded |= {f"{folder}/{name}" for name in names}
            for ending, complete in _complete(names, there).items():
                paths = {f"{folder}/{name}" for name in complete} & wanted
                by_ending[ending].append(paths)
    for groups in by_ending.values():
        if any(len(group) > 1 for group in groups):
            expanded.update(*groups)
    return expanded & wanted


def _complete(names: set[str], there: set[str]) -> dict[str, set[str]]:
    """Return the named ones by their ending, where all of that ending are named."""
    mine, all_of = _by_ending(names), _by_ending(there)
    return {ending: group for ending, group in mine.items() if group >= all_of[ending]}


def _by_ending(names: set[str]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[os.path.splitext(name)[1]].add(name)  # noqa: PTH122
    return groups


def _visible(folder: str) -> set[str]:
    """Return what a shell's `*` names in a folder; nothing where it cannot be listed."""
    try:
        return {name for name in os.listdir(folder) if not name.startswith(".")}  # noqa: PTH208
    except OSError:
        return set()
