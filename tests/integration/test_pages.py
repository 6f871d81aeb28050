"""The service's pages in a real browser, over a history that real runs left."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from browser import EVERYWHERE, look, sound
from doors import BEARER, TOKEN, door
from manifests import manifest
from ondisk import Collection, write_notebook

from nbpipe.batch import promotion
from nbpipe.config import Config
from nbpipe.config.settings import (
    CollectionSettings,
    HistorySettings,
    ReferenceSettings,
    Settings,
)
from nbpipe.history import Archive
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.reference.comparison import kept
from nbpipe.reference.manifest import Column, Output, Part, Statistics
from nbpipe.reference.manifest import write as write_manifest
from nbpipe.reference.store import Store
from webhook.app import create_app
from webhook.pages.past import Past
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries, Delivery
from webhook.receiving.secret import Secrets
from webhook.receiving.server import Listen, Server
from webhook.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook.pages.door import Door

HOSTILE = """
from IPython.display import HTML, SVG, display
display(HTML('''
<img src="x" onerror="window.handler = 1">
<iframe src="/collections"></iframe>
<script>
  const tried = {};
  const attempt = (name, deed) => {
    try { tried[name] = String(deed() ?? "done"); } catch (e) { tried[name] = "refused"; }
  };
  attempt("title", () => { parent.document.title = "owned"; });
  attempt("read", () => parent.document.body.textContent);
  attempt("cookie", () => document.cookie);
  attempt("storage", () => localStorage.getItem("x"));
  attempt("top", () => { top.location.href = "/owned"; });
  attempt("inner", () => document.querySelector("iframe").contentDocument.body.textContent);
  fetch("/collections.json").then(() => { tried.fetch = "done"; },
                                  () => { tried.fetch = "refused"; });
  setTimeout(() => { document.title = JSON.stringify(tried);
                     parent.postMessage(tried, "*"); }, 300);
</script>'''))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" onload="parent.document.title=1"></svg>'))
"""
REFUSED = dict.fromkeys(("title", "read", "cookie", "storage", "top", "inner", "fetch"), "refused")
LISTEN = """new Promise(resolve => {
  window.addEventListener("message", event => resolve({tried: event.data, origin: event.origin}));
  const frame = document.querySelector("iframe");
  frame.src = frame.src;
})"""
RUN = "20260131T120000-abcdef"
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Return what two runs and a reference run left."""
    folder = tmp_path_factory.mktemp("pages")
    root = folder / "collection"
    root.mkdir()
    url = f"sqlite:///{folder}/history.sqlite"
    (root / "nbpipe.toml").write_text(f'[history]\nurl = "{url}"\ncollection = "tutorials"\n')
    made = Collection(root, folder / "output")
    made.notebook("good.ipynb", "print(1)")
    made.notebook("hostile.ipynb", HOSTILE)
    alone = [line for line in HOSTILE.splitlines() if '"top"' not in line]
    made.notebook("alone.ipynb", "\n".join(alone))
    made.notebook("a/50% <b>&é#?.ipynb", "1/0")
    changing = made.notebook("b/" + "very-long-name-" * 8 + ".ipynb", "print(2)")
    assert made.test().code == 1
    changing.unlink()
    made.notebook(f"b/{changing.name}", *(f"x = {each}" for each in range(9)), "open('gone.fits')")
    second = Collection(root, folder / "output2")
    assert second.test().code == 1
    return Past(
        archive=Archive(HistorySettings(url=url), folder),
        copies=(folder,),
        rendered=folder / "rendered",
        store=references(folder / "store"),
    )


def references(root: Path) -> Path:
    """Return a store with a run and a release that differ."""
    store = Store(root)
    for number, mean in ((0, 1.0), (1, 1.5)):
        run = store.new_run("minitest", f"{RUN[:-1]}{number}")
        run.write("request.json", {"release": "1.1", "profile": {"label": "Local - 1 core"}})
        run.write("submission.json", {"job": "7"})
        run.write("standing.json", {"7": {"state": "completed"}})
        run.work.mkdir()
        (run.work / "zcat.fits").write_bytes(content(mean))
        (run.work / "sky.png").write_bytes(PICTURE)
        done = manifest(product(mean), picture(), run=run.id)
        write_manifest(done, run.folder / "manifest.json")
        if number == 0:
            store.promote(run, done)
    store.new_run("minitest", f"{RUN[:-1]}9").write("request.json", {"release": "1.2"})
    settings = Settings(reference={"minitest": ReferenceSettings(absolute=1.0)})
    config = Config(root=root, file=root / "nbpipe.toml", settings=settings, given=frozenset())
    run = store.run(f"{RUN[:-1]}1")
    against = promotion.reference(store, run, "1.0")
    (run.work / "zcat.fits").unlink()  # compared by its statistics
    made = promotion.judge(store, against, run, config, now=datetime(2026, 2, 1, 12, tzinfo=UTC))
    kept.keep(run, made)
    first = store.run(f"{RUN[:-1]}0")
    store.promote(first, replace(first.manifest(), release="1.1"))
    return root


