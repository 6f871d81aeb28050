"""Health, metrics and the status page, of mirrors that lie on disk."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from doors import BEARER, admitted, door, unscripted
from pasts import opened, past_run, record, result

from nbpipe.config.settings import CollectionSettings, HistorySettings
from nbpipe.history import Archive
from nbpipe.publishing import health
from nbpipe.publishing.health import Record
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.publishing.releases.journal import Entry, Event, Trigger, at
from nbpipe.publishing.releases.mirror import Pin
from nbpipe.system.units import ago
from webhook.app import PAGE_SCRIPT, create_app
from webhook.pages.commits import Described
from webhook.pages.past import Past
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries, Delivery
from webhook.receiving.secret import Secrets
from webhook.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from nbpipe.publishing.releases.mirror import Mirror

COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
OTHER = "0123456789abcdef0123456789abcdef01234567"
NOW = 1_800_000_000.0


class Site:
    """A service of one or more collections."""

    def __init__(
        self,
        folder: Path,
        *names: str,
        served: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.deliveries = Deliveries(folder / "deliveries.sqlite")
        workers = {name: worker(folder, name) for name in names}
        self.mirrors: dict[str, Mirror] = {name: one.mirror for name, one in workers.items()}
        collections = [
            Served(
                followed=Followed(name=name, repository=f"ORG/{name}", branch="main"),
                secrets=Secrets(("env:HOOK",), {"HOOK": "x"}),
                worker=one,
                **(served or {}),
            )
            for name, one in workers.items()
        ]
        app = create_app(collections, self.deliveries, now=lambda: NOW, door=door(NOW), **options)
        self.client: FlaskClient = admitted(app)

    @property
    def mirror(self) -> Mirror:
        return next(iter(self.mirrors.values()))

    def text(self, path: str = "/", **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named).get_data(as_text=True)


def worker(folder: Path, name: str) -> Reconciler:
    settings = CollectionSettings(
        name=name, origin=f"https://example.org/ORG/{name}.git", root=str(folder)
    )
    return Reconciler(settings, now=lambda: NOW)


def publish(mirror: Mirror, commit: str, **changes: Any) -> None:  # noqa: ANN401
    """Make that release current, as a worker does that reached its origin just now."""
    mirror.prepare()
    mirror.release(commit).mkdir()
    mirror.flip(commit)
    entry: dict[str, Any] = {
        "time": at(NOW - 7_200),
        "event": Event.PUBLISHED,
        "commit": commit,
        "trigger": Trigger.BEACON,
    }
    mirror.journal.append(Entry(**{**entry, **changes}))
    health.write(mirror, Record(attempt=NOW - 5, fetched=NOW - 5, wanted=commit))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, "notebooks")
    yield site
    site.deliveries.close()


def delivery(**changes: Any) -> Delivery:  # noqa: ANN401
    values: dict[str, Any] = {
        "at": NOW - 90,
        "collection": "notebooks",
        "delivery": "a",
        "event": "push",
        "status": "accepted",
    }
    return Delivery(**{**values, **changes})


def test_a_release_says_how_many_notebooks_have_the_outputs_of_its_run(site: Site) -> None:
    publish(site.mirror, OTHER)
    publish(site.mirror, COMMIT, executed=2)
    assert site.text().count("with the outputs of") == 1
    assert "with the outputs of 2 notebooks" in site.text()


def test_health_is_200_only_while_every_collection_is_ok(tmp_path: Path) -> None:
    site = Site(tmp_path, "notebooks", "cuadernos")
    publish(site.mirrors["notebooks"], COMMIT)
    publish(site.mirrors["cuadernos"], OTHER)
    response = site.client.get("/health")
    assert (response.status_code, response.get_json()["status"]) == (200, "ok")
    unreachable = Record(fetched=NOW - 9_000, wanted=OTHER, error="no route", unreachable=True)
    health.write(site.mirrors["cuadernos"], unreachable)
    response = site.client.get("/health")
    assert (response.status_code, response.get_json()["status"]) == (503, "stale")
    collections = response.get_json()["collections"]
    notebooks, cuadernos = collections["notebooks"], collections["cuadernos"]
    assert (notebooks["state"], notebooks["current"]) == ("ok", COMMIT)
    assert (cuadernos["state"], cuadernos["error"]) == ("stale", "no route")
    site.deliveries.close()


def test_metrics_tell_what_readers_see_and_when_the_origin_answered(site: Site) -> None:
    publish(site.mirror, OTHER)
    publish(site.mirror, COMMIT)
    text = site.text("/metrics")
    for line in (
        'nbpipe_collection_state{collection="notebooks",state="ok"} 1.0',
        'nbpipe_collection_state{collection="notebooks",state="stale"} 0.0',
        f'nbpipe_collection_current{{collection="notebooks",commit="{COMMIT}"}} 1.0',
        'nbpipe_collection_releases{collection="notebooks"} 2.0',
        'nbpipe_collection_behind{collection="notebooks"} 0.0',
        'nbpipe_collection_fetched_timestamp_seconds{collection="notebooks"} 1.799999995e+09',
    ):
        assert line in text


def test_the_status_page_shows_releases_newest_first(site: Site) -> None:
    publish(site.mirror, OTHER)
    publish(site.mirror, COMMIT, forced=True, time=at(NOW - 60), seconds=0.0891)
    text = site.text()
    pieces = [
        "Releases on disk: 2",
        "6113728f27ae</code> <strong>current</strong>",
        "1 minute ago",
        "forced push",
        "visible after 0.09 s",
        "0123456789ab",
        "2 hours ago",
    ]
    assert sorted(pieces, key=text.index) == pieces


def test_the_order_of_releases_is_true_though_the_clock_was_ahead_once(site: Site) -> None:
    names = ["1" * 40, "2" * 40, "3" * 40]
    for commit, years in zip(names, (0, 2, 0), strict=True):
        publish(site.mirror, commit, time=at(NOW + years * 365 * 86_400))
    site.mirror.flip(names[0])
    text = site.text()
    shown = [commit[:12] for commit in (names[0], names[2], names[1])]
    table = text[text.index("Releases on disk") :]
    assert sorted(shown, key=table.index) == shown


def test_the_status_page_shows_who_pushed_what_and_why_it_was_not_accepted(site: Site) -> None:
    site.deliveries.record(delivery(who="ada", title="Fix the plot", commit=COMMIT, forced=True))
    site.deliveries.record(delivery(status="ignored", reason="ref x: only y is followed"))
    text = site.text()
    for piece in ("ada", "Fix the plot", "6113728f27ae", "forced", "ref x: only y is followed"):
        assert piece in text


def test_what_is_wrong_stands_on_the_page(site: Site) -> None:
    publish(site.mirror, COMMIT)
    health.write(
        site.mirror, Record(fetched=NOW, wanted=OTHER, error="a name with a slash", failures=3)
    )
    text = site.text()
    for piece in ("failing", "a name with a slash", "6113728f27ae", "0123456789ab"):
        assert piece in text


def test_a_collection_that_is_held_back_is_pinned_and_not_ok(site: Site) -> None:
    publish(site.mirror, COMMIT)
    assert '<span class="state ok">ok</span>' in site.text()
    site.mirror.pin(Pin(commit=COMMIT, since=at(NOW - 60)))
    page = site.text()
    assert '<span class="state pinned">pinned</span>' in page
    assert "beacons do not change it until it is unpinned" in page


def test_pinned_is_said_in_every_form(site: Site) -> None:
    publish(site.mirror, COMMIT)
    (row,) = site.client.get("/index.json").get_json()["collections"]
    assert (row["state"], row["releases"][0]["pinned"]) == ("ok", False)
    assert 'nbpipe_collection_pinned{collection="notebooks"} 0.0' in site.text("/metrics")
    site.mirror.pin(Pin(commit=COMMIT, since=at(NOW - 60), reason="the plots are wrong"))
    (row,) = site.client.get("/index.json").get_json()["collections"]
    assert (row["state"], row["reason"]) == ("pinned", "the plots are wrong")
    assert row["releases"][0]["pinned"] is True
    health = site.client.get("/health")
    told = health.get_json()
    assert (health.status_code, told["status"], told["pinned"]) == (200, "pinned", ["notebooks"])
    assert told["collections"]["notebooks"]["state"] == "pinned"
    for state, value in (("ok", 0.0), ("pinned", 1.0)):
        line = f'nbpipe_collection_state{{collection="notebooks",state="{state}"}} {value}'
        assert line in site.text("/metrics")
    assert "<title>Notebooks: pinned</title>" in site.text()
    assert 'nbpipe_collection_pinned{collection="notebooks"} 1.0' in site.text("/metrics")
    assert '<span class="state pinned">pinned</span>' in site.text("/notebooks")


def test_the_badge_and_the_feed_of_a_pinned_collection_say_so(tmp_path: Path) -> None:
    url = "sqlite:///history.sqlite"
    with opened(url, tmp_path, collection="notebooks") as history:
        record(history, past_run("r1"), result("a.ipynb", "passed"))
    archive = Archive(HistorySettings(url=url), tmp_path)
    site = Site(tmp_path, "notebooks", past=Past(archive=archive))
    publish(site.mirror, COMMIT)
    badge, feed = "/collections/notebooks/badge.svg", "/collections/notebooks/feed.atom"
    assert "notebooks: 1 passing<" in site.text(badge)
    assert "pinned" not in site.text(feed)
    site.mirror.pin(Pin(commit=COMMIT, since=at(NOW - 60), reason="the plots are wrong"))
    assert "notebooks: 1 passing, pinned<" in site.text(badge)
    assert f"notebooks is pinned to {COMMIT[:12]}" in site.text(feed)
    assert "the plots are wrong" in site.text(feed)
    assert "published: pinned to" in site.text("/collections/notebooks")
    assert "published: pinned to" in site.text("/collections")
    archive.close()
    site.deliveries.close()


def test_a_release_has_subject_author_date_and_its_page_at_the_forge(tmp_path: Path) -> None:
    said = Described(subject="Fix <b>", author="Ada", date="2026-01-31T12:00:00+01:00")
    more = {"describe": lambda _: {COMMIT: said}, "place": "github.com/org/notebooks"}
    site = Site(tmp_path, "notebooks", served=more)
    publish(site.mirror, OTHER)
    publish(site.mirror, COMMIT)
    text = site.text()
    assert "Fix &lt;b&gt;<br><small>Ada, 2026-01-31</small>" in text
    assert f'href="https://github.com/org/notebooks/commit/{COMMIT}"' in text
    (row,) = site.client.get("/index.json").get_json()["collections"]
    assert [each["subject"] for each in row["releases"]] == ["Fix <b>", ""]
    site.deliveries.close()


def test_a_service_that_publishes_nothing_says_what_is_absent(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("no database " * 100)
    for root, status in ((tmp_path / "none", 200), (tmp_path, 503)):
        archive = Archive(HistorySettings(url="sqlite:///history.sqlite"), root)
        site = Site(tmp_path, past=Past(archive=archive))
        assert "Nothing is published from here" in site.text()
        assert "<code>POST /webhook</code> is not answered" in site.text()
        assert site.client.get("/health").status_code == status
        answer = site.client.post("/webhook", data=b"{}")
        assert answer.status_code == 404
        assert "takes no webhooks" in answer.get_json()["reason"]
        site.deliveries.close()


def test_the_only_script_that_may_run_is_ours(site: Site) -> None:
    digest = base64.b64encode(hashlib.sha256(PAGE_SCRIPT.encode()).digest()).decode()
    response = site.client.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert response.get_data(as_text=True).count(f"<script>{PAGE_SCRIPT}</script>") == 1


def test_everything_on_the_page_is_escaped(site: Site) -> None:
    site.mirror.prepare()
    health.write(site.mirror, Record(error="<script>alert(1)</script>"))
    site.deliveries.record(
        delivery(who='"><img src=x onerror=alert(1)>', ref="<svg onload=alert(1)>", title="<b>")
    )
    text = unscripted(site.text())
    for tag in ("<script", "<img", "<svg", "<b>"):
        assert tag not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_page_before_the_first_release_says_so(site: Site) -> None:
    text = site.text()
    assert "nothing yet" in text
    assert "No signed delivery has arrived yet." in text


def test_a_mirror_that_is_not_ours_is_failing_and_every_page_still_answers(site: Site) -> None:
    site.mirror.prepare()
    site.mirror.link.mkdir()
    response = site.client.get("/health")
    assert (response.status_code, response.get_json()["status"]) == (503, "failing")
    assert "is not the mirror&#39;s link" in site.text()
    assert 'state="failing"} 1.0' in site.text("/metrics")


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/webhook/notebooks", "/none"])
def test_every_answer_carries_the_security_headers(site: Site, path: str) -> None:
    headers = site.client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_below_a_prefix_links_carry_it_whether_a_proxy_strips_it_or_not(tmp_path: Path) -> None:
    site = Site(tmp_path, "notebooks", prefix="/services/nb/")
    for path in ("/services/nb/", "/", "/services/nb"):
        text = site.text(path, Authorization=BEARER)
        assert 'href="/services/nb/health"' in text
        assert 'href="/services/nb/static/status.css"' in text
    with site.client.get("/services/nb/static/status.css") as style:
        assert style.status_code == 200
    assert site.client.post("/services/nb/webhook", data=b"{}").status_code == 415
    assert site.client.get("/services/nbx/health").status_code == 404
    site.deliveries.close()


def test_a_forwarded_prefix_is_believed_only_where_a_proxy_is_configured(tmp_path: Path) -> None:
    for proxies, link in ((0, 'href="/health"'), (1, 'href="/notebooks/health"')):
        site = Site(tmp_path / str(proxies), "notebooks", proxies=proxies)
        assert link in site.text("/", Authorization=BEARER, X_Forwarded_Prefix="/notebooks")
        site.deliveries.close()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7_199, "1 hour ago"),
        (7_200, "2 hours ago"),
        (200_000, "2 days ago"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert ago(seconds) == words


def test_a_browser_gets_a_page_where_something_is_not_there_and_a_program_json(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, "nb")
    client = site.client
    for path in ("/references/a/runs/b", "/nowhere"):
        asked = {"Authorization": BEARER, "Accept": "text/html,*/*;q=0.8"}
        answer = client.get(path, headers=asked)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
        assert "<h1>Not found</h1>" in answer.text
        answer = client.get(path, headers={"Authorization": BEARER})
        assert (answer.status_code, answer.mimetype) == (404, "application/json")
    asked = {"Accept": "text/html"}
    assert client.post("/webhook/none", headers=asked).mimetype == "application/json"
    site.deliveries.close()
