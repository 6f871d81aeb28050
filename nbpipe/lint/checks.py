"""A check of notebooks: read each, apply the rules, drop what is silenced or known, repair."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from nbpipe.lint import baseline, fixes, ruff
from nbpipe.lint.findings import Finding, Severity, finding
from nbpipe.lint.notebook import read
from nbpipe.lint.rules import RULES
from nbpipe.lint.selection import covers, selected
from nbpipe.lint.suppressions import suppressions
from nbpipe.model import Category, Failure
from nbpipe.system import files, machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook
    from nbpipe.lint.ruff import Said
    from nbpipe.lint.selection import Selected

_PART = 16
"""Notebooks that one process takes at a time."""
_FEW = 48
"""Fewer are not worth another process."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check came to."""

    notebooks: int
    findings: tuple[Finding, ...] = ()
    suppressed: int = 0
    """Silenced in the notebooks."""
    known: int = 0
    """In the baseline."""
    fixed: tuple[Finding, ...] = ()
    changes: tuple[str, ...] = ()
    """With `diff`: what would be written, as unified differences."""
    ruff: bool = False
    """Whether ruff looked at the code."""

    @property
    def errors(self) -> int:
        """The number of errors."""
        return self.count(Severity.ERROR)

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(each.severity is severity for each in self.findings)


@dataclass(frozen=True, kw_only=True)
class Repairs:
    """What `--fix` does."""

    unsafe: bool = False
    write: bool = True
    """False: only show what it would write (`--diff`)."""


@dataclass(slots=True)
class _Part:
    findings: list[Finding] = field(default_factory=list)
    suppressed: int = 0


def check(
    notebooks: Sequence[tuple[str, Path]],
    settings: CheckSettings,
    *,
    root: Path,
    repairs: Repairs | None = None,
) -> Checked:
    """Check notebooks.

    Args:
        notebooks: Each with its path for people, relative to the root, and its file.
        settings: `[check]`; file names in it are relative to the root.
        root: The collection's folder.
        repairs: What to repair; None: nothing.

    Raises:
        UsageError: A rule does not exist, the baseline is unreadable, or ruff is asked for and
            missing.
        OSError: A repaired notebook cannot be written.
    """
    if settings.template:
        settings = msgspec.structs.replace(settings, template=str(root / settings.template))
    selected(RULES, settings)  # an unknown rule is an error before anything is read
    command = ruff.program(settings)
    known = baseline.load(root / settings.baseline) if settings.baseline else Counter[str]()
    found, suppressed = _found(notebooks, settings, command=command, root=root)
    repaired: list[Finding] = []
    changes: list[str] = []
    if repairs is not None:
        repaired, changes = _repair(dict(notebooks), found, settings, repairs)
        if repairs.write and repaired:
            found, suppressed = _found(notebooks, settings, command=command, root=root)
    new, old = baseline.without(sorted(found, key=_place), known)
    return Checked(
        notebooks=len(notebooks),
        findings=tuple(new),
        suppressed=suppressed,
        known=old,
        fixed=tuple(repaired),
        changes=tuple(changes),
        ruff=command is not None,
    )


def _place(found: Finding) -> tuple[str, int, int, int, str]:
    return (
        found.path,
        -1 if found.cell is None else found.cell,
        found.cell_line,
        found.column,
        found.rule,
    )


def _found(
    notebooks: Sequence[tuple[str, Path]],
    settings: CheckSettings,
    *,
    command: str | None,
    root: Path,
) -> tuple[list[Finding], int]:
    """Return all findings that nothing silences, and the number of those that something does."""
    parts = [notebooks[at : at + _PART] for at in range(0, len(notebooks), _PART)]
    look = partial(_look, settings=settings, command=command, root=root)
    workers = min(machine.cores(), len(parts))
    if workers > 1 and len(notebooks) >= _FEW:
        with ProcessPoolExecutor(workers) as pool:
            done = list(pool.map(look, parts))
    else:
        done = [look(part) for part in parts]
    return [each for part in done for each in part.findings], sum(one.suppressed for one in done)


def _look(
    part: Sequence[tuple[str, Path]], *, settings: CheckSettings, command: str | None, root: Path
) -> _Part:
    """Look at some notebooks, perhaps in another process, to which rules are not sent."""
    rules = selected(RULES, settings)
    read_ones = [_read(path, file) for path, file in part]
    said = ruff.look(command, read_ones, settings, root) if command else {}
    made = _Part()
    for notebook in read_ones:
        found = list(_judged(notebook, settings, rules, said.get(notebook.file, []), command))
        silenced = suppressions(notebook) if found else []
        kept = [one for one in found if not any(each.covers(one) for each in silenced)]
        made.findings += kept
        made.suppressed += len(found) - len(kept)
    return made


def _read(path: str, file: Path) -> Notebook:
    try:
        return read(path, str(file), file.read_bytes())
    except OSError as error:
        notebook = read(path, str(file), b"")
        reason = f"the file cannot be read: {error.strerror}"
        failure = Failure(
            category=Category.INVALID_NOTEBOOK, name="OSError", message=reason, signature=reason
        )
        return replace(notebook, failure=failure)


def _judged(
    notebook: Notebook,
    settings: CheckSettings,
    rules: Selected,
    said: Iterable[Said],
    command: str | None,
) -> Iterable[Finding]:
    """Yield what the rules find in a notebook, and what ruff found."""
    applied = rules.at(notebook.path)
    by_ruff = ruff.known(RULES) if command else frozenset()
    for rule in applied:
        if rule.id not in by_ruff or notebook.language != "python":
            for spot in rule.look(notebook, settings):
                yield finding(rule, notebook, spot)
    ours = {rule.id: rule for rule in applied}
    broken: set[int | None] = set()
    for each in said:
        if each.rule == "NBP401" and each.spot.cell in broken:
            continue  # what follows the first error of a cell mostly comes from it
        if each.rule == "NBP401":
            broken.add(each.spot.cell)
        if each.rule in ours:
            yield finding(ours[each.rule], notebook, each.spot)
        elif each.rule not in RULES and not covers(settings.ignore, each.rule):
            yield finding(ruff.as_rule(each.rule), notebook, each.spot)


def _repair(
    notebooks: dict[str, Path],
    found: Iterable[Finding],
    settings: CheckSettings,
    repairs: Repairs,
) -> tuple[list[Finding], list[str]]:
    """Repair what can be, or say what would be; return the findings concerned, and changes."""
    by_path: dict[str, list[Finding]] = {}
    for each in found:
        by_path.setdefault(each.path, []).append(each)
    done: list[Finding] = []
    changes: list[str] = []
    for path, findings in by_path.items():
        notebook = _read(path, notebooks[path])
        if notebook.failure:
            continue
        content, repaired = fixes.fixed(notebook, findings, settings, unsafe=repairs.unsafe)
        if content == notebook.content:
            continue
        done += repaired
        if repairs.write:
            mode = os.stat(notebooks[path]).st_mode & 0o7777  # noqa: PTH116
            files.replace(notebooks[path].resolve(), content, mode=mode)
        else:
            changes.append(_difference(path, notebook.content, content))
    return done, changes


def _difference(path: str, before: bytes, after: bytes) -> str:
    old, new = (
        each.decode("utf-8", errors="replace").splitlines(keepends=True) for each in (before, after)
    )
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
