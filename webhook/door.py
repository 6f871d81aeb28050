"""Who may see the pages: tracebacks can hold secrets, so nothing is public by default.

With `[webhook] token` every page asks for it: `Authorization: Bearer`, a basic login's password
(feed readers), or the cookie of the login form. Without one the pages answer this machine only,
and only where nothing says that a proxy stands between: the service listens on loopback, has no
prefix and believes no proxy; the request comes from loopback, is for a loopback name (another
name means a proxy, or a web site that rebinds its own name), and carries no header of a proxy.
Anything else is refused. A proxy on this machine that changes the host and adds no header cannot
be told from a browser here: whoever has one sets a token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, render_template, request

from nbpipe.errors import ConfigError
from webhook.answers import wants_json, written
from webhook.secret import SecretUnusableError, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.wrappers import Response as Answer

COOKIE = "nbpipe_session"
SESSION_SECONDS = 7 * 86_400
SHORTEST = 16
"""Characters of a token; shorter ones can be guessed over the network."""
LOGIN_BYTES = 4_096
"""The largest body of the login form."""

_OPEN = frozenset({"receiver", "door"})
"""Blueprints that answer everybody: beacons have their signature."""
_OPEN_PAGES = frozenset({"static", "pages.health"})
_PROXY_HEADERS = (
    *("Forwarded", "Via", "X-Real-IP"),
    *(f"X-Forwarded-{name}" for name in ("For", "Host", "Port", "Prefix", "Proto", "Server")),
)
_INSIDE = re.compile(r"/(?![/\\])[^\\\x00-\x20]*")
"""A path of ours to go to after the login; nothing that a browser reads as another host."""
_ADVICE = (
    "The pages answer only on this machine. To see them from elsewhere, or through a proxy,"
    ' configure a token: [webhook] token = "file:/etc/nbpipe/token" (or "env:NAME").'
)


class Token:
    """The secret that opens the pages, read again for every request so that it can be replaced.

    Args:
        source: `env:NAME` or `file:PATH`.
        environ: Where the name is looked up.
    """

    def __init__(self, source: str, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ

    def check(self) -> None:
        """Make sure before the first request that there is one.

        Raises:
            ConfigError: It is missing, empty, unreadable or too short.
        """
        hint = "Put at least 32 random characters there: openssl rand -hex 32"
        try:
            length = len(read_source(self._source, self._environ))
        except SecretUnusableError as error:
            raise ConfigError(f"[webhook] token: {error}", hint=hint) from error
        if length < SHORTEST:
            raise ConfigError(
                f"[webhook] token: the secret {self._source} has fewer than {SHORTEST} characters",
                hint=hint,
            )

    def read(self) -> bytes | None:
        """Return the token, None where there is none any more: then nobody is let in."""
        try:
            return read_source(self._source, self._environ)
        except SecretUnusableError:
            return None


class Door:
    """Decides for each request; has the login form.

    Args:
        token: None where none is configured.
        local: The service listens on loopback only, without a proxy or prefix.
        now: Seconds since the epoch.
        public_badges: Badges are for everybody.
    """

    def __init__(
        self,
        token: Token | None,
        *,
        local: bool,
        now: Callable[[], float],
        public_badges: bool = False,
    ) -> None:
        self._token = token
        self._local = local
        self._now = now
        self._open_pages = _OPEN_PAGES | ({"results.badge"} if public_badges else set())

    def blueprint(self) -> Blueprint:
        """Return the login, and what is asked before every request."""
        routes = Blueprint("door", __name__, template_folder="templates")
        routes.add_url_rule("/login", "form", self._form)
        routes.add_url_rule("/login", "login", self._login, methods=["POST"])
        routes.add_url_rule("/logout", "logout", self._logout, methods=["POST"])
        routes.before_app_request(self._guard)
        routes.app_context_processor(lambda: {"signed_in": COOKIE in request.cookies})
        return routes

    def admits(self) -> bool:
        """Return whether the present request may see everything."""
        if self._token is None:
            return self._local and _from_here()
        token = self._token.read()
        return token is not None and (_shows(token) or self._session(token))

    def _guard(self) -> tuple[Response, int] | None:
        """Let the request pass, or answer in its place."""
        if request.blueprint in _OPEN or request.endpoint in self._open_pages:
            return None
        if request.endpoint is None or self.admits():
            return None
        if self._token is None:
            return self._refusal("refused", _ADVICE), 403
        response = self._refusal("login", "This needs the service's token.")
        response.headers["WWW-Authenticate"] = 'Bearer realm="nbpipe"'
        return response, 401

    def _refusal(self, kind: str, reason: str) -> Response:
        if wants_json() or request.endpoint == "metrics.metrics":
            return written({"status": "refused", "reason": reason})
        target = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return Response(
            render_template("login.html", form=kind == "login", reason=reason, target=target)
        )

    def _form(self) -> str | tuple[str, int]:
        if self._token is None:
            return render_template("login.html", form=False, reason=_ADVICE, target="/"), 403
        return render_template("login.html", form=True, reason="", target="/")

    def _login(self) -> Answer | tuple[str, int]:
        if (request.content_length or 0) > LOGIN_BYTES:
            return "too large", 413
        target = request.form.get("target", "/")
        if not _INSIDE.fullmatch(target):
            target = "/"
        token = self._token.read() if self._token else None
        given = request.form.get("token", "").strip().encode("utf-8", "replace")
        if token is None or not hmac.compare_digest(given, token):
            page = render_template(
                "login.html", form=True, reason="That is not the token.", target=target
            )
            return page, 403
        response = redirect(request.script_root + target, 303)
        expires = int(self._now()) + SESSION_SECONDS
        self._set_cookie(response, f"{expires}.{_sign(token, expires)}", SESSION_SECONDS)
        return response

    def _logout(self) -> Answer:
        response = redirect(f"{request.script_root}/login", 303)
        self._set_cookie(response, "", 0)
        return response

    @staticmethod
    def _set_cookie(response: Answer, value: str, seconds: int) -> None:
        response.set_cookie(
            COOKIE,
            value,
            max_age=seconds,
            path=request.script_root or "/",
            secure=request.is_secure,
            httponly=True,
            samesite="Lax",  # Strict would ask again after every link from elsewhere
        )

    def _session(self, token: bytes) -> bool:
        expires, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):  # noqa: PLR2004  (digits of a time)
            return False
        genuine = hmac.compare_digest(signature.encode(), _sign(token, int(expires)).encode())
        return genuine and int(expires) > self._now()


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches that host; names other than localhost do not."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def _from_here() -> bool:
    """Return whether nothing speaks against the request being made on this machine."""
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    try:
        named = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return False
    return is_loopback(named) and is_loopback(request.remote_addr or "")


def _shows(token: bytes) -> bool:
    """Return whether the request's Authorization holds the token; compared in constant time."""
    given = request.authorization
    if given is None:
        return False
    shown = given.token if given.type == "bearer" else given.password
    return hmac.compare_digest((shown or "").encode("utf-8", "replace"), token)


def _sign(token: bytes, expires: int) -> str:
    return hmac.new(token, f"nbpipe session until {expires}".encode(), hashlib.sha256).hexdigest()
