"""An Atom feed (RFC 4287) of new failures and recoveries, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Response, render_template, url_for

from nbpipe.system.text import first_line, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.history import PastLine
    from nbpipe.publishing.releases.mirror import Pin
    from webhook.pages.names import Named

_EPOCH = datetime.fromtimestamp(0, tz=UTC)
_VERBS = {"failing": "fails", "recovered": "passes again"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One piece of news."""

    id: str
    title: str
    text: str
    updated: datetime
    link: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What a feed reader gets about one collection."""

    collection: Named
    news: Sequence[PastLine]
    updated: datetime | None
    """When the last run began; None where there is none."""
    pin: Pin | None = None
    """What holds back the collection where it is published."""

    def response(self) -> Response:
        """Return the feed."""
        entries = [self._entry(each) for each in self.news]
        updated = self.news[0].started if self.news else self.updated or _EPOCH
        if self.pin is not None:
            entries = sorted(
                [self._held(self.pin), *entries], key=lambda each: each.updated, reverse=True
            )
            updated = max(updated, self.pin.since)
        text = render_template(
            "feed.xml", collection=self.collection, entries=entries, updated=updated
        )
        return Response(text, mimetype="application/atom+xml")

    def _held(self, pin: Pin) -> Entry:
        """Return that a release is held back, which is no failure and yet not what was pushed."""
        name = self.collection.name
        return Entry(
            id=f"tag:nbpipe,2026:{name}/pinned/{pin.commit}/{pin.since:%Y%m%dT%H%M%S}",
            title=f"{name} is pinned to {pin.commit[:12]}",
            text=first_line(pin.reason) or "New commits are not published until it is unpinned.",
            updated=pin.since,
            link=url_for("pages.status", _external=True),
        )

    def _entry(self, line: PastLine) -> Entry:
        name = self.collection.name
        why = f"{line.category}: {line.signature}" if line.category else "It had failed before."
        return Entry(
            id=f"tag:nbpipe,2026:{name}/{quote(line.run)}/{quote(line.path)}",
            title=f"{plain_name(line.path)} {_VERBS.get(line.change or '', 'changed')}",
            text=first_line(why),
            updated=line.started,
            link=url_for("results.result", name=name, run=line.run, path=line.path, _external=True),
        )
