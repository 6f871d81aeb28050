"""Who may see the pages: tracebacks can hold secrets, so nothing is public by default.

Every page asks for the service's token: `Authorization: Bearer`, a basic login's password (feed
readers), or the cookie of the login form. Where a request comes from decides nothing: a proxy on
this machine looks like a browser on it, and the machine has other users. The configuration may
name a token, leave it to the service to make one (see `state`), or open the pages in a word.

itsdangerous signs the cookie. Flask's own session needs a key that stays the same while the
service runs, and this one may be replaced. Flask-HTTPAuth guards views one by one with its
decorators and has no cookie: here every request is asked, and werkzeug parses the header.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from flask import Blueprint, Response, redirect, render_template, request
from itsdangerous import BadSignature, Signer

from nbpipe.errors import ConfigError
from nbpipe.system.secrets import SecretUnusableError
from nbpipe.system.secrets import read as read_secret
from webhook.pages.answers import wants_json, written

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
_WRONG = "That is not the token."
_INSIDE = re.compile(r"/(?![/\\])[^\\\x00-\x20]*")
"""A path of ours to go to after the login; nothing that a browser reads as another host."""


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
            length = len(read_secret(self._source, self._environ))
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
            return read_secret(self._source, self._environ)
        except SecretUnusableError:
            return None


class Door:
    """Decides for each request; has the login form.

    Args:
        token: What the pages ask for; None opens them to everybody.
        now: Seconds since the epoch.
        public_badges: Badges are for everybody.
        public_gallery: The published notebooks are for everybody.
    """

    def __init__(
        self,
        token: Token | None,
        *,
        now: Callable[[], float],
        public_badges: bool = False,
        public_gallery: bool = False,
    ) -> None:
        self._token = token
        self._now = now
        self.public_badges = public_badges or token is None
        self._open = _OPEN | ({"gallery"} if public_gallery else set())
        self._open_pages = _OPEN_PAGES | ({"results.badge"} if public_badges else set())

    def blueprint(self) -> Blueprint:
        """Return the login, and what is asked before every request."""
        routes = Blueprint("door", __name__, template_folder="templates")
        routes.add_url_rule("/login", "form", self._form)
        routes.add_url_rule("/login", "login", self._login, methods=["POST"])
        routes.add_url_rule("/logout", "logout", self._logout, methods=["POST"])
        routes.before_app_request(self._guard)
        routes.app_context_processor(lambda: {"logout_key": self._logout_key()})
        return routes

    def admits(self) -> bool:
        """Return whether the present request may see everything."""
        if self._token is None:
            return True
        token = self._token.read()
        return token is not None and (_shows(token) or self._session(token))

    def shows_gallery(self) -> bool:
        """Return whether the present request may see the published notebooks."""
        return "gallery" in self._open or self.admits()

    def _guard(self) -> tuple[Response, int] | None:
        """Let the request pass, or answer in its place."""
        if request.blueprint in self._open or request.endpoint in self._open_pages:
            return None
        if request.endpoint is None or self.admits():
            return None
        response = self._refusal("This needs the service's token.")
        response.headers["WWW-Authenticate"] = 'Bearer realm="nbpipe"'
        return response, 401

    @staticmethod
    def _refusal(reason: str) -> Response:
        if wants_json() or request.endpoint == "metrics.metrics":
            return written({"status": "refused", "reason": reason})
        target = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return Response(render_template("login.html", reason=reason, target=target))

    def _form(self) -> str | Answer:
        if self._token is None:
            return redirect(f"{request.script_root}/", 303)
        return render_template("login.html", reason="", target="/")

    def _login(self) -> Answer | tuple[str, int]:
        if (request.content_length or 0) > LOGIN_BYTES:
            return "too large", 413
        target = request.form.get("target", "/")
        if not _INSIDE.fullmatch(target):
            target = "/"
        token = self._token.read() if self._token else None
        given = request.form.get("token", "").strip().encode("utf-8", "replace")
        if token is None or not hmac.compare_digest(given, token):
            return render_template("login.html", reason=_WRONG, target=target), 403
        response = redirect(request.script_root + target, 303)
        expires = int(self._now()) + SESSION_SECONDS
        signed = _signer(token, "session").sign(str(expires)).decode()
        self._set_cookie(response, signed, SESSION_SECONDS)
        return response

    def _logout(self) -> Answer | tuple[Response, int]:
        """End the session, for the button of our own pages only: its form holds the session's key.

        The cookie alone is not enough (a site elsewhere can send a form here), and without a
        session nothing is set: such a form carries no cookie, but its answer could take one away.
        """
        key = self._logout_key()
        small = (request.content_length or 0) <= LOGIN_BYTES
        given = request.form.get("key", "") if small else ""
        if not key or not hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()):
            text = "The sign-out was refused: use the button on one of the pages."
            return Response(render_template("problem.html", status=403, reason=text)), 403
        response = redirect(f"{request.script_root}/login", 303)
        self._set_cookie(response, "", 0)
        return response

    def _logout_key(self) -> str:
        """Return what the form for signing out holds; empty without a session."""
        token = self._token.read() if self._token else None
        if token is None or not self._session(token):
            return ""
        return _signer(token, "sign out").get_signature(request.cookies[COOKIE]).decode()

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
        try:
            expires = int(_signer(token, "session").unsign(request.cookies.get(COOKIE, "")))
        except BadSignature:
            return False
        return expires > self._now()


def _shows(token: bytes) -> bool:
    """Return whether the request's Authorization holds the token; compared in constant time."""
    given = request.authorization
    if given is None:
        return False
    shown = given.token if given.type == "bearer" else given.password
    return hmac.compare_digest((shown or "").encode("utf-8", "replace"), token)


def _signer(token: bytes, purpose: str) -> Signer:
    """Return what signs with a key made from the token for one purpose."""
    return Signer(token, f"nbpipe {purpose}", key_derivation="hmac", digest_method=hashlib.sha256)
