"""The pages' token in the tests, and clients that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.app import PAGE_SCRIPT
from webhook.pages.door import Door, Token

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

TOKEN = "correct horse battery"  # noqa: S105  (of the tests)
BEARER = f"Bearer {TOKEN}"


def door(now: float = 0.0) -> Door:
    """Return a door that asks for the token, at that time."""
    return Door(Token("env:T", {"T": TOKEN}), now=lambda: now)


def admitted(app: Flask) -> FlaskClient:
    """Return a client that shows the token with every request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = BEARER
    return client


def unscripted(page: str) -> str:
    """Return a page without the script that is ours, which it holds at most once."""
    return page.replace(f"<script>{PAGE_SCRIPT}</script>", "", 1)
