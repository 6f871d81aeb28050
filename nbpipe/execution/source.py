"""Read a notebook, whatever its age or form, and prepare the copy that is executed.

The source file is read once and never written. Every cell of the copy remembers which cell of
the source it is, because injected cells move the others.

The YAML header of a text notebook may name a kernel by a text, or hold a number where a mapping
belongs. `nbpipe.collecting` ignores that with a note; so what jupytext would refuse the whole file
for is taken out.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nbpipe.distribution import pip_install

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nbformat import NotebookNode
    from yaml import Node

    from nbpipe.model import Task

_ORIGIN = "nbpipe_origin"

_SKIP_TAGS = {"skip-execution", "nbval-skip"}
_RAISES_TAGS = {"raises-exception", "nbval-raises-exception"}
_NBVAL_COMMENT = re.compile(r"^\s*#+\s*(NBVAL_[A-Z_]+)\s*$", re.MULTILINE)


_KERNEL_NAME = re.compile(r"^(\W*)name: *(\S+)$", re.MULTILINE)

_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableNotebookError(Exception):
    """The file is gone, or is no notebook; the message says what is wrong with it."""


class UntranslatableParametersError(Exception):
    """The parameters cannot be written in the notebook's language."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeCell:
    """One cell to execute."""

    node: NotebookNode
    index: int
    """In the executed copy."""
    origin: int | None
    """In the source; None for injected code."""
    cell_id: str | None
    skip: bool
    raises: bool
    """It is expected to raise."""


def read(path: Path) -> NotebookNode:
    """Return a notebook in the current format.

    Raises:
        UnreadableNotebookError: It is gone, not readable, or nothing that can be executed.
    """
    import nbformat  # noqa: PLC0415

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableNotebookError(f"cannot be read: {error.strerror}") from error
    try:
        if path.suffix != ".ipynb":
            return _from_text(path, data)
        text = data.decode("utf-8-sig")
        document = _checked(json.loads(text))
        _refuse_newer(document.get("nbformat"))
        if document.get("nbformat") in (1, 2, 3):  # it may be anything
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _tidy(_without_ids(nbformat.convert(nbformat.reader.reads(text), 4)))
        return _tidy(nbformat.from_dict(document))  # what is merely not valid is executed as well
    except UnreadableNotebookError:
        raise
    except UnicodeDecodeError as error:
        raise UnreadableNotebookError(f"is not UTF-8 text: {error.reason}") from error
    except json.JSONDecodeError as error:
        what = "is empty" if not data.strip() else f"is not JSON: {error}"
        raise UnreadableNotebookError(what) from error
    except Exception as error:  # whatever a file can make a converter raise
        raise UnreadableNotebookError(f"not a notebook: {type(error).__name__}: {error}") from error


