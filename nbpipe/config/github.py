"""`[github]`: who speaks with GitHub, and how."""

from __future__ import annotations

from typing import Literal

from nbpipe.config.tables import Name, Seconds, Secret, Table


class GithubSettings(Table, frozen=True):
    """`[github]`: how `nbpipe github` reports runs to GitHub."""

    token: Secret | None = None
    """`env:NAME` or `file:PATH`; none: the variable GITHUB_TOKEN."""
    app: Name | None = None
    """The client ID (or the number) of a GitHub App, in place of `token`; needs `key`."""
    key: Secret | None = None
    """The App's private key (PEM): `file:PATH` or `env:NAME`."""
    kind: Literal["auto", "status", "check"] = "auto"
    """A commit status, or a check run with annotations; auto: a check run for an App."""
    name: Name = "nbpipe"
    """What the status, the check run and the comment are called."""
    api_url: Name | None = None
    """The API's address; none: the variable GITHUB_API_URL, else https://api.github.com."""
    patience: Seconds = 300.0
    """Seconds in all to wait for GitHub: its rate limits and its outages."""
