"""How a page answers: HTML for people, the same as JSON for programs.

Every page is a frozen value. `.json` at the end of its address, or `Accept: application/json`,
gives that value itself, with `"format": 1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from flask import Response, render_template, request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FORMAT = 1
_FLAG = "nbpipe.json"
_ENDING = ".json"


def json_addresses(application: WSGIApplication) -> WSGIApplication:
    """Return the application with a `.json` beside every page; `/index.json` is that of `/`."""

    def unended(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.endswith(_ENDING) and environ.get("REQUEST_METHOD") in {"GET", "HEAD"}:
            environ[_FLAG] = True
            path = path.removesuffix(_ENDING)
            environ["PATH_INFO"] = "/" if path == "/index" else path
        return application(environ, start)

    return unended


def wants_json() -> bool:
    """Return whether the present request is a program's."""
    if request.environ.get(_FLAG):
        return True
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def answer(template: str, page: Any, **more: Any) -> Response:  # noqa: ANN401  (any frozen value)
    """Return a page in the form that was asked for.

    Args:
        template: Its HTML.
        page: Its content, for the template and for programs.
        more: Pictures and the like, for the template alone.
    """
    if wants_json():
        return written({"format": FORMAT, **msgspec.to_builtins(page)})
    return Response(render_template(template, page=page, **more))


def written(document: Any) -> Response:  # noqa: ANN401  (whatever JSON holds)
    """Return a document as JSON."""
    return Response(msgspec.json.encode(document), mimetype="application/json")
