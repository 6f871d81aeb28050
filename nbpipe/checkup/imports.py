"""Which modules the code of a Python notebook imports, read without running it.

Text in, values out. Magics and shell lines are taken apart by IPython itself; everything else
is Python's own grammar. What cannot be known without running the code is left out: a missing
package is named only where the notebook would stop for it.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import warnings
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nbpipe.checkup.distributions import is_shared, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Need(Enum):
    """How sure it is that a run needs a module."""

    CERTAIN = auto()
    POSSIBLE = auto()
    """In a branch that may not be taken."""
    OPTIONAL = auto()
    """The code goes on without it."""


@dataclass(frozen=True, slots=True)
class Import:
    """A module that a cell imports: a top-level one, or a distribution's part of a namespace."""

    module: str
    need: Need = Need.CERTAIN
    unless: tuple[str, ...] = ()
    """Needed only where one of these is missing: what an `except ImportError` falls back to."""


@dataclass(slots=True)
class Imports:
    """What the cells of a notebook import, and what they do about it themselves."""

    found: list[Import] = field(default_factory=list)
    installs: list[str] = field(default_factory=list)
    """Names that the notebook gives to pip or conda."""
    folders: list[str] = field(default_factory=list)
    """Folders that it adds to its path, relative to its own."""
    writes: list[str] = field(default_factory=list)
    """Modules that it writes itself."""
    has_unknown_folders: bool = False
    """It adds folders to its path that only a run would know."""
    unread: list[int] = field(default_factory=list)
    """Positions of cells that are no Python 3."""


def read_imports(cells: Iterable[tuple[int, str]]) -> Imports:
    """Return what code cells import; each comes with its position in the notebook."""
    imports = Imports()
    for position, source in cells:
        tree = _parse(source)
        if tree is None:
            imports.unread.append(position)
        else:
            _Reader(imports).read(tree.body)
    return imports


