"""Who speaks with GitHub: a token, or an App that gets one for an hour at a time.

Source: GitHub, "Generating a JSON Web Token (JWT) for a GitHub App" and "Authenticating as a
GitHub App installation".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbpipe.distribution import pip_install
from nbpipe.errors import ConfigError, UsageError
from nbpipe.github.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.github.client import Client, Clock

_BEFORE = 60
"""Seconds that a token's end is put forward, and a JWT's beginning back: clocks differ."""
_LIFE = 540
"""Seconds that a JWT is valid; GitHub allows ten minutes."""


@dataclass(frozen=True, slots=True)
class Token:
    """A personal access token, or a workflow's own."""

    value: str = field(repr=False)

    def bearer(self) -> str:
        """Return the token."""
        return self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class AppKey:
    """A GitHub App itself, by a JWT that its private key signs."""

    app: str
    """Its client ID, or its number."""
    pem: str = field(repr=False)
    clock: Clock

    def bearer(self) -> str:
        """Return a new JWT.

        Raises:
            UsageError: PyJWT or cryptography is not installed.
            ConfigError: The key is none.
        """
        try:
            import jwt  # noqa: PLC0415  (an extra)
            from jwt.exceptions import PyJWTError  # noqa: PLC0415  (likewise)
        except ImportError as error:
            raise UsageError(
                f"[github] app: a GitHub App needs PyJWT: {error}",
                hint=pip_install("github"),
            ) from error
        now = int(self.clock.now())
        claims: dict[str, Any] = {"iat": now - _BEFORE, "exp": now + _LIFE, "iss": self.app}
        try:
            return jwt.encode(claims, self.pem, algorithm="RS256")
        except (PyJWTError, ValueError, TypeError, NotImplementedError) as error:
            raise ConfigError(
                f"[github] key: not a private RSA key in PEM form ({type(error).__name__})",
                hint="Download one from the App's settings: -----BEGIN RSA PRIVATE KEY-----.",
            ) from None  # its text could repeat the key


class Installation:
    """A GitHub App where it is installed: gets a token for one repository, and renews it.

    Args:
        app: Speaks as the App itself.
        repository: `OWNER/NAME`.
        permissions: What the token may do, no more than is needed.
    """

    def __init__(self, app: Client, repository: str, permissions: Mapping[str, str]) -> None:
        self._app = app
        self._repository = repository
        self._permissions = permissions
        self._token = ""
        self._until = 0.0

    def bearer(self) -> str:
        """Return a token that is valid for the next minute at least.

        Raises:
            GithubError: The App is not installed there, or may not do what is needed.
        """
        if self._app.clock.now() >= self._until - _BEFORE:
            self._renew()
        return self._token

    def _renew(self) -> None:
        try:
            found = self._app.send("GET", f"/repos/{self._repository}/installation")
        except NotFound as error:
            raise NotFound(
                f"{self._repository}: the GitHub App is not installed there, or is another one",
                hint="Install it on the repository; [github] app is its client ID.",
            ) from error
        answer = self._app.send(
            "POST",
            f"/app/installations/{found['id']}/access_tokens",
            {
                "repositories": [self._repository.partition("/")[2]],
                "permissions": dict(self._permissions),
            },
        )
        self._token = answer["token"]
        self._until = datetime.fromisoformat(answer["expires_at"]).timestamp()
