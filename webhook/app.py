"""The application factory: routes, what every answer carries, and how errors look.

Reads no environment, no file and no configuration: `wiring` does. So a test, waitress and any
other WSGI server get the same application.
"""

from __future__ import annotations

import base64
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, g, jsonify, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from nbpipe.history import HistoryError, NoHistory
from webhook.access import logged, prefixed
from webhook.metrics import Metrics
from webhook.pages import gauges
from webhook.pages.answers import json_addresses, wants_json
from webhook.pages.copies import Copies
from webhook.pages.gallery import Gallery
from webhook.pages.overview import Pages
from webhook.pages.past import Past
from webhook.pages.references import References
from webhook.pages.rendered import Rendered
from webhook.pages.results import Results
from webhook.receiving.body import LIMIT
from webhook.receiving.receiver import Receiver
from webhook.receiving.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook.pages.door import Door
    from webhook.receiving.deliveries import Deliveries
    from webhook.served import Served

PAGE_SCRIPT = (Path(__file__).parent / "pages" / "script.js").read_text(encoding="utf-8")
"""The only script that may run on a page: the policy names its digest, and no other source."""
_DIGEST = base64.b64encode(hashlib.sha256(PAGE_SCRIPT.encode()).digest()).decode()

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; base-uri 'none';"
        f" form-action 'self'; frame-ancestors 'none'; script-src 'sha256-{_DIGEST}';"
        " connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(  # noqa: PLR0913  (the factory: everything that differs between two services)
    served: Sequence[Served],
    deliveries: Deliveries,
    *,
    door: Door,
    prefix: str = "",
    proxies: int = 0,
    body_limit: int = LIMIT,
    past: Past | None = None,
    now: Callable[[], float] = time.time,
) -> Flask:
    """Return the application for these collections.

    Args:
        served: The collections; every secret has been checked.
        deliveries: The receiver's memory.
        door: Who may see the pages.
        prefix: The path below which it answers, such as /services/notebooks.
        proxies: How many reverse proxies stand in front and are believed when they set
            X-Forwarded-For, -Proto, -Host and -Prefix. 0: these headers mean nothing.
        body_limit: The largest body, in bytes.
        past: Where the results and reference runs are; by default there are none.
        now: Seconds since the epoch.
    """
    app = Flask("webhook")
    by_name = {one.name: one for one in served}
    metrics = Metrics(by_name)
    app.register_blueprint(
        Receiver(by_name, deliveries, metrics, body_limit=body_limit).blueprint()
    )
    app.register_blueprint(door.blueprint())
    past = past or Past()
    readable = partial(_readable, past)
    overview = Pages(by_name, deliveries, metrics, now, door.admits, readable)
    app.register_blueprint(overview.blueprint())
    app.register_blueprint(metrics.blueprint())
    _add_past(app, past, metrics, by_name, door)
    _observe(app, metrics)
    app.context_processor(
        lambda: {
            "page_script": Markup(PAGE_SCRIPT),  # noqa: S704  (our own file)
            "admitted": door.admits(),
            "gallery": bool(served) and door.shows_gallery(),
        }
    )
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault(app))
    app.after_request(_secure)
    _wrap(app, prefix, proxies)
    return app


def _add_past(
    app: Flask, past: Past, metrics: Metrics, served: Mapping[str, Served], door: Door
) -> None:
    """Add the pages about results and reference runs."""
    references = References(past.store, past.rules)
    rendered = Rendered(past.rendered, waiting=past.waiting) if past.rendered else None
    copies = Copies(past.copies, rendered)
    results = Results(past.archive, past.origins, copies, served, public=door.public_badges)
    gallery = Gallery(served, past.archive, past.origins, copies, rendered)
    app.register_blueprint(gallery.blueprint())
    app.register_blueprint(results.blueprint())
    app.register_blueprint(references.blueprint())
    app.register_error_handler(HistoryError, _unreadable(app))
    metrics.add(gauges.Past(past.archive, past.origins), gauges.Stored(references))


def _readable(past: Past) -> bool:
    """Return whether the history can be read; one that has not begun can."""
    try:
        with past.archive.look():
            return True
    except NoHistory:
        return True
    except HistoryError:
        return False


def _observe(app: Flask, metrics: Metrics) -> None:
    """Measure every page from its first to its last step here."""

    def begin() -> None:
        g.began = time.perf_counter()

    def end(response: Response) -> Response:
        if request.endpoint and request.blueprint not in {None, "receiver"} and "began" in g:
            metrics.page(request.endpoint, time.perf_counter() - g.began)
        return response

    app.before_request_funcs.setdefault(None, []).insert(0, begin)
    app.after_request(end)


def _unreadable(app: Flask) -> Callable[[HistoryError], tuple[Response, int]]:
    """Answer 503; the log says which database and why."""

    def answer(error: HistoryError) -> tuple[Response, int]:
        app.logger.error("%s", error)
        reason = "the history cannot be read; the service's log says why"
        return _for_people(503, reason) or jsonify(status="failed", reason=reason), 503

    return answer


def _wrap(app: Flask, prefix: str, proxies: int) -> None:
    """Put around the application what needs the raw request; the last one sees it first."""
    wrapped = prefixed(logged(json_addresses(app.wsgi_app)), prefix)
    if proxies:
        wrapped = ProxyFix(
            wrapped, x_for=proxies, x_proto=proxies, x_host=proxies, x_prefix=proxies
        )
    app.wsgi_app = wrapped  # type: ignore[assignment, method-assign]


def _for_people(status: int, reason: str) -> Response | None:
    """Return a page about what went wrong, where a browser asks; None: a program does."""
    if request.method != "GET" or "text/html" not in request.headers.get("Accept", ""):
        return None
    if wants_json():
        return None
    return Response(render_template("problem.html", status=status, reason=reason), status)


def _refused(refused: Refused) -> tuple[Response, int]:
    return jsonify(status="refused", reason=str(refused)), refused.status


def _http_error(error: HTTPException) -> Response:
    """Answer as a page or in JSON; the status and headers (Allow, Location) are Werkzeug's."""
    status, reason = error.code or 500, error.description or error.name
    response = _for_people(status, reason) or jsonify(status="refused", reason=reason)
    response.status_code = status
    kept = [item for item in error.get_headers() if item[0] != "Content-Type"]
    response.headers.extend(kept)
    return response


def _fault(app: Flask) -> Callable[[Exception], tuple[Response, int]]:
    """Answer 500 without a word about the inside; the log has the traceback."""

    def answer(error: Exception) -> tuple[Response, int]:
        app.logger.error("a request failed", exc_info=error)
        return jsonify(status="failed", reason="an error of the service; its log says more"), 500

    return answer


def _secure(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype != "text/css" and not response.cache_control.private:
        response.headers["Cache-Control"] = "no-store"
    return response
