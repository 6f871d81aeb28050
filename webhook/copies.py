"""Executed copies, rendered for a sandboxed frame.

What a notebook made may hold scripts. They come in a document of their own whose policy puts it
into an origin of nobody (CSP `sandbox` without `allow-same-origin`) and allows no connection: also
when its address is opened by itself, it reaches neither the pages, their cookie, nor the network.

A copy is only read below folders that the configuration names, and the service user's own state
directory: the history may be written by others, and must not choose which files are read here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response, abort

from nbpipe.execution.workspace import copy_path
from nbpipe.model import Category, Failure, Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from nbpipe.history import PastResult, PastRun

LARGEST = 20_000_000
"""Bytes of a copy that is rendered for a page."""
REMEMBERED = 8
_PATIENCE = 5.0
"""Seconds; one copy is rendered at a time."""

HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline';"
        " script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:; font-src data:;"
        " media-src data: blob:; frame-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


class Copies:
    """Finds and renders the executed copies of runs.

    Args:
        folders: Below these a copy may lie.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._lock = threading.Lock()
        self._rendered: OrderedDict[tuple[Path, int], str] = OrderedDict()

    def find(self, run: PastRun, result: PastResult) -> Path | None:
        """Return the copy's file; None where there is none that may be read."""
        try:
            relative = _relative(result)
            folder = Path(run.output_dir).resolve()
            file = (folder / relative).resolve()
            found = file.is_file() and file.stat().st_size <= LARGEST
        except (OSError, ValueError, RuntimeError):
            return None
        inside = file.is_relative_to(folder) and any(
            folder.is_relative_to(each) for each in self._folders
        )
        return file if found and inside else None

    def show(self, run: PastRun, result: PastResult) -> Response:
        """Answer with the rendered copy."""
        file = self.find(run, result)
        if file is None:
            abort(HTTPStatus.NOT_FOUND, "there is no executed copy that may be shown")
        document = self._document(file, result)
        if document is None:
            abort(HTTPStatus.NOT_FOUND, "the executed copy is no notebook")
        return Response(document, headers=HEADERS)

    def _document(self, file: Path, result: PastResult) -> str | None:
        """Render, or take what was rendered before."""
        from nbpipe.reports.html import rendering  # noqa: PLC0415  (slow)

        key = (file, file.stat().st_mtime_ns)
        if not self._lock.acquire(timeout=_PATIENCE):
            abort(HTTPStatus.SERVICE_UNAVAILABLE, "other copies are being rendered; try again")
        try:
            if key not in self._rendered:
                made = rendering.frame(file, _failures(result))
                if made is None:
                    return None
                self._rendered[key] = made
                while len(self._rendered) > REMEMBERED:
                    self._rendered.popitem(last=False)
            return self._rendered[key]
        finally:
            self._lock.release()


def _relative(result: PastResult) -> PurePosixPath:
    """Return where a run writes the copy of that attempt, below its folder."""
    task = Task(path=result.path, file=Path(result.path), why="", kernel=result.kernel)
    relative = copy_path(task)
    if result.attempts > 1:
        return relative.with_name(f"{relative.stem}.attempt-{result.attempts}.ipynb")
    return relative


def _failures(result: PastResult) -> list[Failure]:
    """Return the failures as the report knows them; their cells are found by id."""
    return [
        Failure(
            category=Category(each.category),
            name=each.name,
            message=each.message,
            cell=each.cell,
            cell_id=each.cell_id,
            source=getattr(each, "source", ""),
        )
        for each in result.failures
        if each.category in set(Category)
    ]
