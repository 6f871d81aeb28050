"""Patterns and exclusions -> which files are notebooks to run, and why each other is not.

Kernels and settings of a notebook are not this module's business.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.collecting import texts
from nbpipe.collecting.heads import Head, read_notebook, special_file, unreadable
from nbpipe.collecting.naming import natural, printable
from nbpipe.collecting.scopes import Scope, is_below
from nbpipe.collecting.walking import Found, Walk, walk
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbpipe.collecting.exclusions import Exclusions, Places

NAMED = "named on the command line"
_SIBLINGS = "named together with all its siblings, as a shell's glob does; name it alone to run it"


@dataclass(slots=True)
class Chosen:
    """A notebook to run."""

    path: str
    """Absolute."""
    why: str
    head: Head
    named: bool = False


@dataclass(slots=True)
class Choosing:
    """What the patterns came to."""

    chosen: list[Chosen] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    """Absolute path -> reason."""
    matched: Counter[str] = field(default_factory=Counter)
    """What a person wrote -> how many notebooks it matched."""


def choose_files(
    files: list[str], scopes: list[Scope], places: Places, exclusions: Exclusions
) -> Choosing:
    """Return the notebooks among the named files and in the scopes.

    Raises:
        UsageError: A named file is no notebook, or a folder cannot be listed.
    """
    result = Choosing()
    expanded = _expanded(files)
    for path in dict.fromkeys(files):
        _take_named(path, exclusions, result, as_glob=path in expanded)
    if scopes:
        seen = _walk(scopes, places)
        _refuse_unreadable(seen, scopes, exclusions)
        for found in seen.files:
            _take_found(found, scopes, exclusions, result)
    _drop_doubles(result, places)
    _drop_twins(result, places)
    result.chosen.sort(key=lambda chosen: natural(chosen.path))
    return result


def is_candidate(name: str) -> bool:
    """Return whether a file of that name can be a notebook."""
    return name.endswith(".ipynb") or texts.is_text(name)


def _walk(scopes: list[Scope], places: Places) -> Walk:
    def descend(folder: str) -> bool:
        return any(scope.reaches(folder) or is_below(scope.base, folder) for scope in scopes)

    around = {place for start in (places.root, places.cwd) for place in _ancestors(start)}
    return walk(
        (scope.base for scope in scopes),
        descend=descend,
        is_candidate=is_candidate,
        exempt=frozenset(around),
    )


def _take_named(path: str, exclusions: Exclusions, result: Choosing, *, as_glob: bool) -> None:
    """Take a file that the command line names, as itself or as a part of an expanded glob."""
    found = Found(path, os.path.islink(path))  # noqa: PTH114
    if not is_candidate(path):
        if as_glob:
            return
        raise UsageError(
            f"{printable(path)}: is no notebook: its name has no ending of one",
            hint="Notebooks end in .ipynb, or are text that jupytext reads (.md, .py, .R, ...).",
        )
    head = _head(found, named=not as_glob)
    if head is None:
        return
    result.matched[path] += 1
    if as_glob and (reason := exclusions.reason(found, os.path.dirname(path))):  # noqa: PTH120
        result.excluded[path] = f"{reason}; {_SIBLINGS}"
        return
    result.chosen.append(Chosen(path, NAMED, head, named=not as_glob))


def _take_found(
    found: Found, scopes: list[Scope], exclusions: Exclusions, result: Choosing
) -> None:
    """Take a file of the walk if a scope wants it and no exclusion takes it out."""
    path = found.path
    wanting = [(scope, why) for scope in scopes if (why := scope.why(path))]
    if not wanting:
        return
    start, why = wanting[0][0].base, wanting[0][1]
    reason = exclusions.reason(found, start)
    if reason and not path.endswith(".ipynb") and exclusions.is_default(found, start):
        return  # thousands of scripts in an environment: none is opened, none is listed
    head = None
    if not reason or not path.endswith(".ipynb"):
        head = _head(found, named=False)
        if head is None:
            return
    for scope, _ in wanting:
        result.matched[scope.label] += 1
    if reason:
        result.excluded[path] = reason
    elif head:
        result.chosen.append(Chosen(path, why, head))


def _head(found: Found, *, named: bool) -> Head | None:
    """Return the head of a notebook, None for a text that is none."""
    path = found.path
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return special_file() if path.endswith(".ipynb") or named else None
    except OSError as error:
        return unreadable(error) if path.endswith(".ipynb") or named else None
    return read_notebook(path) if path.endswith(".ipynb") else texts.read_text(path, named=named)


def _refuse_unreadable(seen: Walk, scopes: list[Scope], exclusions: Exclusions) -> None:
    """Raise for the first folder that could not be listed and may hold what was asked for."""
    for folder, error in seen.unreadable:
        scope = next((scope for scope in scopes if scope.reaches(folder.path)), None)
        if scope and not exclusions.reason(folder, scope.base, folder=True):
            raise UsageError(
                f"cannot list folder {printable(folder.path)}: {error.strerror}",
                hint="Make it readable or exclude it: its notebooks would be lost in silence.",
            )


def _expanded(files: list[str]) -> set[str]:
    """Return the files that a shell's glob seems to have named.

    They are *all* the files of one ending in their folder, at least two of them (or another
    folder of which that is true is named too, as `*/*.ipynb` does); or all that is in the folder.
    """
    named: dict[str, set[str]] = defaultdict(set)
    for path in files:
        folder, name = os.path.split(path)
        named[folder].add(name)
    if sum(map(len, named.values())) <= 1:
        return set()
    groups: dict[str, list[set[str]]] = defaultdict(list)
    expanded: set[str] = set()
    for folder, names in named.items():
        there = {name for name in os.listdir(folder) if not name.startswith(".")}  # noqa: PTH208
        if len(names) > 1 and there and names >= {n for n in there if not _is_folder(folder, n)}:
            expanded |= {f"{folder}/{name}" for name in names}
        for ending in {_ending(name) for name in names}:
            mine = {name for name in names if _ending(name) == ending}
            if mine >= {name for name in there if _ending(name) == ending}:
                groups[ending].append({f"{folder}/{name}" for name in mine})
    for complete in groups.values():
        if any(len(group) > 1 for group in complete):
            expanded.update(*complete)
    return expanded


def _drop_doubles(result: Choosing, places: Places) -> None:
    """Keep one of the paths that lead to the same file: the named one, else the real one."""
    real_folders: dict[str, str] = {}
    by_file: dict[str, list[Chosen]] = defaultdict(list)
    for chosen in result.chosen:
        by_file[_real(chosen.path, real_folders)].append(chosen)
    kept = []
    for real, same in by_file.items():
        first = min(same, key=lambda c: (not c.named, c.path != real, natural(c.path)))
        kept.append(first)
        for other in same:
            if other.path != first.path:
                result.excluded[other.path] = f"the same file as {places.shown(first.path)}"
    result.chosen = kept
    for chosen in kept:
        result.excluded.pop(chosen.path, None)


def _drop_twins(result: Choosing, places: Places) -> None:
    """Take out each text notebook whose `.ipynb` exists, or says that it is its twin."""
    chosen_paths = {chosen.path for chosen in result.chosen}
    told = {
        text: chosen.path
        for chosen in result.chosen
        if chosen.path.endswith(".ipynb") and "jupytext" in chosen.head.metadata
        for text in texts.texts_of(chosen.path, chosen.head.metadata)
    }
    kept = []
    for chosen in result.chosen:
        twin = _twin(chosen, chosen_paths, told)
        if twin is None:
            kept.append(chosen)
        else:
            result.excluded[chosen.path] = f"the text twin of {places.shown(twin)}"
    result.chosen = kept


def _twin(chosen: Chosen, chosen_paths: set[str], told: dict[str, str]) -> str | None:
    if chosen.path.endswith(".ipynb"):
        return None
    options: Iterable[str] = texts.twins(chosen.path, chosen.head.metadata)
    if chosen.named:  # it means itself, unless its twin runs anyway
        options = [option for option in options if option in chosen_paths]
    else:
        options = [option for option in options if os.path.isfile(option)]  # noqa: PTH113
    return next(iter(options), told.get(chosen.path))


def _real(path: str, real_folders: dict[str, str]) -> str:
    if os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    if folder not in real_folders:
        real_folders[folder] = os.path.realpath(folder)
    return f"{real_folders[folder].rstrip('/')}/{name}"


def _ancestors(folder: str) -> set[str]:
    places = {folder}
    while folder != "/":
        folder = os.path.dirname(folder)  # noqa: PTH120
        places.add(folder)
    return places


def _ending(name: str) -> str:
    return os.path.splitext(name)[1]  # noqa: PTH122


def _is_folder(folder: str, name: str) -> bool:
    return os.path.isdir(f"{folder}/{name}")  # noqa: PTH112
