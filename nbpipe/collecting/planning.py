"""A selection and the settings -> the plan: tasks in their order, and why each other is out."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.collecting.choosing import Choosing, choose_files
from nbpipe.collecting.exclusions import Exclusions, Places
from nbpipe.collecting.kernels import InstalledKernel, require
from nbpipe.collecting.keywords import Keyword
from nbpipe.collecting.naming import natural, printable
from nbpipe.collecting.scopes import Folder, Included, Scope, interpret, is_below
from nbpipe.collecting.tasks import Tasks
from nbpipe.errors import NothingCollected, UsageError
from nbpipe.model import Excluded, Plan, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.config import Config, TestSettings


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a person asked for on the command line."""

    cwd: Path
    patterns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keyword: str | None = None
    """The expression of `-k`."""
    shard: tuple[int, int] | None = None
    """`--shard I/N`: the I-th of N parts, I from 1."""


def plan(selection: Selection, config: Config, *, kernels: Mapping[str, InstalledKernel]) -> Plan:
    """Return what would run, in which order, and why each other notebook would not.

    A shard may be empty; nothing else may.

    Raises:
        UsageError: A named file or folder does not exist, a folder cannot be listed, a kernel
            that was asked for is not installed, a pattern or expression is none.
        NothingCollected: No notebook at all is left.
    """
    settings = config.settings.test
    places = Places(root=os.path.realpath(config.root), cwd=os.path.realpath(selection.cwd))
    text = (selection.keyword or "").strip()  # pytest too takes an empty one for none
    keyword = Keyword(text) if text else None
    _check_shard(selection.shard)
    _check_kernels(settings, kernels)
    file = config.file.name if config.file else "the configuration"
    exclusions = Exclusions(
        places,
        by_default=settings.default_exclude,
        configured=settings.exclude,
        file=file,
        given=selection.exclude,
    )
    tasks = Tasks(settings, places, kernels, file=file)
    files, scopes = _scopes(selection, settings, places, file)
    choosing = choose_files(files, scopes, places, exclusions)
    excluded = {places.shown(path): reason for path, reason in choosing.excluded.items()}
    chosen = {task.path: task for task in map(tasks.make, choosing.chosen)}
    if keyword:
        _deselect(chosen, keyword, choosing, excluded)
    if not chosen:
        raise _nothing(choosing, excluded, scopes, places)
    if selection.shard:
        _keep_shard(chosen, selection.shard, excluded)
    return Plan(
        root=Path(places.root),
        tasks=tuple(chosen[path] for path in sorted(chosen, key=natural)),
        excluded=tuple(
            Excluded(path=path, reason=excluded[path]) for path in sorted(excluded, key=natural)
        ),
    )


def _scopes(
    selection: Selection, settings: TestSettings, places: Places, file: str
) -> tuple[list[str], list[Scope]]:
    if selection.patterns:
        return interpret(selection.patterns, places.cwd)
    if settings.include:
        return [], [Included(places.root, settings.include, file)]
    base = places.cwd if is_below(places.cwd, places.root) else places.root
    return [], [Folder(base, base, "found, as no pattern was given")]


def _check_shard(shard: tuple[int, int] | None) -> None:
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise UsageError(
            f"--shard {shard[0]}/{shard[1]}: there is no such part",
            hint="Parts are counted from 1: --shard 1/4 to --shard 4/4.",
        )


def _check_kernels(settings: TestSettings, kernels: Mapping[str, InstalledKernel]) -> None:
    if settings.kernel:
        require(settings.kernel, kernels, asked="kernel")
    for name, target in settings.kernel_map.items():
        require(target, kernels, asked=f"kernel map {name}={target}")


def _deselect(
    chosen: dict[str, Task], keyword: Keyword, choosing: Choosing, excluded: dict[str, str]
) -> None:
    tags = {chosen.path: chosen.head.metadata.get("tags") for chosen in choosing.chosen}
    for path, task in list(chosen.items()):
        found = tags.get(os.fspath(task.file))
        words = [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []
        if not keyword.holds([path, task.kernel, *words]):
            excluded[path] = f"deselected by -k {keyword.text!r}"
            del chosen[path]


def _keep_shard(chosen: dict[str, Task], shard: tuple[int, int], excluded: dict[str, str]) -> None:
    """Keep every N-th task: parts of the same run are disjoint and complete."""
    part, parts = shard
    for position, path in enumerate(sorted(chosen, key=natural)):
        if position % parts != part - 1:
            excluded[path] = f"in another shard ({position % parts + 1}/{parts})"
            del chosen[path]


def _nothing(
    choosing: Choosing, excluded: dict[str, str], scopes: list[Scope], places: Places
) -> NothingCollected:
    """Return the error that says what the patterns matched, and what took everything out."""
    labels = [scope.label for scope in scopes] or [
        os.path.relpath(path, places.cwd) for path in choosing.matched
    ]
    lines = []
    for label in dict.fromkeys(labels):
        count = choosing.matched[label]
        matched = {0: "no notebook", 1: "1 notebook"}.get(count, f"{count} notebooks")
        lines.append(f"  {label} matched {matched}")
    for reason, count in Counter(excluded.values()).most_common():
        lines.append(f"  {count} {reason}")
    return NothingCollected(
        printable("\n".join(["no notebook was chosen", *lines])),
        hint="A notebook that is named on its own runs even if it is excluded."
        if excluded
        else f"It was looked for from {printable(places.cwd)}.",
    )
