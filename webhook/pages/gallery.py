"""The published notebooks for those who use them: by folder, with title, picture and time.

What is shown of a notebook is the executed copy of its newest run that passed, with its date; where
there is none, the published file as it is, and the page says so. No failure and no traceback is
here: so these pages may be open to everybody (`[webhook] public-gallery`) while results are not.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, render_template, request, send_file

from nbpipe._version import __version__
from nbpipe.history import HistoryError
from nbpipe.reports.html.images import Place
from nbpipe.reports.html.rendering import Source
from nbpipe.system import files
from webhook.pages import peek
from webhook.pages.answers import answer
from webhook.pages.copies import AGAIN_SECONDS, FRAMED, HEADERS, LARGEST
from webhook.pages.forge_links import file_url
from webhook.pages.names import named
from webhook.pages.rendered import Why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from nbpipe.history import Archive
    from nbpipe.history.page_queries import Passed
    from webhook.pages.copies import Copies
    from webhook.pages.rendered import Rendered
    from webhook.served import Served

SHOWN = 24
"""Notebooks on a page."""
_PASSED_OVER = frozenset({".ipynb_checkpoints", ".git"})
_RELEASES = 8
"""Releases whose list of notebooks is remembered."""
_PICTURE_POLICY = "sandbox; default-src 'none'"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """A published collection."""

    name: str
    commit: str
    """Of the release that readers see; empty: none yet."""
    pinned: bool
    notebooks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryIndex:
    """The published collections."""

    collections: tuple[PublishedRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A published notebook."""

    path: str
    title: str
    """Its first heading, else the name of its file."""
    picture: bool
    """Whether there is a picture of what it shows."""
    passed: datetime | None
    """When the run that is shown began; None: it is shown as published."""
    seconds: float | None
    """How long that run of it took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder with notebooks at or below it."""

    path: str
    notebooks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryPage:
    """The notebooks of one folder of a release, or those that a search finds."""

    name: str
    commit: str
    folder: str
    """Empty: the top."""
    part: str
    folders: tuple[Folder, ...]
    page: int
    more: bool
    notebooks: tuple[Card, ...]
    command: str
    """What takes a writable copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedPage:
    """One published notebook."""

    name: str
    commit: str
    folder: str
    card: Card
    executed_at: str
    """The commit that the shown run was of; empty where that is not known, or none is shown."""
    command: str
    link: str
    """The published file at the forge; empty where none is known."""


class Gallery:
    """The pages of the published collections.

    Args:
        served: The collections.
        archive: Where their runs are.
        origins: Address of an origin -> name of the collection that is published from it.
        copies: Finds executed copies that may be shown.
        rendered: Makes pages of notebooks; None: none is shown.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        archive: Archive,
        origins: Mapping[str, str],
        copies: Copies,
        rendered: Rendered | None,
    ) -> None:
        self._served = served
        self._archive = archive
        self._origins = origins
        self._copies = copies
        self._rendered = rendered
        self._peek = peek.Peek()
        self._lock = threading.Lock()
        self._lists: dict[Path, tuple[str, ...]] = {}

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("gallery", __name__, template_folder="templates")
        pages = {
            "index": "",
            "collection": "/<name>",
            "notebook": "/<name>/notebook",
            "shown": "/<name>/shown",
            "picture": "/<name>/picture",
        }
        for page, address in pages.items():
            routes.add_url_rule(f"/notebooks{address}", page, getattr(self, f"_{page}"))
        return routes

    def _index(self) -> Response:
        rows = []
        for name, served in self._served.items():
            health = served.health()
            found = self._paths(served, health.current) if health.current else ()
            rows.append(
                PublishedRow(
                    name=name,
                    commit=health.current or "",
                    pinned=health.pinned is not None,
                    notebooks=len(found),
                )
            )
        return answer("gallery.html", GalleryIndex(collections=tuple(rows)))

    def _collection(self, name: str) -> Response:
        served, commit, paths = self._release(name)
        folder, part = request.args.get("folder", "").strip("/"), request.args.get("q", "")[:200]
        page = _page()
        start = f"{folder}/" if folder else ""
        below = [each for each in paths if each.startswith(start)]
        if folder and not below:
            abort(404, "no notebook is published in that folder")
        if part:
            found = [each for each in below if part.casefold() in each.casefold()]
            folders: tuple[Folder, ...] = ()
        else:
            found = [each for each in below if "/" not in each[len(start) :]]
            folders = _folders(below, start)
        shown = found[page * SHOWN : (page + 1) * SHOWN]
        passes = self._passes(name, served, shown)
        content = GalleryPage(
            name=name,
            commit=commit,
            folder=folder,
            part=part,
            folders=folders,
            page=page,
            more=len(found) > (page + 1) * SHOWN,
            notebooks=tuple(self._card(served, commit, each, passes.get(each)) for each in shown),
            command=self._command(name, folder),
        )
        return answer("gallery-folder.html", content)

    def _notebook(self, name: str) -> Response:
        served, commit, path = self._asked(name)
        passed = self._passes(name, served, [path]).get(path)
        card = self._card(served, commit, path, passed)
        folder = path.rpartition("/")[0]
        shown = passed.run.commit if passed and card.passed else None
        content = PublishedPage(
            name=name,
            commit=commit,
            folder=folder,
            card=card,
            executed_at=shown or "",
            command=self._command(name, folder),
            link=file_url(served.place, commit, path),
        )
        return answer("gallery-notebook.html", content)

    def _shown(self, name: str) -> Response:
        """Answer with the rendered notebook, for a sandboxed frame (see `copies`)."""
        served, commit, path = self._asked(name)
        file = self._file(served, commit, path, self._passes(name, served, [path]).get(path))[0]
        size = file.stat().st_size
        page: Path | Why | None = Why("the file is too large") if size > LARGEST else None
        if page is None and self._rendered is not None:
            # The pictures beside it are those of this release, which does not change.
            made_of = hashlib.sha256(
                f"{__version__} {name} {commit} {path} []".encode("utf-8", "backslashreplace")
            )
            made_of.update(bytes.fromhex(files.digest(file)))
            source = Source(place=Place(served.worker.mirror.release(commit), path))
            page = self._rendered.get(made_of.hexdigest(), file, [], source)
        if not isinstance(page, Why) and page is not None:
            try:
                response = send_file(page, "text/html", conditional=False, etag=False)
            except FileNotFoundError:  # made room for another page just now
                page = None
            else:
                response.headers.update(HEADERS)
                return response
        text = render_template("copy.html", why=page, size=size, address=None)
        if page is not None:
            return Response(text, headers=FRAMED)
        again = {"Retry-After": str(AGAIN_SECONDS)}
        return Response(text, HTTPStatus.SERVICE_UNAVAILABLE, headers=FRAMED | again)

    def _picture(self, name: str) -> Response:
        """Answer with the first picture among the outputs; the browser asks each time for news."""
        served, commit, path = self._asked(name)
        file = self._file(served, commit, path, self._passes(name, served, [path]).get(path))[0]
        found = file.stat()
        tag = hashlib.sha256(f"{file} {found.st_mtime_ns} {found.st_size}".encode()).hexdigest()
        response = Response(headers={"Content-Security-Policy": _PICTURE_POLICY})
        response.set_etag(tag[:32])
        response.cache_control.private = True
        response.cache_control.no_cache = True
        if request.if_none_match.contains(tag[:32]):
            response.status_code = HTTPStatus.NOT_MODIFIED
            return response
        picture = peek.picture(file)
        if picture is None:
            abort(404, "none of its outputs is a picture")
        response.mimetype, data = picture
        response.set_data(data)
        return response

    def _release(self, name: str) -> tuple[Served, str, tuple[str, ...]]:
        """Return the collection, the release that readers see, and the notebooks in it."""
        if name not in self._served:
            abort(404, "no such collection is published")
        served = self._served[name]
        commit = served.health().current
        if commit is None:
            abort(404, "nothing is published yet")
        return served, commit, self._paths(served, commit)

    def _asked(self, name: str) -> tuple[Served, str, str]:
        served, commit, paths = self._release(name)
        path = request.args.get("path", "")
        if path not in paths:
            abort(404, "no such notebook is published")
        return served, commit, path

    def _paths(self, served: Served, commit: str) -> tuple[str, ...]:
        """Return the notebooks of a release, which never changes, in the order of their paths."""
        folder = served.worker.mirror.release(commit)
        with self._lock:
            if folder in self._lists:
                return self._lists[folder]
        found = []
        for top, inside, names in os.walk(folder):
            inside[:] = [each for each in inside if each not in _PASSED_OVER]
            start = os.path.relpath(top, folder)
            start = "" if start == "." else f"{start}/"
            found += [start + each for each in names if each.endswith(".ipynb")]
        paths = tuple(sorted(found))
        with self._lock:
            while len(self._lists) >= _RELEASES:
                del self._lists[next(iter(self._lists))]
            self._lists[folder] = paths
        return paths

    def _passes(self, name: str, served: Served, paths: Sequence[str]) -> dict[str, Passed]:
        """Return the newest pass of each notebook; of none where the history cannot be read."""
        found: dict[str, Passed] = {}
        try:
            with self._archive.look() as look:
                for each in named(look.collections(), self._origins).values():
                    if each.name != name and (not served.place or each.place != served.place):
                        continue
                    inside = [path for path in paths if path.startswith(each.folder)]
                    told = look.passes(each.id, [path[len(each.folder) :] for path in inside])
                    for path in inside:
                        one = told.get(path[len(each.folder) :])
                        best = found.get(path)
                        if one and (best is None or one.run.started > best.run.started):
                            found[path] = one
        except HistoryError:
            return {}
        return found

    def _file(
        self, served: Served, commit: str, path: str, passed: Passed | None
    ) -> tuple[Path, bool]:
        """Return the file that is shown, and whether it is an executed copy."""
        copy = self._copies.find(passed.run, passed.result) if passed else None
        if copy is not None:
            return copy, True
        folder = served.worker.mirror.release(commit)
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            abort(404, "no such notebook is published")
        return file, False

    def _card(self, served: Served, commit: str, path: str, passed: Passed | None) -> Card:
        file, executed = self._file(served, commit, path, passed)
        seen = self._peek.seen(file)
        return Card(
            path=path,
            title=seen.title or path.rpartition("/")[2].removesuffix(".ipynb"),
            picture=seen.picture,
            passed=passed.run.started if passed and executed else None,
            seconds=passed.result.seconds if passed else None,
        )

    def _command(self, name: str, folder: str) -> str:
        words = ["getlatest"]
        words += ["--collection", name] if len(self._served) > 1 else []
        words += ["--only", folder] if folder else []
        return shlex.join(words)


def _folders(paths: Sequence[str], start: str) -> tuple[Folder, ...]:
    """Return the folders right below one, each with how many notebooks it holds."""
    counts: dict[str, int] = {}
    for each in paths:
        head, slash, _ = each[len(start) :].partition("/")
        if slash:
            counts[start + head] = counts.get(start + head, 0) + 1
    return tuple(Folder(path=path, notebooks=count) for path, count in sorted(counts.items()))


def _page() -> int:
    text = request.args.get("page", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0  # noqa: PLR2004  (digits)
