"""The pages about reference runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from doors import admitted, door
from manifests import manifest

from nbpipe.reference.manifest import Output
from nbpipe.reference.manifest import write as write_manifest
from nbpipe.reference.store import Store
from webhook.app import create_app
from webhook.pages.past import Past
from webhook.receiving.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

OLD, NEW = "20260131T120000-aaaaaa", "20260201T120000-bbbbbb"
CONTENT = b"abc"
PRODUCT = Output(path="<b>.txt", bytes=3, sha256=hashlib.sha256(CONTENT).hexdigest(), kind="text")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with a release, and a later run that left the same."""
    store = Store(tmp_path / "store")
    for name in (OLD, NEW):
        run = store.new_run("mini", name)
        run.work.mkdir()
        (run.work / PRODUCT.path).write_bytes(CONTENT)
        run.write("request.json", {"release": "1.1", "profile": {"label": "Local"}})
        run.write("submission.json", {"job": "7"})
        run.write("standing.json", {"7": {"state": "completed"}})
        done = manifest(PRODUCT, name="mini", run=name, reason="<script>alert(1)</script>")
        write_manifest(done, run.folder / "manifest.json")
    store.promote(store.run(OLD), store.run(OLD).manifest())
    return store


@pytest.fixture
def client(store: Store, tmp_path: Path) -> Iterator[FlaskClient]:
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        yield admitted(create_app([], deliveries, past=Past(store=store.root), door=door()))


def test_the_store_is_listed_the_newest_first(client: FlaskClient) -> None:
    page = client.get("/references.json").get_json()
    assert [(row["release"], row["run"]) for row in page["releases"]] == [("1.0", OLD)]
    assert [(row["run"], row["state"], row["against"]) for row in page["runs"]] == [
        (NEW, "completed", ["1.0"]),
        (OLD, "completed", ["1.0"]),
    ]


def test_an_empty_store_and_a_damaged_one_are_shown(tmp_path: Path, store: Store) -> None:
    (store.run(NEW).folder / "request.json").write_text("{")
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        for root, state in ((tmp_path / "none", "No run yet"), (store.root, "damaged")):
            client = admitted(create_app([], deliveries, past=Past(store=root), door=door()))
            assert state in client.get("/references").get_data(as_text=True)


def test_a_record_shows_jobs_and_products_and_escapes_them(client: FlaskClient) -> None:
    for page in (f"/references/mini/runs/{NEW}", "/references/mini/releases/1.0"):
        text = client.get(page).get_data(as_text=True)
        assert "&lt;b&gt;.txt" in text
        assert "<script" not in text
    told = client.get(f"/references/mini/runs/{NEW}.json").get_json()
    assert [job["id"] for job in told["jobs"]] == ["1", "2"]


def test_a_comparison_goes_by_the_records(client: FlaskClient) -> None:
    address = f"/references/mini/runs/{NEW}/against/1.0"
    told = client.get(f"{address}.json").get_json()["comparison"]
    assert told["verdict"] == "same"
    assert (told["reference"]["run"], told["new"]["run"]) == (OLD, NEW)
    frame = client.get(f"{address}/frame")
    assert frame.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert "<script" not in frame.get_data(as_text=True)


@pytest.mark.parametrize(
    "path",
    [
        "/references/mini/runs/none",
        "/references/none/runs/" + NEW,
        "/references/mini/releases/9",
        f"/references/mini/runs/{NEW}/against/9",
        "/references/../runs/x",
    ],
)
def test_what_is_not_in_the_store_is_404(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_metrics_count_runs_and_releases(client: FlaskClient) -> None:
    text = client.get("/metrics").get_data(as_text=True)
    assert 'nbpipe_reference_runs{name="mini"} 2.0' in text
    assert 'nbpipe_reference_releases{name="mini"} 1.0' in text
