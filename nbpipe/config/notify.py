"""`[notify]`: who is notified when something changes, and how."""

from __future__ import annotations

from typing import Literal

from nbpipe.config.tables import Count, Name, Seconds, Secret, Table

Occasion = Literal["failing", "still-failing", "recovered", "refused", "stale"]
OCCASIONS: tuple[Occasion, ...] = ("failing", "still-failing", "recovered", "refused", "stale")


class EmailSettings(Table, frozen=True):
    """`[notify.email]`: mail through a server of yours."""

    to: tuple[Name, ...] = ()
    """Addresses; none: no mail."""
    sender: Name = "nbpipe@localhost"
    """Address of the sender."""
    host: Name = "localhost"
    """The SMTP server."""
    port: Count = 25
    """Its port; 587 is usual for `starttls`, 465 for `tls`."""
    security: Literal["none", "starttls", "tls"] = "none"
    """How the connection is encrypted; a password is never sent over one that is not."""
    user: Name | None = None
    """Log in as this user."""
    password: Secret | None = None
    """`env:NAME` or `file:PATH`."""


class NotifySettings(Table, frozen=True):
    """`[notify]`: who is notified when a notebook begins to fail, and when it works again."""

    on: tuple[Occasion, ...] = OCCASIONS
    """Changes to report; refused and stale: a collection that is not published any more."""
    still_after: Count = 5
    """Failing runs in a row after which `still-failing` is reported, once (0: never)."""
    email: EmailSettings = EmailSettings()
    """Mail through a server of yours."""
    webhook: Secret | None = None
    """An address that takes Slack's JSON (Mattermost and others do); `env:NAME` or `file:PATH`."""
    command: tuple[Name, ...] = ()
    """A command and its arguments; it gets the changes as JSON on its standard input."""
    timeout: Seconds = 30.0
    """Seconds for the mail server, the webhook or the command."""
