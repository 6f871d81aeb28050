"""`GET /health` for machines and `GET /` for people: how every collection is, and why.

Everything is read when it is asked for. No secret. Health is for everybody, its
details only for whom the door admits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Blueprint, Response, jsonify

from nbpipe.publishing.health import State
from nbpipe.publishing.releases.journal import Event
from nbpipe.system import units
from webhook.pages.answers import answer
from webhook.pages.forge_links import commit_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.publishing.health import Health
    from nbpipe.publishing.releases.journal import Entry
    from webhook.metrics import Metrics
    from webhook.pages.commits import Described
    from webhook.receiving.deliveries import Deliveries, Delivery
    from webhook.served import Served

SHOWN_DELIVERIES = 30
SHOWN_RELEASES = 10
SHORT = 12
"""Characters of a commit that people compare."""

_REFUSALS = ("forged", "malformed", "too-large", "wrong-type", "failed")
_TO_RELEASE = {Event.PUBLISHED, Event.ROLLED_BACK}
_UNKNOWN = (-1, None)
"""Of a release that the journal does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One row of a collection's table of releases."""

    commit: str
    current: bool
    entry: Entry | None
    """How it last became current; None where the journal does not know."""
    pinned: bool = False
    subject: str = ""
    author: str = ""
    date: str = ""
    """Of the commit, ISO 8601."""
    link: str = ""
    """The commit's page at the forge; empty where none is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One collection on the status page."""

    name: str
    repository: str
    branch: str
    state: State
    reason: str
    """Why it is pinned."""
    health: Health
    releases: tuple[Release, ...]
    kept: int
    refusals: dict[str, int]
    last: Entry | None
    """What last happened to the mirror."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The status page."""

    now: float
    """Seconds since the epoch."""
    worst: State
    collections: tuple[Row, ...]
    deliveries: tuple[Delivery, ...]


class Pages:
    """The pages of one service."""

    def __init__(  # noqa: PLR0913, PLR0917  (what the pages are about)
        self,
        served: Mapping[str, Served],
        deliveries: Deliveries,
        metrics: Metrics,
        now: Callable[[], float],
        admits: Callable[[], bool],
        readable: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take what the pages are about.

        Args:
            served: The collections that are published; there may be none.
            deliveries: The receiver's memory.
            metrics: What was counted.
            now: Seconds since the epoch.
            admits: Whether the present request may see details.
            readable: Whether the history can be read: all there is where nothing is published.
        """
        self._served = served
        self._deliveries = deliveries
        self._metrics = metrics
        self._now = now
        self._admits = admits
        self._readable = readable

    def blueprint(self) -> Blueprint:
        """Return the routes and what the templates may use."""
        routes = Blueprint("pages", __name__, template_folder="templates")
        routes.add_url_rule("/", "status", self._status)
        routes.add_url_rule("/health", "health", self._health)
        routes.add_app_template_filter(_moment, "moment")
        routes.add_app_template_filter(self._ago, "ago")
        routes.add_app_template_filter(_short, "short")
        routes.add_app_template_filter(_day, "day")
        return routes

    def _health(self) -> tuple[Response, int]:
        healths = {name: served.health() for name, served in self._served.items()}
        body: dict[str, Any] = {"status": _worst(healths.values())}
        if not self._served and not self._readable():
            body["status"] = State.FAILING
        if self._admits():
            body["collections"] = {n: msgspec.to_builtins(one) for n, one in healths.items()}
            body["pinned"] = [name for name, one in healths.items() if one.pinned]
        return jsonify(body), 200 if body["status"].sound else 503

    def _status(self) -> Response:
        rows = tuple(self._row(served) for served in self._served.values())
        content = Status(
            now=self._now(),
            worst=_worst(row.health for row in rows),
            collections=rows,
            deliveries=tuple(self._deliveries.last(SHOWN_DELIVERIES)),
        )
        return answer("status.html", content)

    def _row(self, served: Served) -> Row:
        health = served.health()
        entries = served.journal()
        on_disk = served.releases()
        # In the order of the journal, not by time: the clock may have been set back.
        known = {
            entry.commit: (number, entry)
            for number, entry in enumerate(entries)
            if entry.event in _TO_RELEASE
        }
        newest_first = sorted(
            on_disk, key=lambda commit: known.get(commit, _UNKNOWN)[0], reverse=True
        )
        newest_first.sort(key=lambda commit: commit != health.current)
        shown = newest_first[:SHOWN_RELEASES]
        described = served.describe(shown)
        releases = [
            _release(commit, served, health, known.get(commit, _UNKNOWN)[1], described.get(commit))
            for commit in shown
        ]
        pin = served.pinned()
        counts = self._metrics.counts(served.name)
        return Row(
            name=served.name,
            repository=served.followed.repository,
            branch=served.followed.branch,
            state=health.state,
            reason=pin.reason if pin else "",
            health=health,
            releases=tuple(releases),
            kept=len(on_disk),
            refusals={kind: counts[kind] for kind in _REFUSALS if counts.get(kind)},
            last=entries[-1] if entries else None,
        )

    def _ago(self, seconds: float | datetime | None) -> str:
        if seconds is None:
            return "never"
        if isinstance(seconds, datetime):
            seconds = seconds.timestamp()
        return units.ago(self._now() - seconds)


def _release(
    commit: str, served: Served, health: Health, entry: Entry | None, said: Described | None
) -> Release:
    return Release(
        commit=commit,
        current=commit == health.current,
        entry=entry,
        pinned=commit == health.pinned,
        subject=said.subject if said else "",
        author=said.author if said else "",
        date=said.date if said else "",
        link=commit_url(served.place, commit),
    )


def _worst(healths: Any) -> State:  # noqa: ANN401
    states = {health.state for health in healths}
    return next((one for one in reversed(State) if one in states), State.OK)


def _moment(seconds: float | datetime | None) -> str:
    if seconds is None:
        return ""
    moment = seconds if isinstance(seconds, datetime) else datetime.fromtimestamp(seconds, tz=UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _short(commit: str | None) -> str:
    return (commit or "")[:SHORT]


def _day(moment: str) -> str:
    """Return the day of a moment in ISO 8601; what is none as it is."""
    return moment[:10]
