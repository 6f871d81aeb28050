"""NBP4xx: the code of cells; what ruff knows of Python is its own, where it is installed."""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from nbpipe.lint.findings import Spot
from nbpipe.lint.magics import plain_python, shell_lines
from nbpipe.lint.rules.declaration import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Cell, Notebook

RULES = Rules()
RUFF = {
    "E902": "",  # unreadable: NBP001 says so
    "E9": "NBP401",
    "invalid-syntax": "NBP401",
    "F82": "NBP402",
    "F401": "NBP403",
    "F403": "NBP404",
}
"""The beginning of ruff's code -> the rule of ours that stands for it; the longest one decides."""

_INSTALL = re.compile(
    r"^\s*(?:[!%]|!\{?sys\.executable\}?\s+-m\s+|!python3?\s+-m\s+)\s*"
    r"(?:pip3?|conda|mamba|uv pip)\s+install\s+(?P<what>.+)$"
)
_INTERACTIVE = re.compile(
    r"^\s*%matplotlib\s+(?:notebook|widget|ipympl|qt\d?|tk|gtk\d?|wx|osx|macosx|auto)\b|"
    r"^\s*(?:matplotlib|mpl|plt)\.(?:use|switch_backend)\(\s*['\"](?:TkAgg|Qt\w*|GTK\w*|WX\w*|"
    r"MacOSX|nbAgg|module://ipympl)",
    re.IGNORECASE | re.MULTILINE,
)
_DANGEROUS = (
    (
        re.compile(
            r"\brm\s+(?:-\w+\s+)*-\w*[rR]\w*\s+(?:-\w+\s+)*['\"]?(?:[/~*]|\.{1,2}(?:[\s/]|$)|\$\{?HOME\b)"
        ),
        "removes folders",
    ),
    (re.compile(r"(?:^|[;&|]\s*)sudo\b"), "asks for the rights of root"),
    (re.compile(r"\b(?:curl|wget)\b[^|;]*\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b"), "runs a download"),
)
_ASKS = {"input", "raw_input", "getpass"}


def _parsed(cell: Cell) -> ast.Module | SyntaxError | None:
    """Return a cell's syntax tree, why it has none, or None where nobody can say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the notebook's code, such as a `\d` in it
        try:
            return ast.parse(plain_python(cell.source))
        except SyntaxError as error:
            return error
        except (ValueError, RecursionError, MemoryError):
            return None


@RULES.add(
    401,
    "syntax-error",
    "error",
    why="The cell cannot be executed.",
    bad="print 'x'",
    good="print('x')",
)
def syntax(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The code of a cell is not valid Python."""
    if notebook.language != "python":
        return
    for cell in notebook.code:
        error = _parsed(cell)
        if isinstance(error, SyntaxError) and not cell.tags & {"raises-exception"}:
            yield Spot(f"{error.msg}", cell.index, error.lineno or 1, error.offset or 1)


@RULES.add(
    402,
    "undefined-name",
    why="The cell fails when the notebook is run from top to bottom in a fresh kernel.",
    bad="plot(result)  (in a notebook that never sets `result`)",
    good="a name that an earlier cell defines",
)
def undefined_name(_: Notebook, __: CheckSettings) -> Iterator[Spot]:
    """A name is used that nothing defines (needs ruff)."""
    yield from ()


@RULES.add(
    403,
    "unused-import",
    "info",
    "off",
    "unsafe",
    why="Readers look for where it is used, and users must install it.",
    bad="import os  (never used)",
    good="only imports that the notebook uses",
)
def unused_import(_: Notebook, __: CheckSettings) -> Iterator[Spot]:
    """A module is imported and never used (needs ruff)."""
    yield from ()


@RULES.add(
    404,
    "star-import",
    why="Readers cannot know where a name comes from, and a new release may overwrite one of"
    " theirs.",
    bad="from numpy import *",
    good="import numpy as np",
)
def star_import(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """All names of a module are imported at once."""
    if notebook.language != "python":
        return
    for cell in notebook.code:
        if "import *" not in cell.source.replace("  ", " "):
            continue
        tree = _parsed(cell)
        for node in ast.walk(tree) if isinstance(tree, ast.Module) else ():
            if isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names):
                message = f"`from {node.module} import *` imports every name of the module"
                yield Spot(message, cell.index, node.lineno, node.col_offset + 1)


