"""NBP2xx: outputs, and the order in which the cells were executed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.lint.findings import Spot
from nbpipe.lint.notebook import mapping, text
from nbpipe.lint.rules.declaration import Rules
from nbpipe.lint.selection import matching
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Cell, Notebook

RULES = Rules()
_MEGABYTE = 10**6
_PRIVATE = re.compile(
    r"(?<![\w./~:-])(?:/home/|/Users/|/u/home/|/global/homes/\w/|[A-Z]:\\\\?Users\\\\?)"
    r"(?!runner\b|jovyan\b|docs\b|user\b|username\b|USER\b|USERNAME\b|your|<|\{|\$|\.\.\.)"
    r"[\w.-]+(?:[/\\][\w.+-]*)*"
)
"""A path of a person's own folder; names that are the same for everybody are left out."""
_SCRIPT = re.compile(r"<script\b|\bon(?:load|error|click|mouseover)\s*=|javascript:", re.IGNORECASE)
_EXPECTED = frozenset(
    ["raises-exception", "nbval-raises-exception", "nbraises-exception", "skip-execution"]
)


@RULES.add(
    201,
    "outputs-present",
    default="configured",
    fix="safe",
    why="A collection that keeps no outputs has small histories, and outputs that nobody checks"
    " cannot be wrong.",
    bad='outputs = "absent" in [check], and a cell with outputs',
    good="notebooks whose outputs were cleared before the commit",
)
def outputs_present(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """A cell has outputs where `outputs` says absent."""
    policy = settings.outputs
    if isinstance(policy, dict):
        policy = next(
            (value for pattern, value in policy.items() if matching((pattern,), notebook.path)),
            "any",
        )
    if policy == "absent":
        for cell in notebook.code:
            if cell.outputs or cell.execution_count is not None:
                yield Spot("the cell has outputs or an execution count", cell.index, fixed=True)


@RULES.add(
    202,
    "partly-executed",
    why="Readers cannot know whether the cells without outputs work.",
    bad="In [1], In [2], In [ ]",
    good="all cells executed, or none",
)
def partly_executed(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """Some cells were executed, others were not."""
    meant = [cell for cell in notebook.code if "skip-execution" not in cell.tags]
    missing = [cell for cell in meant if cell.execution_count is None]
    if missing and len(missing) < len(meant):
        yield Spot(f"{len(missing)} of {len(meant)} code cells were not executed", missing[0].index)


@RULES.add(
    203,
    "execution-order",
    why="Outputs that come from another order of cells cannot be reproduced from top to bottom.",
    bad="In [7], In [3], In [12]",
    good="In [1], In [2], In [3]: restart the kernel and run all cells",
)
def execution_order(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The execution counts are not 1, 2, 3 and so on."""
    counted = [cell for cell in notebook.code if cell.execution_count is not None]
    for number, cell in enumerate(counted, start=1):
        if cell.execution_count != number:
            yield Spot(
                f"the execution count is {cell.execution_count}, {number} was expected",
                cell.index,
            )
            return


@RULES.add(
    204,
    "stored-error",
    "error",
    why="Users see a traceback and do not know whether it is meant.",
    bad="a cell with a stored NameError",
    good="the error mended, or the cell tagged `raises-exception`",
)
def stored_error(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """An error is stored in a cell that is not tagged for it."""
    allowed = mapping(notebook.metadata.get("execution")).get("allow_errors") is True
    for cell in notebook.code:
        if allowed or cell.tags & _EXPECTED:
            continue
        for output in cell.outputs:
            if output.get("output_type") == "error":
                yield Spot(f"a {output.get('ename') or 'n error'} is stored", cell.index)


@RULES.add(
    205,
    "stored-stderr",
    fix="unsafe",
    why="Warnings and logs of the author's machine look like failures to a user.",
    bad="/home/jane/lib/x.py:3: DeprecationWarning: ...",
    good="the cause mended, or the output removed",
)
def stored_stderr(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """Text of standard error is stored."""
    for cell in notebook.code:
        if any(each.get("name") == "stderr" for each in cell.outputs):
            yield Spot("text of standard error is stored", cell.index, fixed=True)


@RULES.add(
    206,
    "large-output",
    "error",
    fix="unsafe",
    why="It slows every editor, comparison and download down, and stays in the history.",
    bad="a table of 50,000 rows, or a figure of 5 MB",
    good="df.head(), fig.savefig(..., dpi=80)",
)
def large_output(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """An output is larger than `max-output-size`."""
    most = settings.max_output_size * _MEGABYTE
    if len(notebook.content) <= most:
        return
    for cell in notebook.code:
        for output in cell.outputs:
            if (size := len(msgspec.json.encode(output))) > most:
                yield Spot(
                    f"an output has {units.data(size)}; max-output-size is"
                    f" {settings.max_output_size:g} MB",
                    cell.index,
                    fixed=True,
                )


@RULES.add(
    207,
    "script-in-output",
    fix="unsafe",
    why="Jupyter runs it when somebody opens the notebook and trusts it; elsewhere it shows"
    " nothing.",
    bad='{"text/html": "<script>...</script>"}',
    good="a picture, or a table without scripts",
)
def script_in_output(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """An output holds a script."""
    for cell in notebook.code:
        for output in cell.outputs:
            data = mapping(output.get("data"))
            html = text(data.get("text/html"))
            if "application/javascript" in data or _SCRIPT.search(html):
                yield Spot("an output holds a script", cell.index, fixed=True)
                break


@RULES.add(
    208,
    "private-path-in-output",
    fix="unsafe",
    why="It tells the author's name and machine, and is true for nobody else.",
    bad="Saved to /home/jane/figures/a.png",
    good="Saved to figures/a.png; or `allowed-paths` for a path that all users have",
)
def path_in_output(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """An output holds a path of a person's own folder."""
    for cell in notebook.code:
        for said in texts_of(cell):
            if path := private_path(said, settings.allowed_paths):
                yield Spot(f"an output holds {path}", cell.index, fixed=True)
                break


@RULES.add(
    209,
    "private-path-in-code",
    why="The cell works on the author's machine alone.",
    bad='open("/home/jane/data/a.fits")',
    good='open("data/a.fits"), or Path.home() / "data"; `allowed-paths` for what all users have',
)
def path_in_code(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """The code has a path of a person's own folder."""
    for cell in notebook.code:
        for number, line in enumerate(cell.source.splitlines(), start=1):
            if path := private_path(line, settings.allowed_paths):
                yield Spot(f"the code has {path}", cell.index, number)


def texts_of(cell: Cell) -> Iterator[str]:
    """Yield all that a cell's outputs say as text."""
    for output in cell.outputs:
        yield from _texts(output)


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    if "text" in output:
        yield text(output["text"])
    if "traceback" in output:
        yield text(output["traceback"])
    for mime, value in mapping(output.get("data")).items():
        if mime.startswith("text/") or mime.endswith("+xml"):
            yield text(value)


def private_path(said: str, allowed: tuple[str, ...]) -> str:
    """Return the first path of a person's own folder in a text; empty where there is none.

    Args:
        said: The text.
        allowed: Beginnings of paths that every user has.
    """
    if "/home/" not in said and "Users" not in said and "/homes/" not in said:
        return ""
    for match in _PRIVATE.finditer(said):
        if not match[0].startswith(allowed):
            return match[0]
    return ""
