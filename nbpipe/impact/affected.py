"""What a change affects: traces and the state of things now -> why each notebook runs, or not.

Pure: everything comes in as values. Never skips a notebook that could be affected: where something
is not known, it runs. A trace holds only as long as nothing in it has changed since its run; a
notebook whose trace does not hold runs, whatever the change.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nbpipe.model import CHANGED
from nbpipe.system import units
from nbpipe.worktree import FILES_IN, is_one_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.model import Trace

_MODULES = (".py", ".so", ".pyd", ".pyc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the history tells about one notebook."""

    outcome: str | None = None
    """Of the last time that it was executed; None: it never was."""
    outcome_run: str = ""
    run: str = ""
    """The one that the trace is of."""
    trace: Trace | None = None
    seconds: float | None = None
    """What it took in that run; None where that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """One notebook as it is now."""

    place: str
    """Its path, relative to the repository's top."""
    kernel: str
    settings: str
    """The digest."""
    limits: Mapping[str, float | None] = field(default_factory=dict)
    """As in a trace."""
    found: tuple[str, ...] = ()
    """Where there is a module, of the places where it looks for one."""
    environment: Mapping[str, str] | None = None
    """What the kernel has: versions of all distributions, and `python`; None where not known."""
    writes: frozenset[str] = frozenset()
    """What its text says that it writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What is not the same in a commit and now; paths are relative to the top."""

    rev: str
    changed: frozenset[str]
    names: frozenset[str]
    """Of these, what came or went; folders too."""
    untracked: frozenset[str]
    tracked: frozenset[str]


def affected(
    notebooks: Mapping[str, Present],
    known: Mapping[str, Known],
    difference: Difference,
    ids: Mapping[str, str],
) -> dict[str, str]:
    """Return why each notebook that could be affected runs; the others are not in it.

    Args:
        notebooks: Those to decide about, by path.
        known: What is known about these and others, which may write what they read.
        difference: Between the commit and now.
        ids: What all the traces name, with the ids of now.
    """
    products = _products(known)
    made = difference.untracked & products.keys()  # by notebooks: no part of the change
    difference = replace(
        difference, changed=difference.changed - made, names=difference.names - made
    )
    chosen: dict[str, str] = {}
    for path, present in notebooks.items():
        past = known.get(path, Known())
        others = {output for output, makers in products.items() if makers - {path}}
        reason = next(_reasons(past, present, difference, ids, others), None)
        if reason is not None:
            chosen[path] = reason
    _follow(chosen, notebooks, known, ids)
    return chosen


def _products(known: Mapping[str, Known]) -> dict[str, set[str]]:
    """Return what notebooks write, with those who do."""
    found: dict[str, set[str]] = {}
    for path, past in known.items():
        for output in past.trace.outputs if past.trace else ():
            found.setdefault(output, set()).add(path)
    return found


def _reasons(
    past: Known,
    present: Present,
    difference: Difference,
    ids: Mapping[str, str],
    products: set[str],
) -> Iterator[str]:
    """Yield why a notebook runs by itself, the plainest reason first."""
    trace = past.trace
    if past.outcome is None:
        yield "it was never run"
    elif past.outcome != "passed":
        yield f"{past.outcome} in run {past.outcome_run}"
    if trace is None:
        yield "what it reads is not known yet: it was never traced"
        return
    if present.place in difference.changed:
        yield f"itself changed since {difference.rev}"
    if ids[present.place] != trace.source:
        yield f"itself changed since run {past.run}"
    if trace.unknown:
        yield f"what it reads is not known: {trace.unknown}"
    if present.kernel != trace.kernel:
        yield f"its kernel is {present.kernel}, and was {trace.kernel}"
    if present.settings != trace.settings:
        yield f"its settings or its kernel's changed since run {past.run}"
    yield from _limits(past, trace, present)
    yield from _inputs(past, trace, difference, ids, products)
    yield from _modules(past, trace, present, difference)
    yield from _environment(past, trace, present)


def _limits(past: Known, trace: Trace, present: Present) -> Iterator[str]:
    """Yield which limits are lower than they were, and may be too low now.

    A notebook that passed within a limit passes within a higher one. No cell takes longer than
    the notebook.
    """
    for name, now in present.limits.items():
        before = trace.limits.get(name)
        if now is None or (before is not None and now >= before):
            continue
        is_time = name.endswith("_seconds")
        if not (is_time and past.seconds is not None and past.seconds < now):
            shown = f"{now:g} s" if is_time else units.megabytes(now)
            yield f"its limit ({name.partition('_')[0]}) is lower than in run {past.run}: {shown}"


def _inputs(
    past: Known,
    trace: Trace,
    difference: Difference,
    ids: Mapping[str, str],
    products: set[str],
) -> Iterator[str]:
    for path, before in trace.inputs.items():
        shown = _shown(path)
        if before == CHANGED:
            yield f"{shown} was written while it ran, in run {past.run}"
        elif path in products and path not in difference.tracked:
            if ids[path] and ids[path] != before:  # where it is gone its producer makes it again
                yield f"{shown} changed since run {past.run}"
        elif ids[path] != before:
            yield f"{shown} {_how(before, ids[path])} since run {past.run}"
        elif _differs(path, difference):
            yield f"{shown} changed since {difference.rev}"


