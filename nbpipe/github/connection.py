"""Settings and environment -> a client that may do what is needed, and nothing more."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import msgspec

from nbpipe.errors import ConfigError, UsageError
from nbpipe.github.client import Client
from nbpipe.github.credentials import AppKey, Installation, Token
from nbpipe.publishing.origin.address import secret
from nbpipe.system.secrets import variable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.config import Config
    from nbpipe.config.settings import GithubSettings
    from nbpipe.github.client import Clock

DEFAULT_URL = "https://api.github.com"
DEFAULT_TOKEN = "env:GITHUB_TOKEN"  # noqa: S105  (where it is)

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def kind_of(settings: GithubSettings) -> str:
    """Return `status` or `check`: as set; by itself a check run for an App."""
    if settings.kind != "auto":
        return settings.kind
    return "check" if settings.app else "status"


def adjusted(config: Config, kind: str | None, name: str | None) -> Config:
    """Return a configuration with what the command line says of a status or check run."""
    changes = {key: value for key, value in (("kind", kind), ("name", name)) if value}
    github = msgspec.structs.replace(config.settings.github, **changes)
    settings = msgspec.structs.replace(config.settings, github=github)
    return dataclasses.replace(config, settings=settings)


def check_names(repository: str, sha: str) -> None:
    """Refuse what cannot be a repository or a commit, before anything is run or sent.

    Raises:
        UsageError: It is none.
    """
    if not _REPOSITORY.fullmatch(repository) or set(repository.split("/")) & {".", ".."}:
        raise UsageError(
            f"--repo {repository}: not a repository", hint="Write OWNER/NAME, as in its address."
        )
    if not _SHA.fullmatch(sha):
        raise UsageError(
            f"--sha {sha}: not the full id of a commit",
            hint='Write all 40 digits: --sha "$(git rev-parse HEAD)".',
        )


def connect(
    settings: GithubSettings,
    repository: str,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    comment: bool = False,
) -> Client:
    """Return a client for one repository; nothing is sent yet.

    Args:
        settings: `[github]`.
        repository: `OWNER/NAME`.
        environ: Where `env:NAME` secrets and GITHUB_API_URL are.
        clock: The time.
        comment: A comment will be written, too.

    Raises:
        ConfigError: There is no token or key, or half of an App.
    """
    url = settings.api_url or environ.get("GITHUB_API_URL") or DEFAULT_URL
    if not settings.app:
        if settings.key:
            raise ConfigError("[github] key: is set without app", hint="Set the App's client ID.")
        token = Token(_secret(settings.token, environ))
        return Client(url, token, clock=clock, patience=settings.patience)
    if not settings.key:
        raise ConfigError("[github] app: is set without key", hint='Set key = "file:PATH".')
    pem = secret(settings.key, environ, where="[github] key")
    app = AppKey(app=settings.app, pem=pem, clock=clock)
    permissions = {"checks" if kind_of(settings) == "check" else "statuses": "write"}
    if comment:
        permissions["pull_requests"] = "write"
    speaker = Client(url, app, clock=clock, patience=settings.patience)
    installed = Installation(speaker, repository, permissions)
    return Client(url, installed, clock=clock, patience=settings.patience)


def _secret(source: str | None, environ: Mapping[str, str]) -> str:
    """Return the token; one that could not stand in a header is none.

    Raises:
        ConfigError: There is none.
    """
    if source is None and not environ.get(variable(DEFAULT_TOKEN) or "", "").strip():
        raise ConfigError(
            "no token for GitHub is set",
            hint='Set the variable GITHUB_TOKEN, or [github] token = "file:PATH", or app and key.',
        )
    value = secret(source or DEFAULT_TOKEN, environ, where="[github] token")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"[github] token: what {source or DEFAULT_TOKEN} holds is not a token",
            hint="It is one word, such as ghp_…, github_pat_… or ghs_….",
        )
    return value