def _checked(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise UnreadableNotebookError("is JSON, but not a notebook: its top is not an object")
    return document


def _refuse_newer(version: object) -> None:
    """Refuse a notebook of a later format: what its cells mean is not known here."""
    import nbformat  # noqa: PLC0415

    if isinstance(version, int) and version > nbformat.current_nbformat:
        raise UnreadableNotebookError(
            f"has nbformat {version}, and the newest that is known here is"
            f" {nbformat.current_nbformat}"
        )


def _from_text(path: Path, data: bytes) -> NotebookNode:
    if find_spec("jupytext") is None:
        raise UnreadableNotebookError(
            f"is a text notebook, which needs jupytext: {pip_install('text')}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = data.decode("utf-8-sig")
        try:
            return _converted(text, path.suffix)
        except Exception:
            for other in (without_misfits(text), without_header(text)):
                with contextlib.suppress(Exception):  # whatever a header can make jupytext raise
                    return _converted(other, path.suffix)
            raise


def _converted(text: str, suffix: str) -> NotebookNode:
    import jupytext  # noqa: PLC0415

    return _tidy(_without_ids(jupytext.reads(_named_kernel(text), fmt=suffix)))


def _without_ids(notebook: NotebookNode) -> NotebookNode:
    """Take the ids off that a converter has just made up: they are others in each run."""
    for cell in notebook.cells:
        cell.pop("id", None)
    notebook["nbformat_minor"] = 4
    return notebook


def _named_kernel(text: str) -> str:
    """Give the kernelspec in a header the display name that jupytext insists on."""
    head, dashes, rest = text.partition("\n---")
    if "kernelspec:" in head and "display_name:" not in head:
        head = _KERNEL_NAME.sub(r"\g<0>\n\1display_name: \2", head, count=1)
    return head + dashes + rest


def _tidy(notebook: NotebookNode) -> NotebookNode:
    """Give every cell what execution relies on; real files leave much of it out.

    Raises:
        UnreadableNotebookError: There is no list of cells.
    """
    from nbformat import NotebookNode  # noqa: PLC0415

    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise UnreadableNotebookError("is JSON, but not a notebook: it has no list of cells")
    if not isinstance(notebook.get("metadata"), dict):
        notebook["metadata"] = NotebookNode()
    notebook["nbformat"] = 4  # as which it is executed, whatever it says
    if not isinstance(notebook.get("nbformat_minor"), int):
        notebook["nbformat_minor"] = 5
    for index, cell in enumerate(cells):
        if not isinstance(cell, dict):
            raise UnreadableNotebookError(f"has cells[{index}], which is not an object")
        _tidy_cell(cell)
        cell["metadata"][_ORIGIN] = index, cell.get("id")
    return notebook


def _tidy_cell(cell: dict[str, Any]) -> None:
    from nbformat import NotebookNode  # noqa: PLC0415

    if not isinstance(cell.get("metadata"), dict):
        cell["metadata"] = NotebookNode()
    source = cell.get("source") or ""
    cell["source"] = "".join(map(str, source)) if isinstance(source, list) else str(source)
    if not isinstance(cell.get("cell_type"), str):
        cell["cell_type"] = "raw"
    if not _are_attachments(cell.get("attachments", {})):
        del cell["attachments"]  # nothing can write the executed copy with them
    if not isinstance(cell.get("id", ""), str):
        del cell["id"]
    if cell["cell_type"] == "code":
        cell["outputs"] = []
        cell["execution_count"] = None


def _are_attachments(attachments: object) -> bool:
    return isinstance(attachments, dict) and all(
        isinstance(each, dict) for each in attachments.values()
    )


def prepare(notebook: NotebookNode, task: Task) -> NotebookNode:
    """Return the notebook with the task's kernel, parameters and prerun code in it.

    Raises:
        UntranslatableParametersError: papermill has no translation for the kernel's language.
    """
    from nbformat import NotebookNode, v4  # noqa: PLC0415

    spec = notebook.metadata.get("kernelspec")
    spec = NotebookNode(spec) if isinstance(spec, dict) else NotebookNode()
    spec.setdefault("display_name", task.kernel)
    if task.language:
        spec["language"] = task.language
    spec["name"] = task.kernel
    notebook.metadata["kernelspec"] = spec
    if task.parameters:
        notebook = _parameterize(notebook, task)
    for prerun in reversed(task.prerun):
        cell = v4.new_code_cell(prerun.source, metadata={"tags": ["injected-prerun"]})
        if notebook.get("nbformat_minor", 0) < 5:  # noqa: PLR2004  (cell ids came with 4.5)
            del cell["id"]
        notebook.cells.insert(0, cell)
    return notebook


def _parameterize(notebook: NotebookNode, task: Task) -> NotebookNode:
    from papermill.exceptions import PapermillException  # noqa: PLC0415
    from papermill.parameterize import parameterize_notebook  # noqa: PLC0415

    logging.getLogger("papermill").setLevel(logging.ERROR)  # "does not contain a cell with tag"
    if not isinstance(notebook.metadata.get("papermill"), dict):
        notebook.metadata["papermill"] = {}
    for cell in notebook.cells:
        if not isinstance(cell.metadata.get("tags"), list):
            cell.metadata["tags"] = []  # papermill relies on it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parameterize_notebook(  # type: ignore[no-any-return]
                notebook,
                dict(task.parameters),
                kernel_name=task.kernel,
                language={"r": "R"}.get(task.language, task.language) or None,
            )
        except PapermillException as error:
            raise UntranslatableParametersError(str(error)) from error


def code_cells(notebook: NotebookNode) -> list[CodeCell]:
    """Return the cells to execute, and take the marks of their origin off.

    papermill makes up ids for cells that had none; only those of the file count.
    """
    cells = []
    for index, node in enumerate(notebook.cells):
        origin, cell_id = node.metadata.pop(_ORIGIN, (None, None))
        if node.cell_type != "code" or not node.source.strip():
            continue
        tags = _tags(node)
        cells.append(
            CodeCell(
                node=node,
                index=index,
                origin=origin,
                cell_id=cell_id,
                skip=bool(tags & _SKIP_TAGS),
                raises=bool(tags & _RAISES_TAGS),
            )
        )
    return cells


def unsendable(cells: Iterable[CodeCell]) -> tuple[CodeCell, str] | None:
    """Return the first cell that no kernel can be sent, with the reason: JSON allows more."""
    for cell in cells:
        if not cell.skip and (half := _SURROGATE.search(cell.node.source)):
            return cell, (
                f"the source holds half a character (U+{ord(half[0]):04X}), which no kernel can be"
                " sent; write the whole character, or its escape sequence"
            )
    return None


def _tags(node: NotebookNode) -> set[str]:
    """Return a cell's tags, nbval's comments included.

    nbval takes any line that is nothing but such a comment as a tag.
    """
    tags = node.metadata.get("tags", [])
    found = {str(tag) for tag in tags} if isinstance(tags, list) else set()
    comments = _NBVAL_COMMENT.findall(node.source) if "NBVAL_" in node.source else []
    return found | {comment.lower().replace("_", "-") for comment in comments}


def remarks(notebook: NotebookNode) -> list[str]:
    """Return what a maintainer should know about requests that are not followed."""
    notes = []
    for index, cell in enumerate(notebook.cells):
        peer = cell.metadata.get("nbmake")
        if isinstance(peer, dict):
            notes += [
                f"cells[{index}]: nbmake's `{key}` is not supported; the cell runs as it stands"
                for key in ("mock", "post_cell_execute")
                if key in peer
            ]
    return notes + _sos_remarks(notebook)


def _sos_remarks(notebook: NotebookNode) -> list[str]:
    """Return a note where cells name kernels in the way that only SoS' own frontend follows."""
    spec = notebook.metadata.get("kernelspec")
    if not isinstance(spec, dict) or spec.get("name") != "sos":
        return []
    named = [
        str(cell.metadata.get("kernel", "SoS"))
        for cell in notebook.cells
        if cell["cell_type"] == "code"
    ]
    kernels = ", ".join(sorted({*named} - {"SoS"}))
    note = (
        f"cells name kernels of SoS ({kernels}), which only its own frontend sends along: each"
        " runs on the kernel that `%use` chose last"
    )
    return [note] if kernels else []


_FENCE = re.compile(r"(?P<mark>[^\w\s]{0,3}[ \t]?)---[ \t]*\Z")
_MAPPINGS = {"jupyter", "jupytext", "kernelspec", "language_info", "text_representation"}
_TEXTS = {
    "kernelspec": ("name", "display_name", "language"),
    "language_info": ("name",),
    "jupytext": ("formats", "main_language", "default_lexer"),
    "text_representation": ("extension", "format_name"),
}
_REQUIRED = {"kernelspec": "name", "language_info": "name", "text_representation": "extension"}


def without_misfits(text: str) -> str:
    """Return a text notebook without the entries of its header that are of the wrong type."""
    import yaml  # noqa: PLC0415

    lines = text.splitlines(keepends=True)
    found = _header(lines)
    if found is None:
        return text
    start, end, mark = found
    inside = lines[start + 1 : end]
    block = "".join(line[len(mark) :] if line.startswith(mark) else "\n" for line in inside)
    try:
        header = yaml.compose(block, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return without_header(text)
    if not isinstance(header, yaml.MappingNode):
        return without_header(text)
    out = {start + 1 + number for number in _misfits(header, "")}
    return _joined(lines, out)


def without_header(text: str) -> str:
    """Return a text notebook without its header."""
    lines = text.splitlines(keepends=True)
    found = _header(lines)
    if found is None:
        return text
    start, end, _ = found
    blank = end + 1 < len(lines) and not lines[end + 1].strip()
    return _joined(lines, set(range(start, end + 1 + blank)))


def _joined(lines: list[str], out: set[int]) -> str:
    return "".join(line for number, line in enumerate(lines) if number not in out)


def _header(lines: list[str]) -> tuple[int, int, str] | None:
    """Return the numbers of the header's fences, and what makes its lines comments."""
    start = next((n for n, line in enumerate(lines[:20]) if _FENCE.match(line.rstrip("\n"))), None)
    if start is None:
        return None
    fence = lines[start].rstrip()
    match = _FENCE.match(fence)
    for end in range(start + 1, len(lines)):
        if match and lines[end].rstrip() == fence:
            return start, end, match["mark"]
    return None


def _misfits(mapping: Node, inside: str) -> Iterator[int]:
    """Yield the numbers of the lines, in the header, of entries that are of the wrong type."""
    import yaml  # noqa: PLC0415

    for key, value in mapping.value:
        name, end = str(key.value), value.end_mark
        lines = range(key.start_mark.line, end.line + (end.column > 0))
        if name in _MAPPINGS:
            needed = _REQUIRED.get(name)
            if not isinstance(value, yaml.MappingNode) or (
                needed is not None and not _has_text(value, needed)
            ):
                yield from lines
            else:
                inner = set(_misfits(value, name))
                whole = (
                    set(range(value.start_mark.line, lines.stop)) <= inner
                )  # nothing would be left
                yield from lines if whole else inner
        elif name in _TEXTS.get(inside, ()) and not _is_text(value):
            yield from lines


def _has_text(mapping: Node, name: str) -> bool:
    return any(key.value == name and _is_text(value) for key, value in mapping.value)


def _is_text(node: Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:str")
