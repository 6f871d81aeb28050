"""NBP0xx: the file itself, its format, size and name."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nbpipe.lint import schema
from nbpipe.lint.findings import Spot
from nbpipe.lint.rules.declaration import Rules
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook

RULES = Rules()
_MEGABYTE = 10**6
_WITH_IDS = (4, 5)
_MAJOR = 4


@RULES.add(
    1,
    "not-a-notebook",
    "error",
    why="Jupyter cannot open the file: it is not JSON, holds marks of a merge conflict, or is a"
    " Git LFS pointer.",
    bad="<<<<<<< HEAD",
    good="A file that Jupyter opens; resolve conflicts with `nbdime mergetool`.",
)
def not_a_notebook(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The file is not a notebook."""
    if notebook.failure is not None:
        yield Spot(notebook.failure.message)


@RULES.add(
    2,
    "old-format",
    "error",
    fix="unsafe",
    why="Formats before 4 (IPython 3, 2015) are converted each time they are opened, and many"
    " tools cannot read them.",
    bad='"nbformat": 3',
    good='"nbformat": 4',
)
def old_format(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The notebook has a format older than 4."""
    major, minor = notebook.version
    if notebook.failure is None and major < _MAJOR:
        yield Spot(f"nbformat is {major}.{minor}; 4 is current", fixed=True)


@RULES.add(
    3,
    "invalid-schema",
    "error",
    fix="safe",
    why="Tools that check the format refuse the notebook, or repair it differently.",
    bad='{"cell_type": "code", "source": "1"}  (without outputs)',
    good='{"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], ...}',
)
def invalid_schema(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The notebook breaks the schema of its format."""
    if notebook.failure is None and notebook.version[0] == _MAJOR and not schema.is_plain(notebook):
        by_message: dict[str, list[int | None]] = {}
        for cell, message in schema.problems(notebook):
            by_message.setdefault(message, []).append(cell)
        for message, cells in by_message.items():
            more = f" (and in {units.count(len(cells) - 1, 'more cell')})" if cells[1:] else ""
            yield Spot(f"{message}{more}", cells[0], fixed=True)


@RULES.add(
    4,
    "duplicate-cell-id",
    "error",
    fix="safe",
    why="Editors and comparisons find a cell by its id; two of one id are taken for each other.",
    bad='two cells with "id": "a1b2"',
    good="every cell with an id of its own",
)
def duplicate_id(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """Two cells have the same id."""
    if notebook.version < _WITH_IDS:
        return
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        seen[cell.id] += 1
        if cell.id and seen[cell.id] > 1:
            yield Spot(
                f"the id {cell.id!r} belongs to an earlier cell, too", cell.index, fixed=True
            )


@RULES.add(
    5,
    "without-cell-ids",
    "info",
    "off",
    "safe",
    why="Since format 4.5 every cell has an id, by which comparisons and comments follow it.",
    bad='"nbformat_minor": 4',
    good='"nbformat_minor": 5, and an id in each cell',
)
def without_ids(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The format is older than 4.5: cells have no ids."""
    if notebook.failure is None and notebook.version[0] == _MAJOR and notebook.version < _WITH_IDS:
        yield Spot(f"nbformat is 4.{notebook.version[1]}; 4.5 gives cells ids", fixed=True)


@RULES.add(
    6,
    "not-as-jupyter-writes",
    "info",
    "off",
    "safe",
    why="Another way of writing the same notebook (indentation, order of keys, no last newline)"
    " changes every line at the next save.",
    bad="a file with four blanks of indentation",
    good="a file saved by Jupyter: one blank, a newline at the end",
)
def other_writing(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The file is not written as Jupyter writes it."""
    if notebook.failure is not None or notebook.version[0] != _MAJOR:
        return
    if as_jupyter(notebook.data) != notebook.content:
        bare = as_jupyter(notebook.data).rstrip(b"\n") == notebook.content
        what = "the last newline is missing" if bare else "the file is not as Jupyter writes it"
        yield Spot(what, fixed=True)


@RULES.add(
    7,
    "large-notebook",
    why="Every version of it stays in the repository, and every user downloads it.",
    bad="40 MB of figures in outputs",
    good="smaller figures, or notebooks without outputs; data in files",
)
def large(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """The file is larger than `max-size`."""
    if len(notebook.content) > settings.max_size * _MEGABYTE:
        size = units.data(len(notebook.content))
        yield Spot(f"the file has {size}; max-size is {settings.max_size:g} MB")


_UNTITLED = re.compile(r"^untitled\d*$|(?:^|[-_ ])copy\d*$|\(\d+\)$", re.IGNORECASE)


@RULES.add(
    8,
    "poor-file-name",
    why="A name such as Untitled1 or X-Copy2 says nothing, and blanks must be quoted everywhere.",
    bad="Untitled1.ipynb, fit-Copy2.ipynb, my notebook.ipynb",
    good="light_curves.ipynb",
)
def poor_name(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The name is Jupyter's default one, a copy's, or has a blank."""
    name = PurePosixPath(notebook.path).stem
    if _UNTITLED.search(name):
        yield Spot(f"the name {name!r} does not say what the notebook is about")
    elif any(character.isspace() for character in name):
        yield Spot(f"the name {name!r} has a blank")


def as_jupyter(data: object) -> bytes:
    """Return a notebook's JSON as Jupyter writes it (nbformat, `v4/nbjson.py`)."""
    written = json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    return f"{written}\n".encode("utf-8", "surrogatepass")
