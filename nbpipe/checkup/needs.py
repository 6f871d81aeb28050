"""What the notebooks of a plan need, and which of it an interpreter does not have.

Reads notebooks; asks nobody. A module in the notebook's own folder, or in one that it adds to
its path, is not missing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.checkup.distributions import distribution_of, normalized
from nbpipe.checkup.imports import Imports, Need, read_imports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nbpipe.execution.source import CodeCell
    from nbpipe.model import Task


@dataclass(frozen=True, slots=True)
class Lack:
    """A package that a notebook needs and does not find."""

    module: str
    sure: bool
    """A run needs it, whatever happens."""
    installs: bool
    """The notebook installs it itself."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one notebook needs."""

    task: Task
    root: Path
    python: Imports = field(default_factory=Imports)
    r: tuple[str, ...] = ()
    r_installs: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """Everything to ask the interpreter about."""
        modules = {each.module for each in self.python.found}
        return modules | {name for each in self.python.found for name in each.unless} | {*self.r}

    def lacks(self, missing: frozenset[str]) -> Iterator[Lack]:
        """Yield what the notebook would stop for, given what its interpreter does not have."""
        for package in self.r:
            if package in missing:
                yield Lack(package, sure=True, installs=package in self.r_installs)
        installs = {normalized(name) for name in self.python.installs}
        absent = {name for name in missing if not self._is_local(name)}
        sure: dict[str, bool] = {}
        for each in self.python.found:
            wanted = not each.unless or not absent.isdisjoint(each.unless)
            if each.module in absent and wanted and each.need is not Need.OPTIONAL:
                certain = each.need is Need.CERTAIN
                sure[each.module] = sure.get(each.module, False) or certain
        for module, certain in sure.items():
            own = {normalized(module), normalized(distribution_of(module))}
            yield Lack(module, sure=certain, installs=not own.isdisjoint(installs))

    def _is_local(self, module: str) -> bool:
        if module in self.python.writes:
            return True
        return any(_holds(folder, module) for folder in self._folders())

    def _folders(self) -> Iterator[Path]:
        own = self.task.file.parent
        yield own
        for folder in self.python.folders:
            yield own / os.path.expanduser(folder)  # noqa: PTH111  (of a user who may not exist)
        if self.python.has_unknown_folders:
            for above in (own, *own.parents):
                yield above
                yield from _subfolders(above)
                if above == self.root:
                    return


def read_needs(task: Task, root: Path) -> Needs:
    """Return what a notebook needs; a language other than Python and R needs nothing known.

    Nor does a notebook that expects errors in every cell: it would not fail for want of a package.

    Raises:
        UnreadableNotebookError: The file is gone, or is no notebook (`nbpipe.execution.source`).
    """
    if task.allow_errors or task.language not in {"python", "r"}:
        return Needs(task, root)
    from nbpipe.execution.source import code_cells, read  # noqa: PLC0415  (slow)

    cells = [cell for cell in code_cells(read(task.file)) if _counts(cell)]
    before = [code.source for code in task.prerun]
    if task.language == "r":
        packages, installs = r_packages([*before, *(cell.node.source for cell in cells)])
        return Needs(task, root, r=tuple(packages), r_installs=tuple(installs))
    sources = [(cell.origin or 0, cell.node.source) for cell in cells]
    return Needs(task, root, read_imports([*((-1, source) for source in before), *sources]))


def _counts(cell: CodeCell) -> bool:
    """Tell whether what is missing in a cell would make the notebook fail."""
    return not cell.skip and not cell.raises


def _holds(folder: Path, module: str) -> bool:
    module = module.partition(".")[0]
    try:
        if (folder / module).is_dir() or (folder / f"{module}.py").is_file():
            return True
        return next(folder.glob(f"{module}.*.so"), None) is not None
    except OSError:
        return False


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []


_STRING_OR_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|#[^\n]*""")
_NAME = r"[A-Za-z][A-Za-z0-9.]*"
_ATTACHED = re.compile(
    rf"""\b(?:library|require)\(\s*(?:package\s*=\s*)?["']?({_NAME})["']?\s*[,)]"""
)
_TRIED = re.compile(r"\b(?:if|try|tryCatch)\s*\(\s*!?\s*$")
_QUALIFIED = re.compile(rf"(?<![\w.:\"'])({_NAME}):::?[A-Za-z.]")
_ASKED_FOR = re.compile(rf"""\brequireNamespace\(\s*["']({_NAME})["']""")
_INSTALLED = re.compile(r"\binstall\.packages\(([^)]*)\)|\binstall\(([^)]*)\)")
_BY_NAME = re.compile(r"character\.only\s*=\s*T(?:RUE)?\b")


def r_packages(sources: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the packages that R code cannot do without, and those that it installs itself."""
    needed: dict[str, None] = {}
    installed: list[str] = []
    for source in sources:
        code = _STRING_OR_COMMENT.sub(lambda match: match[1] or "", source)
        for match in _ATTACHED.finditer(code):
            if _BY_NAME.search(code[match.start() :].split("\n", 1)[0]):
                continue  # the package's name is in a variable
            if not _TRIED.search(code[: match.start()]):
                needed[match[1]] = None
        unquoted = re.sub(r"""("|')(?:\\.|(?!\1)[^\\])*\1""", '""', code)
        asked_for = set(_ASKED_FOR.findall(code))
        needed |= dict.fromkeys(n for n in _QUALIFIED.findall(unquoted) if n not in asked_for)
        for arguments in _INSTALLED.findall(code):
            installed += re.findall(rf"""["']({_NAME})["']""", "".join(arguments))
    return list(needed), installed
