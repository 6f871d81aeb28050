"""What of a notebook is somebody's work, as one digest; what running or opening it leaves is not.

Work: the cells in their order, each with its type, source, attachments and metadata, and the
notebook's metadata. Not work: outputs, execution counts, widget state, timings, the language's
description, display names, what an editor notes about its own panels, cell ids (saving a notebook
of nbformat 4.4 makes them up), and the way the JSON is written. Names of keys: the nbformat 4
schema, and what JupyterLab 4, Notebook 6, VS Code, Colab and papermill write when they save.

Values in, values out. A file that is no notebook of nbformat 4 has no substance: its bytes count.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from nbpipe.publishing.copies.decision import UNKNOWABLE, Substance

SUFFIX = ".ipynb"
MAJOR = 4
"""The nbformat whose cells are known here."""
LARGE = 1 << 20
"""Bytes from which on it pays to skip the outputs."""
LARGEST = 1 << 29
"""Bytes of a file that is read as a notebook at all."""
DEEPEST = 200
"""Levels in metadata; more is nobody's work."""

EXECUTED = "nbpipe_executed"
"""What a mirror writes into a notebook that it publishes with the outputs of its own run."""
_NOTEBOOK_STATE = frozenset(
    {
        *("language_info", "widgets", "signature", "trusted", "orig_nbformat", "papermill"),
        *("celltoolbar", "varInspector", "nteract", "kernel_info", "interpreter", "vscode"),
        *("toc", "toc-autonumbering", "toc-showcode", "toc-showmarkdowntxt", "toc-showtags"),
        *("colab", "record_timing", EXECUTED),
    }
)
_CELL_STATE = frozenset(
    {
        *("execution", "ExecuteTime", "papermill", "collapsed", "scrolled", "trusted"),
        *("executionInfo", "outputId", "colab", "colab_type", "id"),
        *("jp-MarkdownHeadingCollapsed", "heading_collapsed"),
    }
)
_CELL_DEFAULTS = {"editable": True, "deletable": True, "hide_input": False}
"""What JupyterLab writes into a cell whose properties were only looked at."""


def substance(data: bytes) -> Substance:
    """Return the substance of a notebook's bytes; UNKNOWABLE where they are no notebook."""
    try:
        table = decoded(data)
        if table.get("nbformat") != MAJOR:
            return UNKNOWABLE
        metadata = table.get("metadata") or {}
        kernel = metadata.get("kernelspec") or {}
        rest = {key: value for key, value in metadata.items() if key not in _NOTEBOOK_STATE}
        rest.pop("kernelspec", None)
        work = {
            **{key: value for key, value in table.items() if key not in _TABLE},
            "metadata": _plain(rest),
            "cells": [_cell(cell) for cell in table["cells"]],
        }
        text = json.dumps(work, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Substance(digest, str(kernel.get("name") or ""), EXECUTED in metadata)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return UNKNOWABLE


_TABLE = frozenset({"nbformat", "nbformat_minor", "metadata", "cells"})
_CELL = frozenset({"id", "outputs", "execution_count", "metadata", "source", "attachments"})


def decoded(data: bytes) -> dict[str, Any]:
    """Return a notebook; of a large one without its outputs, which are most of it.

    Raises:
        ValueError: It is not JSON.
        KeyError: It has no cells.
        TypeError: It is not a JSON object.
        RecursionError: It is nested too deep.
    """
    found = _without_outputs(data) if len(data) > LARGE else None
    if found is None:
        found = json.loads(data)
    if not isinstance(found, dict):
        raise TypeError("a notebook is an object")
    return found


def _without_outputs(data: bytes) -> dict[str, Any] | None:
    """Return a notebook whose outputs were skipped; None where that reader does not take it.

    A million numbers of a plot are skipped 40 times as fast as they are read. It refuses what
    Jupyter reads, as NaN in an output; and `getlatest` works without it.
    """
    try:
        import msgspec  # noqa: PLC0415  (takes as long to import as small notebooks to read)
    except ImportError:
        return None
    try:
        table = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        cells = msgspec.json.decode(table.pop("cells"), type=list[dict[str, msgspec.Raw]])
    except msgspec.DecodeError:
        return None
    found: dict[str, Any] = {key: json.loads(bytes(raw)) for key, raw in table.items()}
    found["cells"] = [
        {key: json.loads(bytes(raw)) for key, raw in cell.items() if key != "outputs"}
        for cell in cells
    ]
    return found


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    source = cell.get("source", "")
    metadata = {key: v for key, v in (cell.get("metadata") or {}).items() if key not in _CELL_STATE}
    for key, usual in _CELL_DEFAULTS.items():
        if metadata.get(key) is usual:
            del metadata[key]
    if isinstance(view := metadata.get("jupyter"), dict):
        metadata["jupyter"] = {k: v for k, v in view.items() if k != "outputs_hidden"}
    if metadata.get("slideshow") == {"slide_type": ""}:
        del metadata["slideshow"]
    text = source if isinstance(source, str) else "".join(source)
    return {
        **{key: value for key, value in cell.items() if key not in _CELL},
        "source": text.replace("\r\n", "\n").replace("\r", "\n"),
        "metadata": _plain(metadata),
        "attachments": _plain(cell.get("attachments") or {}),
    }


def _plain(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  (JSON)
    """Return metadata without what is empty, and numbers as a browser writes them (1.0 is 1)."""
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        inner = {key: _plain(each, depth + 1) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each not in ({}, [])}
    if isinstance(value, list):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
