"""An executed copy as one HTML document for a sandboxed frame, by nbconvert.

Long outputs are shortened first: a page stays readable and quick whatever a notebook printed.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

    from nbpipe.model import Failure

_log = logging.getLogger(__name__)

FAILED_TAG = "nbpipe-failed"
TEXT_LIMIT = 100_000
"""Characters of one text of an output; the executed copy has all."""
DATA_LIMIT = 4_000_000
"""Characters of one picture or rich output."""
PAGE_LIMIT = 20_000_000
"""Characters of all outputs of a page."""
FILE_LIMIT = 500_000_000
"""Bytes of a copy that is still read."""


def frame(copy: Path, failures: Iterable[Failure]) -> str | None:
    """Return the document that shows an executed copy; None where it cannot be read."""
    try:
        if not copy.is_file() or copy.stat().st_size > FILE_LIMIT:
            return None
        notebook = _read(copy)
        _shorten(notebook)
        marked = [_mark(notebook, failure) for failure in failures]
        body = _exporter().from_notebook_node(notebook)[0]
    except Exception as error:  # noqa: BLE001  (nbformat, nbconvert: odd metadata, in many ways)
        why = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        _log.warning("%s: no page can be made of it: %s", copy, why)
        return None
    return _document(str(body), marked=any(marked))


def _read(copy: Path) -> NotebookNode:
    import nbformat  # noqa: PLC0415  (slow)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ids that nobody looks at here
        notebook: NotebookNode = nbformat.read(copy, as_version=4)
    _forgive(notebook)
    return notebook


def _forgive(notebook: NotebookNode) -> None:
    """Take out what is odd in many files, shows nowhere, and makes nbconvert refuse or warn."""
    notebook["nbformat_minor"] = 4  # which has no ids: missing, doubled and invalid ones
    for cell in notebook.cells:
        cell.pop("id", None)
    if not isinstance(notebook.metadata.get("widgets", {}), dict):
        del notebook.metadata["widgets"]


def _mark(notebook: NotebookNode, failure: Failure) -> bool:
    """Tag the cell that failed; tell whether it was found.

    The copy may hold cells that the source does not (prerun, parameters): of those with the
    failing cell's text it is the first at or after its place.
    """
    place = failure.cell
    if place is None:
        return False
    for cell in notebook.cells[place:]:
        if cell.cell_type == "code" and cell.source == failure.source:
            cell.metadata.setdefault("tags", []).append(FAILED_TAG)
            return True
    return False


def _shorten(notebook: NotebookNode) -> None:
    left = PAGE_LIMIT
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            left -= _shorten_output(output, left)


def _shorten_output(output: NotebookNode, left: int) -> int:
    """Shorten one output; return how many characters it still has."""
    used = 0
    if "text" in output:
        output["text"] = _cut(output["text"], min(TEXT_LIMIT, left))
        used += len(output["text"])
    if "traceback" in output:
        output["traceback"] = [_cut("\n".join(output["traceback"]), TEXT_LIMIT)]
        used += len(output["traceback"][0])
    data: dict[str, Any] = output.get("data", {})
    for kind, value in list(data.items()):
        size = len(value) if isinstance(value, str) else len(str(value))
        limit = TEXT_LIMIT if kind == "text/plain" else DATA_LIMIT
        if size > min(limit, max(left - used, 0)):
            data.pop(kind)
            data.setdefault("text/plain", "")
            data["text/plain"] += f"\n[{kind} of {size:,} characters: see the executed copy]"
            size = 100
        used += size
    return used


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = max(limit // 2, 100)
    gap = f"\n[... {len(text) - 2 * half:,} characters: see the executed copy ...]\n"
    return text[:half] + gap + text[-half:]


@cache
def _exporter() -> HTMLExporter:
    from nbconvert import HTMLExporter  # noqa: PLC0415  (slow)

    return HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]


@cache
def _styles() -> str:
    from pygments.formatters import HtmlFormatter  # noqa: PLC0415

    files = resources.files("nbpipe.reports.html") / "templates"
    own = (files / "frame.css").read_text(encoding="utf-8")
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


def _document(body: str, *, marked: bool) -> str:
    jump = ""
    if marked:
        jump = (  # a frame that has no size yet does not scroll: tried until it did
            "<script>const show=left=>{document.querySelector"
            f'(".celltag_{FAILED_TAG}").scrollIntoView({{block:"center"}});'
            "if(!scrollY&&left)setTimeout(show,100,left-1)};show(50)</script>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="color-scheme" content="light dark"><title>Executed notebook</title>'
        f"<style>{_styles()}</style></head><body><main>{body}</main>{jump}</body></html>"
    )
