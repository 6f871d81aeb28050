"""Executed copies, rendered for a sandboxed frame.

What a notebook made may hold scripts. They come in a document of their own whose policy puts it
into an origin of nobody (CSP `sandbox` without `allow-same-origin`) and allows no connection: also
when its address is opened by itself, it reaches neither the pages, their cookie, nor the network.

A copy is only read below folders that the configuration names, and the service user's own state
directory: the history may be written by others, and must not choose which files are read here.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response, abort, render_template, request, send_file, url_for

from nbpipe._version import __version__
from nbpipe.execution.workspace import copy_path
from nbpipe.model import Category, Failure, Task
from nbpipe.reports.html.rendering import Source
from nbpipe.system import units
from webhook.pages.rendered import Why

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from nbpipe.history import PastResult, PastRun
    from nbpipe.reports.html.images import Place
    from webhook.pages.rendered import Rendered

LARGEST = 50_000_000
"""Bytes of a copy that is rendered for a page; any is given as a file."""
AGAIN_SECONDS = 5
_DIGESTS = 1_000

HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline';"
        " script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:; font-src data:;"
        " media-src data: blob:; frame-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


FRAMED = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
"""Of a page of ours in the place of a copy; there is nothing of the notebook in it."""


class Copies:
    """Finds the executed copies of runs, and shows them.

    Args:
        folders: Below these a copy may lie.
        rendered: Makes and keeps their pages; None: no copy is shown or given.
    """

    def __init__(self, folders: Sequence[Path], rendered: Rendered | None) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._rendered = rendered
        self._lock = threading.Lock()
        self._digests: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()

    def find(self, run: PastRun, result: PastResult) -> Path | None:
        """Return the copy's file; None where there is none that may be read."""
        try:
            relative = _relative(result)
            folder = Path(run.output_dir).resolve()
            file = (folder / relative).resolve()
            found = file.is_file() and self._rendered is not None
        except (OSError, ValueError, RuntimeError):
            return None
        inside = file.is_relative_to(folder) and any(
            folder.is_relative_to(each) for each in self._folders
        )
        return file if found and inside else None

    def show(
        self, run: PastRun, result: PastResult, name: str, place: Place | None = None
    ) -> Response:
        """Answer with the rendered copy, or with a page that says why it is not shown.

        Args:
            run: The run.
            result: The result whose copy it is.
            name: The collection's, for addresses.
            place: Where its source lies in a release; None: pictures beside it are not shown.
        """
        file = self._found(run, result)
        size = file.stat().st_size
        if size > LARGEST:
            page: Path | Why | None = Why(
                f"the file has more than {units.whole_megabytes(LARGEST)}"
            )
        else:
            page = self._page(file, marked(result), place)
        if isinstance(page, Path):
            try:
                response = send_file(page, "text/html", conditional=False, etag=False)
            except FileNotFoundError:  # made room for another page just now
                page = None
            else:
                response.headers.update(HEADERS)
                return response
        # A frame sends no cookie with what is clicked in it: the page around it has the links.
        framed = request.headers.get("Sec-Fetch-Dest") == "iframe"
        address = url_for("results.file", name=name, run=run.id, path=result.path)
        text = render_template(
            "copy.html", why=page, size=size, address=None if framed else address
        )
        if page is not None:
            return Response(text, headers=FRAMED)
        again = {"Retry-After": str(AGAIN_SECONDS)}
        return Response(text, HTTPStatus.SERVICE_UNAVAILABLE, headers=FRAMED | again)

    def give(self, run: PastRun, result: PastResult, *, text: bool) -> Response:
        """Answer with the copy's own file, to be kept or to be read as plain text."""
        file = self._found(run, result)
        response = send_file(
            file,
            "text/plain; charset=utf-8" if text else "application/x-ipynb+json",
            as_attachment=not text,
            download_name=file.name,
            conditional=False,
            etag=False,
        )
        response.headers.update(HEADERS)
        return response

    def _found(self, run: PastRun, result: PastResult) -> Path:
        file = self.find(run, result)
        if file is None:
            abort(HTTPStatus.NOT_FOUND, "no executed copy that may be shown")
        return file

    def _page(self, file: Path, failures: list[Failure], place: Place | None) -> Path | Why | None:
        if self._rendered is None:
            return Why("copies are not shown by this service")
        marks = repr([(each.cell, each.source) for each in failures])
        beside = f"{place.root} {place.path}" if place else ""
        made_of = hashlib.sha256(f"{__version__} {marks} {beside}".encode("utf-8", "replace"))
        made_of.update(self._digest(file))
        return self._rendered.get(made_of.hexdigest(), file, failures, Source(place=place))

    def _digest(self, file: Path) -> bytes:
        """Return the digest of a copy; of one that did not change it is remembered."""
        found = file.stat()
        key = (file, found.st_mtime_ns, found.st_size)
        with self._lock:
            if key in self._digests:
                return self._digests[key]
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
        with self._lock:
            self._digests[key] = digest
            while len(self._digests) > _DIGESTS:
                self._digests.popitem(last=False)
        return digest


def _relative(result: PastResult) -> PurePosixPath:
    """Return where a run writes the copy of that attempt, below its folder."""
    task = Task(path=result.path, file=Path(result.path), why="", kernel=result.kernel)
    relative = copy_path(task)
    if result.attempts > 1:
        return relative.with_name(f"{relative.stem}.attempt-{result.attempts}.ipynb")
    return relative


def marked(result: PastResult) -> list[Failure]:
    """Return the failures whose cells are marked in the copy; they are found by id.

    A flaky notebook's copy is that of the attempt that passed: no cell of it failed.
    """
    if result.outcome != "failed":
        return []
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