def _parse(source: str) -> ast.Module | None:
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415  (slow)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the notebook's code, such as a `\d` in it
        try:
            manager = TransformerManager()  # type: ignore[no-untyped-call]
            return ast.parse(manager.transform_cell(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads statements under the conditions in which they stand."""

    imports: Imports
    need: Need = Need.CERTAIN
    unless: tuple[str, ...] = ()

    def read(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            match node:
                case ast.Import():
                    self._take(alias.name for alias in node.names)
                case ast.ImportFrom(level=0, module=str(name), names=names):
                    inside = [f"{name}.{alias.name}" for alias in names if alias.name != "*"]
                    self._take(inside if inside and is_shared(name) else [name])
                case ast.Try() | ast.TryStar():
                    self._read_try(node)
                case ast.With() | ast.AsyncWith():
                    self._read_with(node)
                case ast.If():
                    self._read_if(node)
                case ast.match_case():
                    self._possible().read(node.body)
                case _:
                    if isinstance(node, ast.Call):
                        self._read_call(node)
                    self.read(ast.iter_child_nodes(node))

    def _take(self, names: Iterable[str]) -> None:
        for name in names:
            found = Import(part_of(name), self.need, self.unless)
            if found.module and found not in self.imports.found:
                self.imports.found.append(found)

    def _possible(self) -> _Reader:
        return replace(self, need=Need.POSSIBLE) if self.need is Need.CERTAIN else self

    def _read_try(self, node: ast.Try | ast.TryStar) -> None:
        catching = [handler for handler in node.handlers if _catches_import_error(handler.type)]
        if not catching or all(isinstance(each.body[-1], ast.Raise) for each in catching):
            self.read([*node.body, *node.orelse, *node.finalbody])
            for handler in node.handlers:
                self._possible().read(handler.body)
            return
        replace(self, need=Need.OPTIONAL).read(node.body)
        tried = tuple(_modules_in(node.body))
        for handler in node.handlers:
            replace(self, unless=(*self.unless, *tried)).read(handler.body)
        self._possible().read(node.orelse)
        self.read(node.finalbody)

    def _read_with(self, node: ast.With | ast.AsyncWith) -> None:
        suppressed = any(
            isinstance(item.context_expr, ast.Call)
            and _last_name(item.context_expr.func) == "suppress"
            and any(_catches_import_error(each) for each in item.context_expr.args)
            for item in node.items
        )
        self.read(item.context_expr for item in node.items)
        (replace(self, need=Need.OPTIONAL) if suppressed else self).read(node.body)

    def _read_if(self, node: ast.If) -> None:
        self.read([node.test])
        test = ast.unparse(node.test)
        if "TYPE_CHECKING" not in test:
            (self if "__main__" in test else self._possible()).read(node.body)
        self._possible().read(node.orelse)

    def _read_call(self, call: ast.Call) -> None:
        name = ast.unparse(call.func)
        words = [each.value for each in call.args if _is_text(each)]  # type: ignore[attr-defined]
        if name in {"__import__", "import_module", "importlib.import_module"} and words:
            self._take(words[:1])
        elif name in {"sys.path.append", "sys.path.insert", "sys.path.extend", "os.chdir"}:
            self._add_folder(call.args[-1] if call.args else None)
        elif name.startswith("get_ipython()."):
            self._read_magic(name.partition(".")[2], words)

    def _add_folder(self, argument: ast.expr | None) -> None:
        if argument is None:
            return
        parts = [node.value for node in ast.walk(argument) if _is_text(node)]  # type: ignore[attr-defined]
        if parts:
            self.imports.folders.append(os.path.join(*parts))  # noqa: PTH118  (a guess, no path yet)
        names = {_last_name(node) for node in ast.walk(argument) if isinstance(node, ast.Name)}
        if not parts or names - {"os", "Path", "pathlib", "str"}:
            self.imports.has_unknown_folders = True

    def _read_magic(self, way: str, words: Sequence[str]) -> None:
        effect = effect_of(way, words)
        self._take(effect.imports)
        self.imports.installs += effect.installs
        self.imports.folders += effect.folders
        self.imports.writes += effect.writes
        tree = _parse(effect.code) if effect.code else None
        if tree is not None:
            self.read(tree.body)


def _catches_import_error(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    names = [_last_name(each) for each in (kind.elts if isinstance(kind, ast.Tuple) else [kind])]
    return not {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}.isdisjoint(
        names
    )


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _modules_in(nodes: Iterable[ast.stmt]) -> list[str]:
    inside = Imports()
    _Reader(inside).read(nodes)
    return [found.module for found in inside.found]


_OWN_EXTENSIONS = {"autoreload", "storemagic"}
_SHELLS = {"!", "bash", "sh", "script", "sx", "system"}
_INSTALLING = {"pip", "conda", "mamba", "micromamba"}
_PYTHON = {"time", "timeit", "capture", "prun"}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a magic does."""

    imports: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Where modules are found from now on."""
    writes: tuple[str, ...] = ()
    """Modules that there are from now on."""
    code: str = ""
    """Python that it runs."""


def effect_of(way: str, words: Sequence[str]) -> Effect:
    """Return what a call of IPython's does.

    Args:
        way: The method: `run_line_magic`, `run_cell_magic`, `system`, `getoutput`.
        words: Its arguments.
    """
    if way in {"system", "getoutput"}:
        return Effect(installs=tuple(installed_by("".join(words))))
    name, line, body = (*words, "", "", "")[:3]
    if way == "run_cell_magic":
        return _cell_magic(name, line, body)
    return _line_magic(name, line) if way == "run_line_magic" else Effect()


def _line_magic(name: str, line: str) -> Effect:
    if name in _INSTALLING:
        return Effect(installs=tuple(installed_by(f"{name} {line}")))
    if name in {"load_ext", "reload_ext"}:
        return Effect(imports=() if line.strip() in _OWN_EXTENSIONS else (line.strip(),))
    if name == "time":
        return Effect(code=line)
    if name in {"cd", "matplotlib", "pylab"}:
        modules = {"matplotlib": ("matplotlib",), "pylab": ("matplotlib", "numpy")}
        return Effect(imports=modules.get(name, ()), folders=(line,) if name == "cd" else ())
    return Effect()


def _cell_magic(name: str, line: str, body: str) -> Effect:
    if name in _PYTHON:
        return Effect(code=body)
    if name in _SHELLS:
        lines = body.splitlines()
        return Effect(installs=tuple(each for line in lines for each in installed_by(line)))
    if name in {"writefile", "file"}:
        return _written(line)
    return Effect()


def _written(line: str) -> Effect:
    """Return what there is to import once a file is written: itself, and its package."""
    path = (line.split() or [""])[-1].strip("'\"").removeprefix("./")
    if not path.endswith(".py"):
        return Effect()
    parts = re.split(r"[\\/]", path.removesuffix(".py"))
    return Effect(writes=(parts[0], parts[-1]), folders=(os.path.dirname(path),))  # noqa: PTH120


_INSTALLERS = {"pip", "pip3", "conda", "mamba", "micromamba"}
_WITH_VALUE = {
    *("-c", "-e", "-f", "-i", "-n", "-p", "-r", "-t"),
    *("--channel", "--constraint", "--extra-index-url", "--index-url", "--name", "--prefix"),
    *("--requirement", "--target"),
}


def installed_by(command: str) -> list[str]:
    """Return what a command line installs: `pip install a 'b>=2'` installs a and b."""
    names: list[str] = []
    for part in re.split(r"&&|\|\||[;|]", command):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            continue
        if "install" in words:
            verb = words.index("install")
            if _is_installer(words[:verb]):
                names += _names(words[verb + 1 :])
    return names


def _is_installer(words: Sequence[str]) -> bool:
    programs = {os.path.basename(word) for word in words}  # noqa: PTH119  (a word, maybe no path)
    return not programs.isdisjoint(_INSTALLERS)


def _names(words: Sequence[str]) -> list[str]:
    names = []
    before = ""
    for word in words:
        if not word.startswith("-") and before not in _WITH_VALUE:
            names.append(_bare(word))
        before = word
    return [name for name in names if name]


def _bare(requirement: str) -> str:
    """Return the name in a requirement: `a[x]>=2`, `conda-forge::a`, `git+https://…/a.git`."""
    if "://" in requirement:
        last = urlsplit(requirement).path.rstrip("/").rpartition("/")[2]
        return last.partition("@")[0].removesuffix(".git")
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.rpartition("::")[2])
    return match[0] if match else ""
