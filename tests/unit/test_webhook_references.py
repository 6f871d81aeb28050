"""The pages about reference runs."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from doors import admitted, door, unscripted
from manifests import manifest

from nbpipe.batch import promotion
from nbpipe.config import Config
from nbpipe.config.settings import Settings
from nbpipe.reference.comparison import default_rules, kept
from nbpipe.reference.manifest import Output
from nbpipe.reference.manifest import write as write_manifest
from nbpipe.reference.products import describe_outputs
from nbpipe.reference.store import Store, unseal
from webhook.app import create_app
from webhook.pages.past import Past
from webhook.receiving.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from nbpipe.reference.comparison import Comparison

OLD, NEW = "20260131T120000-aaaaaa", "20260201T120000-bbbbbb"
NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
CONTENT = b"abc"
PRODUCT = Output(path="<b>.txt", bytes=3, sha256=hashlib.sha256(CONTENT).hexdigest(), kind="text")


def configured(store: Store, rules: dict[str, Any]) -> Config:
    """Return a project's configuration with these rules."""
    settings = msgspec.convert({"reference": {"mini": rules}}, Settings)
    return Config(root=store.root, file=None, settings=settings, given=frozenset())


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
        text = unscripted(client.get(page).get_data(as_text=True))
        assert "&lt;b&gt;.txt" in text
        assert "<script" not in text
    told = client.get(f"/references/mini/runs/{NEW}.json").get_json()
    assert [job["id"] for job in told["jobs"]] == ["1", "2"]


ADDRESS = f"/references/mini/runs/{NEW}/against/1.0"


def keep(store: Store, settings: dict[str, Any] | None = None, now: datetime = NOW) -> Comparison:
    """Compare the newer run with the release as the command does, and keep it."""
    config = configured(store, settings or {})
    run = store.run(NEW)
    made = promotion.judge(store, promotion.reference(store, run, "1.0"), run, config, now=now)
    kept.keep(run, made)
    return made


def test_the_verdict_is_the_one_that_was_kept_whatever_the_rules_of_the_service(
    store: Store, tmp_path: Path
) -> None:
    (store.run(NEW).work / "qa.json").write_text('{"chi2": 1.001}')
    (store.run(OLD).work / "qa.json").write_text('{"chi2": 1.0}')
    for name in (OLD, NEW):
        run = store.run(name)
        outputs = describe_outputs(run.work, ["*"])
        write_manifest(replace(run.manifest(), outputs=outputs), run.folder / "manifest.json")
    store.promote(store.run(OLD), replace(store.run(OLD).manifest(), release="2.0"))
    config = configured(store, {"relative": 0.01})
    run = store.run(NEW)
    made = promotion.judge(store, promotion.reference(store, run, "2.0"), run, config, now=NOW)
    kept.keep(run, made)
    assert made.verdict == "within tolerance"
    for rules in (lambda _: None, lambda _: default_rules()):
        with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
            past = Past(store=store.root, rules=rules)
            client = admitted(create_app([], deliveries, past=past, door=door()))
            address = f"/references/mini/runs/{NEW}/against/2.0"
            told = client.get(f"{address}.json").get_json()
            assert (told["verdict"], told["tone"], told["outdated"]) == (
                "within tolerance",
                "good",
                "",
            )
            assert told["comparison"]["exit_code"] == 0
            assert bool(told["remark"]) == (rules("mini") is not None)
            assert "within tolerance: 2 files" in client.get(f"{address}/frame").text
            cells = client.get("/references.json").get_json()["runs"][0]["verdicts"]
            assert [(each["release"], each["verdict"], each["tone"]) for each in cells] == [
                ("2.0", "within tolerance", "good"),
                ("1.0", "not compared yet", ""),
            ]


def test_what_was_not_compared_yet_is_neither_good_nor_bad(client: FlaskClient) -> None:
    told = client.get(f"{ADDRESS}.json").get_json()
    assert (told["verdict"], told["tone"], told["comparison"]) == ("not compared yet", "", None)
    page = client.get(ADDRESS).text
    assert f"nbpipe reference compare {NEW} --against 1.0" in page
    assert "<iframe" not in page
    assert client.get(f"{ADDRESS}/frame").status_code == 404
    assert '<span class="outcome unknown">not compared yet</span>' in client.get("/references").text


def test_a_comparison_that_was_kept_is_shown(store: Store, client: FlaskClient) -> None:
    keep(store)
    told = client.get(f"{ADDRESS}.json").get_json()["comparison"]
    assert told["verdict"] == "same"
    assert (told["reference"]["run"], told["new"]["run"]) == (OLD, NEW)
    assert (told["reference"]["folder"], told["new"]["folder"]) == (None, None)
    frame = client.get(f"{ADDRESS}/frame")
    assert frame.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert "<script" not in frame.get_data(as_text=True)
    assert "How it was compared" in frame.text


def accepted(store: Store) -> None:
    promotion.accept(store, store.run(NEW), release="1.0", only=["*"], reason="better")


