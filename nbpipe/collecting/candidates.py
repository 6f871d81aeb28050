"""Patterns and exclusions -> which files are notebooks to run, and why each other is not.

One notebook that the patterns reach in several ways (links, pairs of jupytext) runs once. Kernels
and settings of a notebook are not decided here.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.collecting import texts
from nbpipe.collecting.heads import Head, read_notebook, special_file, unreadable
from nbpipe.collecting.paths import natural, printable
from nbpipe.collecting.scopes import Folder, Scope, expanded_by_a_shell, is_below
from nbpipe.collecting.walks import Found, Walk, walk
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from nbpipe.collecting.exclusions import Exclusions, Places
    from nbpipe.collecting.heads import Head

NAMED = "named on the command line"
_SIBLINGS = "named together with all its siblings, as a shell's glob does; name it alone to run it"


def choose_files(
    files: list[str], scopes: list[Scope], places: Places, exclusions: Exclusions
) -> Choosing:
    """Return the notebooks among the named files and in the scopes.

    Raises:
        UsageError: A named file is no notebook, or a folder cannot be listed.
    """
    result = Choosing()
    expanded = expanded_by_a_shell(files, [s.base for s in scopes if isinstance(s, Folder)])
    named = dict.fromkeys(files)
    for path in named:
        _take_named(path, exclusions, result, as_glob=path in expanded)
    if scopes:
        seen = _walk(scopes, places)
        _refuse_unreadable(seen, scopes, exclusions)
        for found in (found for found in seen.files if found.path not in named):
            _take_found(found, _wanting(found.path, scopes, seen.aliases), exclusions, result)
    drop_doubles(result, places)
    drop_twins(result, places)
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
    found = Found(path)
    if not is_candidate(path):
        if as_glob:
            return
        raise UsageError(
            f"{printable(path)}: not a notebook by its extension",
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


def _wanting(
    path: str, scopes: list[Scope], aliases: list[tuple[str, str]]
) -> list[tuple[Scope, str]]:
    """Return the scopes that a file is in, each with why; a link to its folder counts too."""
    linked = [link + path[len(real) :] for link, real in aliases if is_below(path, real)]
    reasons = ((scope, map(scope.why, (path, *linked))) for scope in scopes)
    return [(scope, why) for scope, whys in reasons if (why := next(filter(None, whys), None))]


def _take_found(
    found: Found, wanting: list[tuple[Scope, str]], exclusions: Exclusions, result: Choosing
) -> None:
    """Take a file of the walk if a scope wants it and no exclusion takes it out."""
    if not wanting:
        return
    path = found.path
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


def _ancestors(folder: str) -> set[str]:
    places = {folder}
    while folder != "/":
        folder = os.path.dirname(folder)  # noqa: PTH120
        places.add(folder)
    return places


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
