"""Who is to be told, as `[notify]` says; and whether a message reaches them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from nbpipe.config.variables import named
from nbpipe.errors import NbpipeError, UsageError
from nbpipe.notify import channels
from nbpipe.notify.events import Event, Occasion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.settings import Settings
    from nbpipe.notify.channels import Channel

HINT = "Set [notify.email] to, [notify] webhook or [notify] command."


def configured(settings: Settings) -> list[Channel]:
    """Return the ways to people that `[notify]` has; none of them sees a secret of the others."""
    return channels.channels(settings.notify, os.environ, hidden=named(settings))


def required(settings: Settings) -> list[Channel]:
    """Return the same, at least one.

    Raises:
        UsageError: There is none.
    """
    if not (found := configured(settings)):
        raise UsageError("[notify] has no recipients configured", hint=HINT)
    return found


def test(settings: Settings, about: str) -> Iterator[tuple[str, NbpipeError | None]]:
    """Send a message to try it; yield each channel's name, and why it was not sent."""
    event = Event(kind="test", subject="nbpipe", detail="This is how it will look.", key="test")
    occasion = Occasion(about=about, host=socket.gethostname())
    for channel in required(settings):
        try:
            channel.send([event], occasion)
        except NbpipeError as error:
            yield channel.name, error
        else:
            yield channel.name, None