def collected(store: Store) -> None:
    run = store.run(NEW)
    write_manifest(replace(run.manifest(), created="2026-03-01"), run.folder / "manifest.json")


def promoted_anew(store: Store) -> None:
    folder = store.root / "mini/releases/1.0"
    unseal(folder)
    shutil.rmtree(folder)
    store.promote(store.run(OLD), replace(store.run(OLD).manifest(), reason="again"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (accepted, "release 1.0 is at revision 2 now, and was compared at revision 1"),
        (collected, "the run was collected again"),
        (promoted_anew, "release 1.0 was promoted anew"),
    ],
)
def test_a_verdict_that_something_has_changed_since_is_shown_as_outdated(
    store: Store, client: FlaskClient, change: Callable[[Store], None], said: str
) -> None:
    keep(store)
    change(store)
    told = client.get(f"{ADDRESS}.json").get_json()
    assert (told["verdict"], told["tone"], told["outdated"]) == ("same", "warn", said)
    assert f"{said}. Compare again" in client.get(ADDRESS).text
    keep(store)
    assert client.get(f"{ADDRESS}.json").get_json()["outdated"] == ""


def test_an_expectation_that_has_ended_makes_a_verdict_outdated(
    store: Store, client: FlaskClient
) -> None:
    expected = [{"paths": ["x"], "until": date(2026, 2, 3), "reason": "known"}]
    keep(store, {"expected": expected}, NOW.replace(year=2026, month=2, day=1))
    told = client.get(f"{ADDRESS}.json").get_json()
    assert told["outdated"] == "a difference was expected until 2026-02-03, which is over"


@pytest.mark.parametrize("content", ["", "{", '{"format": 2}', "[]"])
def test_a_kept_comparison_that_cannot_be_read_counts_as_none(
    store: Store, client: FlaskClient, content: str
) -> None:
    keep(store)
    (store.run(NEW).folder / "comparisons/release-1.0.json").write_text(content)
    assert client.get(f"{ADDRESS}.json").get_json()["verdict"] == "not compared yet"
    assert client.get("/references").status_code == 200


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


def test_a_product_is_given_to_be_kept_whatever_it_is(client: FlaskClient) -> None:
    name = quote(PRODUCT.path)
    for address in (f"runs/{NEW}/products/{name}", f"releases/1.0/products/{name}"):
        with client.get(f"/references/mini/{address}") as response:
            assert response.get_data() == CONTENT
            assert response.headers["Content-Disposition"].startswith("attachment")
            assert response.mimetype == "application/octet-stream"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Security-Policy"].startswith("sandbox")
        assert client.get(f"/references/mini/{address}?shown").status_code == 404


@pytest.mark.parametrize(
    "path", ["../manifest.json", "..%2Fmanifest.json", "other.txt", "/etc/passwd", "x%00y", "."]
)
def test_nothing_but_a_product_of_the_manifest_is_given(
    client: FlaskClient, store: Store, path: str
) -> None:
    (store.run(NEW).work / "other.txt").write_text("not in the manifest")
    assert client.get(f"/references/mini/runs/{NEW}/products/{path}").status_code in {308, 404}


def test_a_product_that_leads_out_of_the_run_is_not_given(
    client: FlaskClient, store: Store, tmp_path: Path
) -> None:
    file = store.run(NEW).work / PRODUCT.path
    (tmp_path / "secret").write_bytes(CONTENT)
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    address = f"/references/mini/runs/{NEW}"
    assert client.get(f"{address}/products/{quote(PRODUCT.path)}").status_code == 404
    told = client.get(f"{address}.json").get_json()["outputs"]
    assert [(each["there"], each["picture"]) for each in told] == [(False, False)]


def test_a_picture_among_the_products_is_shown_if_its_bytes_are_one(
    store: Store, tmp_path: Path
) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    run = store.run(NEW)
    made = [replace(PRODUCT, path=name, kind="png") for name in ("a.png", "b.png")]
    for each, data in zip(made, (png, b"<svg onload=1>"), strict=True):
        (run.work / each.path).write_bytes(data)
    done = manifest(*made, name="mini", run=NEW)
    write_manifest(done, run.folder / "manifest.json")
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        client = admitted(create_app([], deliveries, past=Past(store=store.root), door=door()))
        page = f"/references/mini/runs/{NEW}"
        assert f'src="{page}/products/a.png?shown"' in client.get(page).get_data(as_text=True)
        with client.get(f"{page}/products/a.png?shown") as shown:
            assert (shown.mimetype, shown.get_data()) == ("image/png", png)
        assert client.get(f"{page}/products/b.png?shown").status_code == 404


def test_releases_and_runs_have_their_dates_and_verdicts(client: FlaskClient) -> None:
    told = client.get("/references.json").get_json()
    (release,) = told["releases"]
    assert release["created"]
    assert (release["products"], release["collected"], release["verdicts"]) == (1, True, [])
    stamp = told["runs"][0]["created"]
    assert stamp.replace("-", "").replace(":", "").rstrip("Z") == NEW[:15]
