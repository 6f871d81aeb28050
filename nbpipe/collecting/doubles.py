"""One notebook that the patterns reach in several ways runs once: links, and pairs of jupytext."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.collecting import texts
from nbpipe.collecting.naming import natural

if TYPE_CHECKING:
    from nbpipe.collecting.exclusions import Places
    from nbpipe.collecting.heads import Head


@dataclass(slots=True)
class Chosen:
    """A notebook to run."""

    path: str
    """Absolute."""
    why: str
    head: Head
    named: bool = False
    """The command line names this very file."""


@dataclass(slots=True)
class Choosing:
    """What the patterns came to."""

    chosen: list[Chosen] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    """Absolute path -> reason."""
    matched: Counter[str] = field(default_factory=Counter)
    """What a person wrote -> how many notebooks it matched."""


def drop_doubles(result: Choosing, places: Places) -> None:
    """Keep one of the paths that lead to the same file: the named one, else the real one."""
    real_folders: dict[str, str] = {}
    by_file: dict[str, list[Chosen]] = defaultdict(list)
    for chosen in result.chosen:
        by_file[_real(chosen.path, real_folders)].append(chosen)
    kept = []
    for real, same in by_file.items():
        first = same[0]
        if len(same) > 1:
            first = min(same, key=lambda c: (not c.named, c.path != real, natural(c.path)))
        kept.append(first)
        result.excluded.pop(first.path, None)
        for other in same:
            if other.path != first.path:
                result.excluded[other.path] = f"the same file as {places.shown(first.path)}"
    result.chosen = kept


def drop_twins(result: Choosing, places: Places) -> None:
    """Take out each text notebook that is another notebook's text.

    Its `.ipynb` exists, or says so; or another text of the pair is chosen already. One that the
    command line names is taken out only where its twin runs.
    """
    paths = {chosen.path for chosen in result.chosen}
    owners: dict[str, str] = {}
    for chosen in result.chosen:
        if chosen.path.endswith(".ipynb") and "jupytext" in chosen.head.metadata:
            for text in texts.texts_of(chosen.path, chosen.head.metadata):
                owners[text] = chosen.path
    kept = []
    for chosen in sorted(result.chosen, key=lambda c: (not c.named, natural(c.path))):
        if chosen.path.endswith(".ipynb"):
            kept.append(chosen)
            continue
        stem = os.path.splitext(chosen.path)[0]  # noqa: PTH122
        twin = _notebook_of(chosen, paths) or owners.get(chosen.path) or owners.get(stem)
        if twin is None:
            kept.append(chosen)
            for text in (stem, *texts.texts_of(chosen.path, chosen.head.metadata)):
                owners.setdefault(text, chosen.path)
        else:
            result.excluded[chosen.path] = f"the text twin of {places.shown(twin)}"
    result.chosen = kept


def _notebook_of(text: Chosen, chosen_paths: set[str]) -> str | None:
    """Return the `.ipynb` that a text is the twin of."""
    for path in texts.twins(text.path, text.head.metadata):
        if path in chosen_paths or (not text.named and os.path.isfile(path)):  # noqa: PTH113
            return path
    return None


def _real(path: str, real_folders: dict[str, str]) -> str:
    """Return the real path; `real_folders` remembers those of folders."""
    if os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    if folder not in real_folders:
        real_folders[folder] = os.path.realpath(folder)
    return f"{real_folders[folder].rstrip('/')}/{name}"