@RULES.add(
    405,
    "unpinned-install",
    why="Every run installs another release, or none where there is no network; a shared"
    " environment changes under other people's notebooks.",
    bad="!pip install photutils",
    good="%pip install photutils==2.0.2, or the package in the platform's environment",
)
def unpinned_install(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A cell installs a package without a version."""
    for cell in notebook.code:
        for number, line in enumerate(cell.source.splitlines(), start=1):
            match = _INSTALL.match(line)
            if not match:
                continue
            names = [
                each
                for each in match["what"].split("#")[0].split()
                if not each.startswith(("-", "{", "$", ".", "/")) and "://" not in each
            ]
            from_file = re.search(r"(?:^|\s)(?:-r|--requirement|-e|--file)\b", match["what"])
            loose = [each for each in names if not re.search(r"[=<>~@]", each)]
            if loose and not from_file:
                yield Spot(f"installs {', '.join(loose)} without a version", cell.index, number)


@RULES.add(
    406,
    "dangerous-command",
    "error",
    why="Users run cells without reading each of them.",
    bad="!rm -rf ~/data, !curl https://example.org/setup | sh, !sudo apt install x",
    good="!rm -r results: a folder that the notebook itself made",
)
def dangerous_command(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A shell line removes folders, runs a download or asks for the rights of root."""
    for cell in notebook.code:
        for number, line in shell_lines(cell.source, notebook.language):
            for pattern, what in _DANGEROUS:
                if pattern.search(line):
                    yield Spot(f"the command {what}", cell.index, number)


@RULES.add(
    407,
    "interactive-backend",
    fix="unsafe",
    why="Figures are missing where nobody looks: in a batch run, a gallery, a printed page.",
    bad="%matplotlib notebook",
    good="%matplotlib inline, or no line at all",
)
def interactive_backend(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """Figures need an interactive backend."""
    for cell in notebook.code:
        if match := _INTERACTIVE.search(cell.source):
            line = cell.source.count("\n", 0, match.start()) + 1
            message = f"`{match[0].strip()}` needs a person at a screen"
            yield Spot(message, cell.index, line, fixed=match[0].lstrip().startswith("%"))


@RULES.add(
    408,
    "asks-for-input",
    why="An unattended run waits for an answer that never comes.",
    bad='name = input("Name: ")',
    good='a parameter, or os.environ["..."]; or the cell tagged `skip-execution`',
)
def asks_for_input(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A cell asks for input."""
    if notebook.language != "python":
        return
    for cell in notebook.code:
        if cell.tags & {"skip-execution", "nbval-skip"} or not any(
            f"{name}(" in cell.source for name in _ASKS
        ):
            continue
        tree = _parsed(cell)
        for node in ast.walk(tree) if isinstance(tree, ast.Module) else ():
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                name = node.func.id if isinstance(node.func, ast.Name) else name
                if name in _ASKS:
                    yield Spot(f"`{name}()` waits for an answer", cell.index, node.lineno)


@RULES.add(
    410,
    "long-cell",
    "info",
    "off",
    why="A cell that does many things cannot be followed, nor run in parts.",
    bad="a cell of 250 lines",
    good="several cells with text between them, or a module beside the notebook",
)
def long_cell(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """A code cell is longer than `max-cell-lines`."""
    for cell in notebook.code:
        lines = len(cell.source.splitlines())
        if lines > settings.max_cell_lines:
            message = f"the cell has {lines} lines; max-cell-lines is {settings.max_cell_lines}"
            yield Spot(message, cell.index)


@RULES.add(
    411,
    "empty-cell",
    "info",
    "off",
    "safe",
    why="It is left over, and readers wonder what is missing.",
    bad="a code cell without code at the end",
    good="no such cell",
)
def empty_cell(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A cell is empty."""
    for cell in notebook.cells:
        if not cell.source.strip() and not cell.attachments:
            yield Spot("the cell is empty", cell.index, fixed=True)


@RULES.add(
    412,
    "trailing-space",
    "info",
    "off",
    "safe",
    why="It changes with the editor and shows in every comparison.",
    bad="x = 1␠␠",
    good="x = 1",
)
def trailing_space(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A line of code ends with blanks; in Markdown two of them break the line."""
    for cell in notebook.code:
        for number, line in enumerate(cell.source.split("\n"), start=1):
            if line != line.rstrip(" \t"):
                yield Spot("the line ends with blanks", cell.index, number, fixed=True)
                break
