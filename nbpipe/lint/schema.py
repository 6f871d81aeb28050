"""Whether a notebook keeps the schema of format 4: a quick look first, nbformat's word where not.

The quick look refuses more than the schema does, never less; what it refuses is given to nbformat,
whose import takes longer than looking at a hundred notebooks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.lint.notebook import Cell, Notebook

_TOP = {"cells", "metadata", "nbformat", "nbformat_minor"}
_MINOR = 5
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CELL = {"cell_type", "metadata", "source"}
_KEYS = {"code": _CELL | {"outputs", "execution_count"}, "markdown": _CELL, "raw": _CELL}
_OUTPUTS = {
    "stream": {"output_type", "name", "text"},
    "error": {"output_type", "ename", "evalue", "traceback"},
    "display_data": {"output_type", "data", "metadata"},
    "execute_result": {"output_type", "data", "metadata", "execution_count"},
}


def is_plain(notebook: Notebook) -> bool:  # noqa: PLR0911  (one for each thing looked at)
    """Return whether the notebook keeps the schema for certain."""
    data = notebook.data
    if data.keys() != _TOP or not isinstance(data["metadata"], dict):
        return False
    metadata, minor = data["metadata"], data["nbformat_minor"]
    if type(minor) is not int or not 0 <= minor <= _MINOR:
        return False
    for key in ("kernelspec", "language_info"):
        spec = metadata.get(key, {"name": "", "display_name": ""})
        if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
            return False
        if key == "kernelspec" and not isinstance(spec.get("display_name"), str):
            return False
    if not isinstance(metadata.get("title", ""), str) or "orig_nbformat" in metadata:
        return False
    if not isinstance(metadata.get("authors", []), list):
        return False
    return all(_is_plain_cell(cell, with_id=minor == _MINOR) for cell in notebook.cells)


def _is_plain_cell(cell: Cell, *, with_id: bool) -> bool:  # noqa: PLR0911  (likewise)
    raw = cell.raw
    wanted = _KEYS.get(cell.kind)
    if wanted is None or not _is_text(raw.get("source")):
        return False
    keys = raw.keys() - {"attachments"} if cell.kind != "code" else raw.keys()
    if keys != (wanted | {"id"} if with_id else wanted) or (with_id and not _ID.fullmatch(cell.id)):
        return False
    if not isinstance(raw["metadata"], dict) or not isinstance(raw.get("attachments", {}), dict):
        return False
    tags = raw["metadata"].get("tags", [])
    if not isinstance(tags, list) or len(set(map(str, tags))) != len(tags):
        return False
    if {"name", "format", "collapsed", "scrolled", "jupyter"} & raw["metadata"].keys():
        return False
    if "attachments" in raw and not all(map(_is_bundle, raw["attachments"].values())):
        return False
    if cell.kind != "code":
        return True
    count = raw["execution_count"]
    if not (count is None or (type(count) is int and count >= 0)):
        return False
    return isinstance(raw["outputs"], list) and all(map(_is_plain_output, raw["outputs"]))


def _is_plain_output(output: Any) -> bool:  # noqa: ANN401  (JSON)
    if not isinstance(output, dict):
        return False
    kind = output.get("output_type")
    if not isinstance(kind, str) or output.keys() != _OUTPUTS.get(kind):
        return False
    if kind == "stream":
        return isinstance(output["name"], str) and _is_text(output["text"])
    if kind == "error":
        lines = output["traceback"]
        named = isinstance(output["ename"], str) and isinstance(output["evalue"], str)
        return named and isinstance(lines, list) and all(isinstance(one, str) for one in lines)
    count = output.get("execution_count")
    counted = count is None or (type(count) is int and count >= 0)
    return counted and _is_bundle(output["data"]) and isinstance(output["metadata"], dict)


def _is_bundle(bundle: Any) -> bool:  # noqa: ANN401  (JSON)
    return isinstance(bundle, dict) and all(
        "json" in mime or _is_text(value) for mime, value in bundle.items()
    )


def _is_text(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str)


def problems(notebook: Notebook) -> Iterator[tuple[int | None, str]]:
    """Yield what nbformat finds wrong: the cell's index, and its words."""
    from nbformat.validator import iter_validate  # noqa: PLC0415  (slow)

    data: Mapping[str, Any] = notebook.data
    minor = min(notebook.version[1], _MINOR)
    for error in iter_validate(data, version=4, version_minor=minor):
        place = list(getattr(error, "relative_path", ()))
        cell = place[1] if len(place) > 1 and place[0] == "cells" else None
        where = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place[2:])
        message = str(getattr(error, "message", error)).splitlines()[0]
        if len(message) > _LONG:
            message = f"{message[:_LONG]}…"
        yield (
            (cell if isinstance(cell, int) else None),
            f"{where.lstrip('.')}: {message}".lstrip(": "),
        )


_LONG = 200