def picture() -> Output:
    digest = hashlib.sha256(PICTURE).hexdigest()
    return Output(path="sky.png", bytes=len(PICTURE), sha256=digest, kind="png")


def content(mean: float) -> bytes:
    return f"{mean}".encode().ljust(5_760)


def product(mean: float) -> Output:
    statistics = Statistics(count=10, min=0.0, max=3.0, mean=mean, std=0.5)
    column = Column(name="z", dtype="float64", statistics=statistics)
    part = Part(name="1 ZCAT", form="table", rows=10, columns=(column,))
    digest = hashlib.sha256(content(mean)).hexdigest()
    return Output(path="zcat.fits", bytes=5_760, sha256=digest, kind="fits", parts=(part,))


def published(folder: Path) -> Served:
    """Return a mirror of two of the notebooks."""
    settings = CollectionSettings(
        name="tutorials", origin="https://example.org/o/t.git", root=str(folder / "mirror")
    )
    worker = Reconciler(settings)
    worker.mirror.prepare()
    release = worker.mirror.release("c0ffee" * 6 + "c0ff")
    for path in ("good.ipynb", f"a/{'very-long-name-' * 8}.ipynb"):
        (release / path).parent.mkdir(parents=True, exist_ok=True)
        write_notebook(release / path, "print(1)")
    worker.mirror.flip(release.name)
    return Served(
        followed=Followed(name="tutorials", repository="o/t", branch="main"),
        secrets=Secrets(("env:HOOK",), {"HOOK": "x"}),
        worker=worker,
    )


@contextmanager
def served(folder: Path, past: Past, asked: Door | None = None) -> Iterator[str]:
    """Run the server that `nbpipe serve` runs; give its address."""
    with Deliveries(folder / "deliveries.sqlite") as deliveries:
        deliveries.record(
            Delivery(at=1.0, collection="n", delivery="a", event="push", status="accepted")
        )
        app = create_app([published(folder)], deliveries, past=past, door=asked or door())
        server = Server(app, Listen(host="127.0.0.1", port=0))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.addresses[0][1]}"
        finally:
            server.stop()
            thread.join(60)


@pytest.fixture(scope="module")
def site(past: Past, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("served"), past) as address:
        yield address


SHOWN = {"headers": {"Authorization": BEARER}}


