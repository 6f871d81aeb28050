"""The published notebooks for their users: what is shown, and to whom."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from doors import BEARER, TOKEN, door
from flask import Response
from pasts import opened, past_run, record, result

from nbpipe.config.settings import CollectionSettings, HistorySettings
from nbpipe.history import Archive
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.reports.html.images import Place
from webhook.app import create_app
from webhook.pages import gallery
from webhook.pages.copies import Copies
from webhook.pages.door import Door, Token
from webhook.pages.past import Past
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries
from webhook.receiving.secret import Secrets
from webhook.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
URL = "sqlite:///history.sqlite"
SHOWN = {"Authorization": BEARER}


def write(file: Path, heading: str, *, picture: bool = False) -> None:
    """Write a notebook with a heading, and a picture among its outputs if asked for."""
    data = {"image/png": base64.b64encode(PNG).decode()} if picture else {"text/plain": "1"}
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    cells = [
        {"cell_type": "markdown", "source": ["text\n", f"# {heading}\n"], "metadata": {}},
        {"cell_type": "code", "source": "1", "outputs": [output], "metadata": {}},
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    file.write_text(json.dumps(notebook))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Served, Past]]:
    """Return a published collection of four notebooks, of which a run executed two."""
    settings = CollectionSettings(
        name="nb", origin="https://github.com/org/nb.git", root=str(tmp_path / "srv")
    )
    worker = Reconciler(settings)
    release = worker.mirror.release(COMMIT)
    worker.mirror.prepare()
    write(release / "top.ipynb", "The *top* [of](x) <b>all</b>")
    write(release / "a" / "one.ipynb", "One")
    write(release / "a" / "deep" / "two.ipynb", "Two")
    write(release / "b" / "<i>.ipynb", "<script>alert(1)</script>")
    (release / "a" / "notes.txt").write_text("no notebook")
    worker.mirror.flip(COMMIT)
    folder = tmp_path / "runs" / "r1"
    write(folder / "a" / "one.ipynb", "One, executed", picture=True)
    write(folder / "top.ipynb", "Top, failed")
    with opened(URL, tmp_path, collection="nb") as history:
        run = replace(past_run("r1"), output_dir=str(folder))
        record(history, run, result("a/one.ipynb", "passed", 61.0), result("top.ipynb", "failed"))
        retried = result("a/deep/two.ipynb", "flaky", 3.0, attempts=2)
        later = replace(past_run("r2", days=1), output_dir=str(folder))
        record(history, later, result("a/one.ipynb", "failed", 9.0), retried)
    served = Served(
        followed=Followed(name="nb", repository="org/nb", branch="main"),
        secrets=Secrets(("env:HOOK",), {"HOOK": "x"}),
        worker=worker,
        place="github.com/org/nb",
    )
    archive = Archive(HistorySettings(url=URL), tmp_path)
    yield served, Past(archive=archive, copies=(tmp_path,), rendered=tmp_path / "pages")
    archive.close()


@pytest.fixture
def client(house: tuple[Served, Past], tmp_path: Path) -> Iterator[FlaskClient]:
    served, past = house
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        client = create_app([served], deliveries, past=past, door=door()).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = BEARER
        yield client


def test_the_notebooks_of_a_folder_are_shown_with_the_folders_below(client: FlaskClient) -> None:
    top = client.get("/notebooks/nb.json").get_json()
    assert [(each["path"], each["notebooks"]) for each in top["folders"]] == [("a", 2), ("b", 1)]
    assert [each["title"] for each in top["notebooks"]] == ["The top of all"]
    below = client.get("/notebooks/nb.json?folder=a").get_json()
    assert [each["path"] for each in below["folders"]] == ["a/deep"]
    assert [each["path"] for each in below["notebooks"]] == ["a/one.ipynb"]
    assert (top["command"], below["command"]) == ("getlatest", "getlatest --only a")
    assert client.get("/notebooks/nb?folder=none").status_code == 404


def test_a_notebook_is_shown_as_its_newest_passing_run_left_it(client: FlaskClient) -> None:
    told = client.get("/notebooks/nb/notebook.json?path=a/one.ipynb").get_json()
    assert told["card"]["title"] == "One, executed"
    assert (told["card"]["seconds"], told["card"]["picture"]) == (61.0, True)
    assert told["card"]["passed"].startswith("2026-01-31")
    assert told["link"] == f"https://github.com/org/nb/blob/{COMMIT}/a/one.ipynb"
    page = client.get("/notebooks/nb/notebook?path=a/one.ipynb").get_data(as_text=True)
    assert "As it ran and passed on" in page


def test_a_retry_that_passed_is_a_pass(client: FlaskClient, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "r1" / "a" / "deep" / "two.attempt-2.ipynb", "Two, at last")
    told = client.get("/notebooks/nb/notebook.json?path=a/deep/two.ipynb").get_json()
    assert (told["card"]["title"], told["card"]["seconds"]) == ("Two, at last", 3.0)


def test_one_that_never_passed_is_shown_as_published_and_that_is_said(client: FlaskClient) -> None:
    told = client.get("/notebooks/nb/notebook.json?path=top.ipynb").get_json()
    assert (told["card"]["title"], told["card"]["passed"]) == ("The top of all", None)
    page = client.get("/notebooks/nb/notebook?path=top.ipynb").get_data(as_text=True)
    assert "there is no executed copy of a run that passed" in page


def test_a_picture_is_asked_for_again_only_by_its_tag(client: FlaskClient) -> None:
    first = client.get("/notebooks/nb/picture?path=a/one.ipynb")
    assert (first.mimetype, first.get_data()) == ("image/png", PNG)
    assert first.headers["Cache-Control"] == "private, no-cache"
    known = {"If-None-Match": first.headers["ETag"]}
    assert client.get("/notebooks/nb/picture?path=a/one.ipynb", headers=known).status_code == 304
    assert client.get("/notebooks/nb/picture?path=top.ipynb").status_code == 404


@pytest.mark.parametrize("path", ["none.ipynb", "../../../etc/passwd", "a/notes.txt", "a", ""])
def test_nothing_but_a_published_notebook_is_shown(client: FlaskClient, path: str) -> None:
    for page in ("notebook", "shown", "picture"):
        response = client.get(f"/notebooks/nb/{page}", query_string={"path": path})
        assert response.status_code == 404


def test_titles_and_names_are_escaped(client: FlaskClient) -> None:
    page = client.get("/notebooks/nb?folder=b").get_data(as_text=True)
    assert "<i>" not in page
    assert "<script>alert" not in page
    assert "b/%3Ci%3E.ipynb" in page


def test_a_search_goes_through_the_folders_and_pages_are_bounded(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = client.get("/notebooks/nb.json?q=TWO").get_json()
    assert [each["path"] for each in told["notebooks"]] == ["a/deep/two.ipynb"]
    monkeypatch.setattr(gallery, "SHOWN", 2)
    first = client.get("/notebooks/nb.json?q=.ipynb").get_json()
    second = client.get("/notebooks/nb.json?q=.ipynb&page=1").get_json()
    assert (first["more"], second["more"]) == (True, False)
    assert len({each["path"] for each in (*first["notebooks"], *second["notebooks"])}) == 4


def test_the_gallery_asks_for_the_token_and_may_be_open_while_results_are_not(
    house: tuple[Served, Past], tmp_path: Path
) -> None:
    served, past = house
    pages = ("/notebooks", "/notebooks/nb", "/notebooks/nb/notebook?path=top.ipynb")
    closed = ("/", "/collections", "/collections/nb", "/references", "/metrics")
    token = Token("env:T", {"T": TOKEN})
    for public in (False, True):
        with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
            asked = Door(token, now=lambda: 0.0, public_gallery=public)
            client = create_app([served], deliveries, past=past, door=asked).test_client()
            statuses = {client.get(page).status_code for page in pages}
            assert statuses == ({200} if public else {401})
            assert {client.get(page).status_code for page in closed} == {401}
            if public:
                page = client.get("/notebooks/nb").get_data(as_text=True)
                assert "/collections" not in page
                assert "/references" not in page
                own = client.get("/notebooks/nb", headers=SHOWN).get_data(as_text=True)
                assert 'href="/collections"' in own


@pytest.mark.parametrize(
    ("commit", "path", "known"),
    [
        (COMMIT, "top.ipynb", True),
        (COMMIT, "gone.ipynb", False),
        ("0" * 40, "top.ipynb", False),
        ("../../etc", "top.ipynb", False),
        (None, "top.ipynb", False),
    ],
)
def test_pictures_beside_a_result_come_from_the_release_of_its_commit(  # noqa: PLR0913, PLR0917
    house: tuple[Served, Past],
    client: FlaskClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    commit: str | None,
    path: str,
    *,
    known: bool,
) -> None:
    served, _ = house
    places: list[Place | None] = []

    def show(_: Copies, __: object, ___: object, ____: str, place: Place | None) -> Response:
        places.append(place)
        return Response("shown")

    monkeypatch.setattr(Copies, "show", show)
    with opened(URL, tmp_path, collection="nb") as history:
        record(history, replace(past_run("r9", days=9), commit=commit), result(path, "passed"))
    answer = client.get("/collections/nb/runs/r9/copy", query_string={"path": path})
    assert answer.status_code == 200
    release = served.worker.mirror.release(COMMIT)
    assert places == [Place(release, path) if known else None]
