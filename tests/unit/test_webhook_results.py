"""The pages about results: what they show, as HTML, JSON, badge, feed and metrics."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from doors import admitted, door, unscripted
from pasts import START, opened, past_run, record, result, retried

from nbpipe.config.settings import HistorySettings
from nbpipe.history import Archive, PastCollection
from nbpipe.model import Category, Failure
from webhook.access import prefixed
from webhook.app import create_app
from webhook.pages.forge_links import commit_url, file_url
from webhook.pages.names import named
from webhook.pages.past import Past
from webhook.receiving.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

URL = "sqlite:///history.sqlite"
EVIL = "a/<script>alert(1)</script>&\"'.ipynb"
ATOM = "{http://www.w3.org/2005/Atom}"


@contextmanager
def served(root: Path, **more: Any) -> Iterator[FlaskClient]:  # noqa: ANN401  (fields of Past)
    """Give a client of pages about the histories in a folder; its databases are closed after."""
    past = Past(archive=Archive(HistorySettings(url=URL), root), **more)
    now = (START + timedelta(days=2)).timestamp()
    with Deliveries(root / "deliveries.sqlite") as deliveries, closing(past.archive):
        app = create_app([], deliveries, past=past, now=lambda: now, door=door(now))
        yield admitted(app)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """Serve a collection of three notebooks over three runs."""
    hostile = Failure(
        category=Category.EXCEPTION,
        name="E",
        message="<img src=x onerror=alert(1)>",
        traceback="\x1b[31m<svg onload=alert(1)>\x1b[0m\x00",
        signature="E: <b>bold</b>\x1b]0;title\x07",
    )
    with opened(URL, tmp_path, collection="nb") as history:
        for day, outcome in enumerate(("passed", "failed", "passed")):
            failures = (hostile,) if outcome == "failed" else ()
            record(
                history,
                past_run(f"r{day}", days=day),
                result(EVIL, outcome, 2.0 + day, failures=failures),
                result("b.ipynb", "passed", 61.0, memory=300 * 2**20),
                *([result("rare.ipynb", "failed")] if day == 2 else []),
            )
    with served(tmp_path) as client:
        yield client


def text(client: FlaskClient, page: str, **query: str) -> str:
    response = client.get(page, query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_data(as_text=True)


def test_before_the_first_run_the_pages_say_so(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        assert "No run yet" in text(client, "/collections")
        assert client.get("/collections/nb").status_code == 404
        assert "nbpipe_history_up 1.0" in text(client, "/metrics")


def test_a_history_that_cannot_be_read_is_503_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("no database " * 100)
    with served(tmp_path) as client:
        response = client.get("/collections")
        assert response.status_code == 503
        assert str(tmp_path) not in response.get_data(as_text=True)
        assert "nbpipe_history_up 0.0" in text(client, "/metrics")


def test_a_collection_shows_failing_notebooks_first(client: FlaskClient) -> None:
    page = client.get("/collections/nb.json").get_json()
    told = [(row["notebook"]["path"], row["statistics"]["strip"]) for row in page["notebooks"]]
    assert told == [("rare.ipynb", "F"), (EVIL, ".F."), ("b.ipynb", "...")]
    assert page["standing"] == {"failed": 1, "passed": 2}
    assert page["format"] == 1


def test_a_long_path_breaks_between_its_words(client: FlaskClient) -> None:
    assert "<h1>rare<wbr>.ipynb</h1>" in text(client, "/collections/nb/notebook", path="rare.ipynb")
    assert "<h1>a/<wbr>&lt;script&gt;" in text(client, "/collections/nb/notebook", path=EVIL)


def test_a_part_of_a_path_is_looked_for(client: FlaskClient) -> None:
    page = client.get("/collections/nb.json?q=RARE").get_json()
    assert [row["notebook"]["path"] for row in page["notebooks"]] == ["rare.ipynb"]
    assert "None with “%” in its path." in text(client, "/collections/nb", q="%")


def test_a_run_tells_what_is_new_in_it(client: FlaskClient) -> None:
    page = client.get("/collections/nb/runs/r2.json").get_json()
    assert [(each["path"], each["change"]) for each in page["news"]] == [
        (EVIL, "recovered"),
        ("rare.ipynb", "failing"),
    ]
    assert [cause["category"] for cause in page["causes"]] == ["missing-package"]
    assert page["run"]["passed"] == 2
    latest = client.get("/collections/nb/runs/latest.json").get_json()
    assert latest == page


def test_a_notebook_has_its_strip_flakiness_and_trend(client: FlaskClient) -> None:
    page = text(client, "/collections/nb/notebook", path=EVIL)
    assert ">The last 3: 2 passed, 1 failed<" in page
    assert "100%" in page
    assert "Seconds of the last 3 executions; the median of passes is 3.0 s" in page
    told = client.get("/collections/nb/notebook.json", query_string={"path": EVIL}).get_json()
    assert told["statistics"]["flakiness"] == 1.0
    assert [each["run"] for each in told["results"]] == ["r2", "r1", "r0"]


def test_a_result_has_its_traceback(client: FlaskClient) -> None:
    page = text(client, "/collections/nb/runs/r1/notebook", path=EVIL)
    assert "&lt;svg onload=alert(1)&gt;\\x00" in page
    assert "its copy" in page.lower()


@pytest.mark.parametrize(
    "path",
    [
        "/collections",
        "/collections/nb",
        "/collections/nb/runs",
        "/collections/nb/runs/r1",
        "/collections/nb/notebook",
        "/collections/nb/runs/r1/notebook",
        "/collections/nb/badge.svg",
        "/collections/nb/feed.atom",
    ],
)
def test_nothing_from_a_notebook_is_markup(client: FlaskClient, path: str) -> None:
    page = text(client, path, path=EVIL, **({"notebook": EVIL} if "badge" in path else {}))
    page = unscripted(page)
    for tag in ("<script", "<img", "<svg onload", "<b>", "\x1b", "\x00"):
        assert tag not in page


def test_what_is_not_there_is_404(client: FlaskClient) -> None:
    for path in (
        "/collections/none",
        "/collections/nb/runs/none",
        "/collections/nb/notebook?path=none",
        "/collections/nb/runs/r1/notebook?path=none",
        "/collections/nb/runs/r1/copy?path=b.ipynb",
        "/collections/nb/runs/r1/copy?path=../../etc/passwd",
    ):
        assert client.get(path).status_code == 404, path


def test_json_is_given_by_ending_and_by_accept(client: FlaskClient) -> None:
    by_accept = client.get("/collections/nb/runs", headers={"Accept": "application/json"})
    assert by_accept.get_json() == client.get("/collections/nb/runs.json").get_json()
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert client.get("/collections/nb/runs", headers=browser).mimetype == "text/html"
    assert client.get("/collections/nb/runs").mimetype == "text/html"


def test_a_badge_tells_the_state_of_a_collection_and_of_a_notebook(client: FlaskClient) -> None:
    for query, label in (
        ({}, "nb: 1 of 3 failing"),
        ({"notebook": "b.ipynb"}, "b.ipynb: passing"),
        ({"notebook": "rare.ipynb"}, "rare.ipynb: failing"),
        ({"notebook": "none.ipynb"}, "none.ipynb: unknown"),
    ):
        picture = ET.fromstring(text(client, "/collections/nb/badge.svg", **query))  # noqa: S314  (ours)
        assert picture.get("aria-label") == label


def test_the_feed_holds_new_failures_and_recoveries(client: FlaskClient) -> None:
    response = client.get("/collections/nb/feed.atom")
    assert response.mimetype == "application/atom+xml"
    feed = ET.fromstring(response.get_data())  # noqa: S314  (ours)
    assert [each.findtext(f"{ATOM}title") for each in feed.iter(f"{ATOM}entry")] == [
        f"{EVIL} passes again",
        "rare.ipynb fails",
        f"{EVIL} fails",
    ]
    ids = [each.text for each in feed.iter(f"{ATOM}id")]
    assert len(set(ids)) == 4
    links = [each.get("href", "") for each in feed.iter(f"{ATOM}link")]
    assert all(link.startswith("http://localhost/collections/nb") for link in links)
    assert feed.findtext(f"{ATOM}updated") == "2026-02-02T12:00:00.123456+00:00"


def test_metrics_tell_how_the_notebooks_are(client: FlaskClient) -> None:
    page = text(client, "/metrics")
    for line in (
        'nbpipe_history_notebooks{collection="nb",outcome="failed"} 1.0',
        'nbpipe_history_runs{collection="nb"} 3.0',
        'nbpipe_history_last_run_results{collection="nb",outcome="passed"} 2.0',
        'nbpipe_history_last_run_seconds{collection="nb"} 9.5',
    ):
        assert line in page
    assert 'page="metrics.metrics"' in text(client, "/metrics")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("name:DESI tutorials",), "DESI-tutorials"),
        (("origin:github.com/org/repo:", "root:c0ffee:"), "published"),
        (("origin:github.com/org/repo:sub/",), "published-sub"),
        (("origin:example.org/other:",), "other"),
        (("path:/home/ada/notebooks",), "notebooks"),
        (("path:/",), "collection-1"),
        (("name:..",), "collection-1"),
    ],
)
def test_a_collection_is_called_by_its_keys(keys: tuple[str, ...], name: str) -> None:
    found = named([PastCollection(id=1, keys=keys)], {"github.com/org/repo": "published"})
    assert list(found) == [name]


def test_of_two_collections_of_one_name_the_later_has_a_number() -> None:
    both = [PastCollection(id=number, keys=(f"path:/{number}/nb",)) for number in (1, 2)]
    assert list(named(both, {})) == ["nb", "nb-2"]


def paths(client: FlaskClient, page: str, **query: str) -> list[str]:
    told = client.get(page, query_string=query).get_json()
    rows = told.get("results") or told["notebooks"]
    return [row["notebook"]["path"] if "notebook" in row else row["path"] for row in rows]


def test_a_collection_shows_one_outcome_in_the_order_that_the_address_says(
    client: FlaskClient,
) -> None:
    page = "/collections/nb.json"
    assert paths(client, page, only="failed") == ["rare.ipynb"]
    assert paths(client, page, sort="path") == [EVIL, "b.ipynb", "rare.ipynb"]
    assert paths(client, page, sort="-seconds") == ["b.ipynb", EVIL, "rare.ipynb"]
    assert paths(client, page, only="nonsense", sort="nonsense") == paths(client, page)
    shown = text(client, "/collections/nb", only="failed", sort="-seconds")
    assert 'aria-sort="descending"' in shown
    assert 'href="/collections/nb?only=failed"' in shown  # the third click: as it was
    assert '<input type="hidden" name="only" value="failed">' in shown


def test_a_run_shows_one_outcome_in_the_order_that_the_address_says(client: FlaskClient) -> None:
    page = "/collections/nb/runs/r2.json"
    assert paths(client, page, only="passed", sort="-seconds") == ["b.ipynb", EVIL]
    assert paths(client, page, q="RARE") == ["rare.ipynb"]
    assert paths(client, page, sort="memory")[0] == "b.ipynb"  # what is not known comes last
    told = client.get("/collections/nb/runs/r1.json").get_json()
    assert (told["before"], told["after"]) == ("r0", "r2")
    shown = text(client, "/collections/nb/runs/r1")
    assert 'rel="prev" href="/collections/nb/runs/r0"' in shown
    assert "failed 1</a>" in shown


def test_only_runs_with_failures_are_listed_where_that_is_asked(client: FlaskClient) -> None:
    told = client.get("/collections/nb/runs.json?only=failed").get_json()
    assert [each["run"]["id"] for each in told["runs"]] == ["r2", "r1"]


def test_the_marks_and_points_of_pictures_lead_to_results_and_runs(client: FlaskClient) -> None:
    shown = text(client, "/collections/nb")
    assert 'href="/collections/nb/runs/r1/notebook?path=' in shown  # the failure in the strip
    assert "Share of notebooks that passed in the last 3 runs: 67% in the newest" in shown
    assert "at the lowest 50% on 2026-02-01" in shown
    for run in ("r0", "r1", "r2"):
        assert f'<a href="/collections/nb/runs/{run}" tabindex="-1">' in shown
    trend = text(client, "/collections/nb/notebook", path="b.ipynb")
    assert '<a href="/collections/nb/runs/r0/notebook?path=b.ipynb" tabindex="-1">' in trend


def test_a_badge_comes_with_what_shows_it_elsewhere_behind_a_prefix_too(
    client: FlaskClient,
) -> None:
    client.application.wsgi_app = prefixed(client.application.wsgi_app, "/services/nb")  # type: ignore[method-assign]
    told = client.get("/collections/nb/badge.json?notebook=b.ipynb").get_json()
    base = "http://localhost/services/nb/collections/nb"
    picture, page = f"{base}/badge.svg?notebook=b.ipynb", f"{base}/notebook?path=b.ipynb"
    assert told["snippets"]["Markdown"] == f"[![b.ipynb]({picture})]({page})"
    assert f'<a href="{page}"><img src="{picture}" alt="b.ipynb"></a>' == told["snippets"]["HTML"]
    assert told["snippets"]["reStructuredText"].startswith(f".. image:: {picture}\n   :target: ")
    assert told["public"] is False
    assert "public-badges = true" in text(client, "/collections/nb/badge")


@pytest.mark.parametrize(
    ("place", "commit", "file"),
    [
        ("github.com/org/repo", "commit/c0ffee1", "blob/c0ffee1/a%20b.ipynb"),
        ("gitlab.org/group/sub/repo", "-/commit/c0ffee1", "-/blob/c0ffee1/a%20b.ipynb"),
        ("bitbucket.org/org/repo", "commits/c0ffee1", "src/c0ffee1/a%20b.ipynb"),
        ("codeberg.org/org/repo", "commit/c0ffee1", "src/commit/c0ffee1/a%20b.ipynb"),
    ],
)
def test_a_commit_and_a_file_have_their_address_at_the_forge(
    place: str, commit: str, file: str
) -> None:
    assert commit_url(place, "c0ffee1") == f"https://{place}/{commit}"
    assert file_url(place, "c0ffee1", "a b.ipynb") == f"https://{place}/{file}"


@pytest.mark.parametrize("place", ["", "srv/git/repo", "localhost/x", "javascript:alert(1)//a.b/c"])
def test_what_is_no_forge_has_no_address(place: str) -> None:
    assert commit_url(place, "c0ffee1") == file_url(place, "c0ffee1", "a") == ""
    assert commit_url("github.com/org/repo", None) == commit_url("github.com/o/r", '"><b>') == ""


def test_the_log_of_a_result_is_plain_text_from_beside_its_copy(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r1"
    folder.mkdir(parents=True)
    (folder / "a.ipynb").write_text("{}")
    (folder / "a.log").write_text("<b>started</b>")
    (folder / "b.ipynb").write_text("{}")
    (folder / "b.log").symlink_to("/etc/passwd")
    with opened(URL, tmp_path, collection="nb") as history:
        run = replace(past_run("r1"), output_dir=str(folder))
        record(history, run, result("a.ipynb", "passed"), result("b.ipynb", "passed"))
    with served(tmp_path, copies=(tmp_path,), rendered=tmp_path / "pages") as client:
        page = "/collections/nb/runs/r1"
        with client.get(f"{page}/log?path=a.ipynb") as log:
            assert log.get_data() == b"<b>started</b>"
            assert log.mimetype == "text/plain"
            assert log.headers["Content-Security-Policy"].startswith("sandbox")
        assert client.get(f"{page}/log?path=b.ipynb").status_code == 404
        assert f'href="{page}/log?path=a.ipynb"' in text(client, f"{page}/notebook", path="a.ipynb")


def test_each_attempt_has_its_failure_copy_and_log(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r1"
    folder.mkdir(parents=True)
    for name in ("a", "a.attempt-2"):
        (folder / f"{name}.ipynb").write_text("{}")
        (folder / f"{name}.log").write_text(f"log of {name}")
    with opened(URL, tmp_path, collection="nb") as history:
        run = replace(past_run("r1"), output_dir=str(folder))
        record(history, run, retried("a.ipynb", "flaky"))
    with served(tmp_path, copies=(tmp_path,), rendered=tmp_path / "pages") as client:
        address = "/collections/nb/runs/r1"
        page = text(client, f"{address}/notebook", path="a.ipynb")
        assert "2 attempts" in page
        assert f'href="{address}/notebook?path=a.ipynb&amp;attempt=1"' in page
        first = text(client, f"{address}/notebook", path="a.ipynb", attempt="1")
        assert "attempt 1 of 2" in first
        assert f'href="{address}/log?path=a.ipynb&amp;attempt=1"' in first
        for query, log in (("", "a.attempt-2"), ("&attempt=1", "a"), ("&attempt=7", "a.attempt-2")):
            with client.get(f"{address}/log?path=a.ipynb{query}") as answer:
                assert answer.get_data(as_text=True) == f"log of {log}"
        tries = client.get(f"{address}/notebook.json?path=a.ipynb").get_json()["result"]["tries"]
        assert [(each["number"], each["outcome"]) for each in tries] == [
            (1, "failed"),
            (2, "passed"),
        ]