def see(url: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  (whatever the look has)
    (answer,) = look([{"url": url, "scheme": "light", "width": 1000, **more}])
    return answer


ODD = quote("a/50% <b>&é#?.ipynb", safe="")
LONG = quote("b/" + "very-long-name-" * 8 + ".ipynb", safe="")
PAGES = {
    "status": "/",
    "collections": "/collections",
    "collection": "/collections/tutorials",
    "runs": "/collections/tutorials/runs",
    "run": "/collections/tutorials/runs/latest",
    "notebook": f"/collections/tutorials/notebook?path={LONG}",
    "result": f"/collections/tutorials/runs/latest/notebook?path={ODD}",
    "references": "/references",
    "reference-run": f"/references/minitest/runs/{RUN[:-1]}1",
    "release": "/references/minitest/releases/1.0",
    "comparison": f"/references/minitest/runs/{RUN[:-1]}1/against/1.0",
    "not-compared": f"/references/minitest/runs/{RUN[:-1]}1/against/1.1",
    "failed": "/collections/tutorials?only=failed&sort=-seconds",
    "badge": "/collections/tutorials/badge",
    "published": "/notebooks",
    "gallery": "/notebooks/tutorials",
    "published-notebook": "/notebooks/tutorials/notebook?path=good.ipynb",
    "login": "/login",
}


def test_a_comparison_within_tolerance_is_green_whatever_the_rules_of_the_service(
    site: str,
) -> None:
    colour = "getComputedStyle(document.querySelector('h1 span')).color"
    page = see(site + PAGES["comparison"], evaluate=colour, **SHOWN)
    assert page["title"].endswith("against 1.0: within tolerance")
    assert page["value"] == "rgb(20, 105, 58)"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_in_light_and_dark_wide_and_narrow(site: str, name: str) -> None:
    pictures = os.environ.get("NBPIPE_PICTURES", "")
    shown: dict[str, Any] = {} if name == "login" else SHOWN
    looks: list[dict[str, Any]] = [
        {"url": site + PAGES[name], "scheme": scheme, "width": width, **shown}
        for scheme, width in EVERYWHERE
    ]
    for each in looks if pictures else ():
        each["screenshot"] = f"{pictures}/{name}-{each['scheme']}-{each['width']}.png"
    for answer in look(looks):
        sound(answer)
        assert answer["status"] == 200
        assert {url.split("/")[2] for url in answer["requests"]} == {
            answer["requests"][0].split("/")[2]
        }


def test_every_link_of_every_page_leads_somewhere(site: str) -> None:
    hrefs = (
        "Array.from(document.querySelectorAll('a'),"
        " each => each.href.baseVal ? new URL(each.href.baseVal, location).href : each.href)"
    )
    answers = look(
        [
            {"url": site + path, "scheme": "light", "width": 900, "evaluate": hrefs, **SHOWN}
            for path in PAGES.values()
            if path != "/login"
        ]
    )
    for link in {link for answer in answers for link in answer["value"]}:
        assert link.startswith(site)
        try:
            asked = urllib.request.Request(link, headers=SHOWN["headers"])  # noqa: S310  (ours)
            with urllib.request.urlopen(asked, timeout=60) as response:  # noqa: S310  (ours)
                assert response.status == 200, link
        except urllib.error.HTTPError as error:
            assert (link, error.code) == (f"{site}/health", 503)  # noqa: PT017


def test_without_scripts_a_page_shows_everything(site: str) -> None:
    rows = "document.querySelectorAll('tbody tr').length"
    answer = see(site + PAGES["run"], script=False, evaluate=rows, **SHOWN)
    assert answer["value"] == 5


def test_a_page_brings_itself_up_to_date_and_keeps_the_place(site: str) -> None:
    deed = """new Promise((resolve, reject) => {
      const row = document.querySelector("tbody tr"), input = document.querySelector("#q");
      const link = row.querySelector("a"), told = link.textContent;
      document.querySelector("main").append("left over");
      link.textContent = "old";
      row.nextElementSibling.remove();
      input.value = "typed";
      link.focus();
      scrollTo(0, 50);
      document.dispatchEvent(new Event("visibilitychange"));
      const end = Date.now() + 60000;
      const look = () => {
        if (link.textContent === told) resolve({
          same: document.querySelector("tbody tr") === row && document.activeElement === link,
          rows: document.querySelectorAll("#notebooks ~ .wide tbody tr").length,
          typed: input.value, scrolled: scrollY,
          gone: !document.body.textContent.includes("left over") });
        else if (Date.now() > end) reject("the page stayed as it was");
        else setTimeout(look, 20);
      };
      look();
    })"""
    answer = see(site + PAGES["collection"], evaluate=deed, **SHOWN)
    assert answer["value"] == {
        "same": True, "rows": 5, "typed": "typed", "scrolled": 50, "gone": True
    }  # fmt: skip
    assert answer["console"] == []


def test_a_notebooks_scripts_reach_neither_the_page_nor_the_service(site: str) -> None:
    page = "/collections/tutorials/runs/latest/notebook?path=hostile.ipynb"
    answer = see(site + page, evaluate=LISTEN, **SHOWN)
    assert answer["title"] == "hostile.ipynb: passed"
    assert answer["value"] == {"origin": "null", "tried": REFUSED}


def test_a_notebooks_scripts_have_no_origin_even_where_the_copy_is_opened_alone(
    site: str,
) -> None:
    copy = "/collections/tutorials/runs/latest/copy?path=alone.ipynb"
    answer = see(site + copy, evaluate="[origin, window.parent === window]", wait=1_500, **SHOWN)
    assert answer["value"] == ["null", True]
    assert '"fetch":"refused"' in answer["title"]
    assert '"storage":"refused"' in answer["title"]
    assert '"cookie":"refused"' in answer["title"]


def test_a_signed_in_browser_sees_the_copy_and_the_copy_not_the_cookie(
    site: str,
) -> None:
    page = "/collections/tutorials/runs/latest/notebook?path=hostile.ipynb"
    assert see(site + page)["status"] == 401
    answer = see(site + page, token=TOKEN, evaluate=LISTEN)
    assert answer["title"] == "hostile.ipynb: passed"
    assert answer["value"] == {"origin": "null", "tried": REFUSED}
