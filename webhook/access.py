"""One line of JSON per request. No query string, no header, no body: nothing secret can be in it.

JSON also because a caller's control characters are escaped in it and cannot forge a line.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("webhook.access")

LONGEST_PATH = 200


def logged(application: WSGIApplication) -> WSGIApplication:
    """Return the application with a line in the access log for every request."""

    def observed(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        seen = {"status": "500"}

        def start_and_see(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ANN401
            seen["status"] = status[:3]
            return start(status, headers, exc_info)

        try:
            return application(environ, start_and_see)
        finally:
            log(
                method=environ.get("REQUEST_METHOD", ""),
                path=environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
                status=int(seen["status"]),
                seconds=time.perf_counter() - started,
                remote=environ.get("REMOTE_ADDR", ""),
            )

    return observed


def log(*, method: str, path: str, status: int, seconds: float, remote: str) -> None:
    """Write the line."""
    line = {
        "remote": remote,
        "method": method[:20],
        "path": path[:LONGEST_PATH],
        "status": status,
        "milliseconds": round(seconds * 1_000, 2),
    }
    logger.info("%s", json.dumps(line))


def prefixed(application: WSGIApplication, prefix: str) -> WSGIApplication:
    """Return the application as it is below a prefix such as /services/notebooks.

    Links carry the prefix; a proxy may pass it on (JupyterHub) or strip it.
    """
    prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""

    def below(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        environ["SCRIPT_NAME"] = prefix
        if path == prefix or path.startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return application(environ, start)

    return below if prefix else application
