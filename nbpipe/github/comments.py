"""One comment on a pull request that is written once and then kept up to date.

It is found again by a marker that is not shown, and only among the comments of whoever writes it:
anybody may write a comment with that marker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbpipe.github.errors import GithubError, NotFound

if TYPE_CHECKING:
    from nbpipe.github.client import Client
    from nbpipe.github.content import Content

_FORBIDDEN = 403


@dataclass(frozen=True, kw_only=True, slots=True)
class Comment:
    """The comment of one name on one pull request."""

    client: Client
    repository: str
    """`OWNER/NAME`."""
    number: int
    """The pull request's."""
    name: str

    def put(self, content: Content) -> str:
        """Write the comment, or what it says now; return its address.

        Raises:
            GithubError: It cannot be written.
        """
        body = {"body": f"{self._marker}\n{content.summary}"}
        found = self._find()
        if found is not None:
            path = f"/repos/{self.repository}/issues/comments/{found['id']}"
            try:
                return str(self.client.send("PATCH", path, body)["html_url"])
            except NotFound:  # removed meanwhile
                pass
        path = f"/repos/{self.repository}/issues/{self.number}/comments"

        def create() -> dict[str, Any]:
            return dict(self.client.send("POST", path, body, repeatable=False))

        return str(self.client.make(self._find, create)["html_url"])

    @property
    def _marker(self) -> str:
        return f"<!-- nbpipe:{re.sub('[^A-Za-z0-9._/ -]', '_', self.name).replace('--', '-_')} -->"

    def _find(self) -> dict[str, Any] | None:
        mine = self._writer()
        path = f"/repos/{self.repository}/issues/{self.number}/comments"
        for each in self.client.pages(path):
            user = each.get("user") or {}
            by_me = user.get("type") == "Bot" if mine is None else user.get("login") == mine
            if by_me and str(each.get("body", "")).startswith(self._marker):
                return dict(each)
        return None

    def _writer(self) -> str | None:
        """Return the login of whoever writes; None for an App, which may not ask for it."""
        try:
            return str(self.client.send("GET", "/user")["login"])
        except GithubError as error:
            if error.status == _FORBIDDEN:
                return None
            raise