def _how(before: str, now: str) -> str:
    if not before:
        return "came"
    return "changed" if now else "went"


def _shown(path: str) -> str:
    if not path.startswith("//"):
        return path
    ending = path[2:]
    if path.startswith(FILES_IN):
        return f"the name of some file below {path.removeprefix(FILES_IN) or '.'}"
    if ending in {"names", "files"}:
        return "the name of some file"
    return f"some file *{ending}" if ending else "some file"


def _differs(path: str, difference: Difference) -> bool:
    """Return whether an input is not the same as in the commit."""
    if path.startswith("//"):
        ending = path[2:]
        if ending == "names":
            return bool(difference.names)
        if ending.partition("/")[0] == "files":
            return any(is_one_of(path, each) for each in difference.names & difference.changed)
        return any(each.endswith(ending) for each in difference.changed)
    if path.endswith("/"):
        folder = path.rstrip("/")
        return any(each.rpartition("/")[0] == folder for each in difference.names)
    return any(each in difference.changed for each in _with_parents(path))


def _with_parents(path: str) -> Iterator[str]:
    """Yield a path and the folders it lies in: one of them may be a link, or a submodule."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _modules(past: Known, trace: Trace, present: Present, difference: Difference) -> Iterator[str]:
    """Yield which modules came or went that an import may mean."""
    for place in sorted(set(trace.found) ^ set(present.found)):
        yield f"module {place} came or went since run {past.run}"
    names = sys.stdlib_module_names | set(trace.modules)
    folders, places = set(trace.folders), set(trace.places)
    for path in sorted(difference.names):
        folder, _, name = path.rpartition("/")
        stem, dot, _ = name.partition(".")
        if dot and not name.endswith(_MODULES):
            continue
        place = f"{folder}/{stem}" if folder else stem
        is_meant = folder in folders and stem in names and (dot or place in present.found)
        if is_meant or place in places:
            yield f"module {place} came or went since {difference.rev}"


def _environment(past: Known, trace: Trace, present: Present) -> Iterator[str]:
    now = present.environment
    if trace.environment and now is None:
        yield f"the packages of kernel {present.kernel} are not known"
        return
    for name, version in trace.environment.items():
        found = (now or {}).get(name)
        if found != version:
            yield f"{name} is {found or 'not installed'}, and was {version} in run {past.run}"


def _follow(
    chosen: dict[str, str],
    notebooks: Mapping[str, Present],
    known: Mapping[str, Known],
    ids: Mapping[str, str],
) -> None:
    """Add who reads what a chosen one writes, and who writes what a chosen one misses."""
    products = _products(known)
    waiting = list(chosen)
    while waiting:
        path = waiting.pop()
        for other, why in [
            *_readers(path, notebooks, known, ids),
            *_missing(path, known, ids, products),
        ]:
            if other not in chosen and other in notebooks:
                chosen[other] = why
                waiting.append(other)


def _readers(
    path: str,
    notebooks: Mapping[str, Present],
    known: Mapping[str, Known],
    ids: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    trace = known[path].trace if path in known else None
    outputs = {*(trace.outputs if trace else ()), *notebooks[path].writes}
    for other, past in known.items():
        if other == path or past.trace is None:
            continue
        what = next(filter(None, (_fed(each, outputs, ids) for each in past.trace.inputs)), None)
        if what is not None:
            yield other, f"it {what}, which {path} writes, and that runs"


def _fed(read: str, outputs: set[str], ids: Mapping[str, str]) -> str | None:
    """Return what is read of what another notebook writes, or asked; None: nothing of it."""
    if read in outputs:
        return f"reads {read}"
    if read.startswith("//"):
        return _asked(read[2:], outputs, ids)
    inside = read.endswith("/") and any(f"{each.rpartition('/')[0]}/" == read for each in outputs)
    return f"lists {read}, a folder of files" if inside else None


def _asked(ending: str, outputs: set[str], ids: Mapping[str, str]) -> str | None:
    """Return what a notebook that asks about many files may have to do with what is written."""
    if ending.partition("/")[0] == "files":  # looked for in vain: what is there is known by name
        coming = sorted(e for e in outputs if _is_coming(e, ids) and is_one_of(f"//{ending}", e))
        return f"may look for {coming[0]}" if coming else None
    if ending in {"", "names"}:
        what = "which files are there" if ending else "for sizes or times of files"
        return f"asks {what}, such as those" if outputs else None
    found = sorted(each for each in outputs if each.endswith(ending))
    return f"may read {found[0]}" if found else None


def _is_coming(path: str, ids: Mapping[str, str]) -> bool:
    """Return whether a file that is written is not there yet; what a text says may be a part."""
    return not ids.get(path) and "." in path.rpartition("/")[2]


def _missing(
    path: str,
    known: Mapping[str, Known],
    ids: Mapping[str, str],
    products: Mapping[str, set[str]],
) -> Iterator[tuple[str, str]]:
    trace = known[path].trace if path in known else None
    for each in trace.inputs if trace else ():
        if not ids.get(each, "") and each in products:
            for producer in sorted(products[each]):
                yield producer, f"it writes {each}, which {path} needs and which is missing"
