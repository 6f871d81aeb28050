"""Pages of executed copies: made once, kept within bounds, and no request waits for long."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from doors import admitted, door
from ondisk import write_notebook
from pasts import opened, past_run, record, result

from nbpipe.config.settings import HistorySettings
from nbpipe.history import Archive
from nbpipe.reports.html.images import Place
from nbpipe.reports.html.rendering import Limits, Renderer, Source
from webhook.app import create_app
from webhook.pages import rendered
from webhook.pages.copies import HEADERS
from webhook.pages.past import Past
from webhook.pages.rendered import Rendered, Why
from webhook.receiving.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


def made(pages: Rendered, name: str, copy: Path, source: Source | None = None) -> Path | Why:
    """Return what is said of a copy once it is known."""
    found: list[Path | Why] = []

    def known() -> bool:
        if (answer := pages.get(key(name), copy, [], source)) is not None:
            found.append(answer)
        return bool(found)

    wait_until(known)
    return found[0]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Note every rendering, which does happen, with how many there were at the same time."""
    noted: list[tuple[Path, int]] = []
    running: set[int] = set()
    draw = Renderer.draw

    def noting(self: Renderer, copy: Path, *more: Any) -> bool:  # noqa: ANN401
        running.add(id(self))
        noted.append((copy, len(running)))
        try:
            return draw(self, copy, *more)
        finally:
            running.discard(id(self))

    monkeypatch.setattr(Renderer, "draw", noting)
    return noted


def test_a_page_is_made_once_and_is_the_services_own(
    tmp_path: Path, drawn: list[tuple[Path, int]]
) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    page = made(Rendered(tmp_path / "pages"), "a", copy)
    assert page == tmp_path / "pages" / f"{key('a')}.html"
    assert isinstance(page, os.PathLike)
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.parent.stat().st_mode & 0o777 == 0o700
    assert made(Rendered(tmp_path / "pages"), "a", copy) == page  # of the next process, too
    assert [each for each, _ in drawn] == [copy]
    assert [each.name for each in page.parent.iterdir()] == [page.name]


def test_a_hundred_requests_start_one_rendering_and_few_wait(
    tmp_path: Path, drawn: list[tuple[Path, int]]
) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    pages = Rendered(tmp_path / "pages")
    answers: list[Path | Why | None] = []
    threads = [
        threading.Thread(target=lambda: answers.append(pages.get(key("a"), copy, [])))
        for _ in range(100)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 100
    assert made(pages, "a", copy) in answers
    assert len(drawn) == 1


def test_of_many_copies_two_are_rendered_at_a_time_and_the_rest_is_not_queued_for_ever(
    tmp_path: Path, drawn: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered, "PATIENCE", 0.0)
    monkeypatch.setattr(rendered, "QUEUED", 6)
    pages = Rendered(tmp_path / "pages")
    copies = [write_notebook(tmp_path / f"{number}.ipynb", "1") for number in range(10)]
    for copy in copies:
        assert pages.get(key(copy.name), copy, []) is None
    assert len(pages._making) <= 6
    wait_until(lambda: not pages._making)
    assert len(drawn) == 6
    assert max(at_once for _, at_once in drawn) <= rendered.CHILDREN


def test_what_broke_a_limit_is_remembered_also_by_the_next_process(
    tmp_path: Path, drawn: list[tuple[Path, int]]
) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    limits = Limits(output=1_000)
    said = Why("as a page it has more than 0 MB")
    assert made(Rendered(tmp_path / "pages", limits), "a", copy) == said
    assert made(Rendered(tmp_path / "pages", limits), "a", copy) == said
    assert len(drawn) == 1


def test_what_is_no_notebook_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("{")
    answer = made(Rendered(tmp_path / "pages"), "a", tmp_path / "a.ipynb")
    assert answer == Why("it is not a notebook that can be read")


def test_a_problem_that_passes_is_tried_again_later(
    tmp_path: Path, drawn: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    (tmp_path / "pages").write_text("in the way")
    pages = Rendered(tmp_path / "pages")
    answer = made(pages, "a", copy)
    assert isinstance(answer, Why)
    assert "cannot be kept" in answer.reason
    (tmp_path / "pages").unlink()
    assert made(pages, "a", copy) == answer
    assert drawn == []
    monkeypatch.setattr(rendered, "FORGET_SECONDS", 0.0)
    wait_until(lambda: pages.get(key("a"), copy, []) == tmp_path / "pages" / f"{key('a')}.html")


def test_the_folder_stays_within_its_bounds_and_forgets_what_was_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered, "KEPT_PAGES", 3)
    pages = Rendered(tmp_path / "pages")
    copy = write_notebook(tmp_path / "a.ipynb", "1")
    for number in range(3):
        page = made(pages, str(number), copy)
        assert isinstance(page, os.PathLike)
        os.utime(page, (1_000 + number, 1_000 + number))
    left = tmp_path / "pages" / "left.part"
    left.touch()
    os.utime(left, (1_000, 1_000))
    made(pages, "0", copy)  # asked for again: it stays
    made(pages, "3", copy)
    kept = {each.stem for each in (tmp_path / "pages").iterdir()}
    assert kept == {key("0"), key("2"), key("3")}
    monkeypatch.setattr(rendered, "KEPT_BYTES", 1)
    pages.get(key("4"), copy, [])
    wait_until(lambda: not pages._making)
    assert list((tmp_path / "pages").iterdir()) == []


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """Serve a run with a small copy, one that is too large, and one that is damaged."""
    folder = tmp_path / "runs" / "r1"
    write_notebook(folder / "a.ipynb", "print('<b>')")
    write_notebook(folder / "large.ipynb", "x" * 10_000)
    (folder / "damaged é.ipynb").write_text("{")
    url = "sqlite:///history.sqlite"
    with opened(url, tmp_path, collection="nb") as history:
        run = replace(past_run("r1"), output_dir=str(folder))
        names = ("a.ipynb", "large.ipynb", "damaged é.ipynb", "gone.ipynb")
        record(history, run, *(result(name, "passed") for name in names))
    past = Past(
        archive=Archive(HistorySettings(url=url), tmp_path),
        copies=(tmp_path,),
        rendered=tmp_path / "pages",
    )
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        yield admitted(create_app([], deliveries, past=past, door=door()))


def ask(client: FlaskClient, path: str, page: str = "copy", **headers: str) -> TestResponse:
    """Ask for a page of the run until it is made."""
    answered: list[TestResponse] = []

    def known() -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"/collections/nb/runs/r1/{page}"
        answered.append(client.get(address, query_string={"path": path}, headers=named))
        if answered[-1].status_code == 503:
            assert answered[-1].headers["Retry-After"] == "5"
            assert "Being prepared" in answered[-1].text
        return answered[-1].status_code != 503

    wait_until(known)
    return answered[-1]


def test_a_copy_is_shown_in_an_origin_of_nobody(client: FlaskClient) -> None:
    with ask(client, "a.ipynb") as page:
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert page.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        assert "&lt;b&gt;" in page.text


def test_a_copy_that_is_not_shown_says_why_and_where_its_file_is(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ask(client, "damaged é.ipynb")
    assert "not a notebook that can be read" in page.text
    assert 'href="/collections/nb/runs/r1/copy.ipynb?path=damaged+%C3%A9.ipynb"' in page.text
    monkeypatch.setattr("webhook.pages.copies.LARGEST", 5_000)
    page = ask(client, "large.ipynb", Sec_Fetch_Dest="iframe")
    assert page.status_code == 200
    assert "is not shown as a page: the file has more than 0 MB" in page.text
    assert "href" not in page.text  # a frame sends no cookie: the page around it has the links
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_file_of_a_copy_is_given_to_keep_and_to_read(client: FlaskClient) -> None:
    with ask(client, "damaged é.ipynb", "copy.ipynb") as file:
        assert file.data == b"{"
        assert file.headers["Content-Disposition"].startswith("attachment;")
        assert file.mimetype == "application/x-ipynb+json"
    with client.get("/collections/nb/runs/r1/copy.ipynb?path=a.ipynb&text") as text:
        assert text.mimetype == "text/plain"
        assert "attachment" not in text.headers["Content-Disposition"]
        assert text.headers["Content-Security-Policy"].startswith("sandbox")
        assert text.headers["X-Content-Type-Options"] == "nosniff"
    for page in ("copy", "copy.ipynb"):
        assert ask(client, "gone.ipynb", page).status_code == 404
        assert ask(client, "never.ipynb", page).status_code == 404


def test_the_page_of_a_result_links_its_file(client: FlaskClient) -> None:
    page = client.get("/collections/nb/runs/r1/notebook?path=large.ipynb").text
    assert 'href="/collections/nb/runs/r1/copy.ipynb?path=large.ipynb"' in page
    assert 'href="/collections/nb/runs/r1/copy.ipynb?path=large.ipynb&amp;text"' in page


def test_a_copy_and_its_file_ask_for_the_token(client: FlaskClient) -> None:
    del client.environ_base["HTTP_AUTHORIZATION"]
    for page in ("copy", "copy.ipynb"):
        assert client.get(f"/collections/nb/runs/r1/{page}?path=a.ipynb").status_code == 401


def test_pictures_of_the_published_release_are_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "a.png").write_bytes(b"picture")
    copy = tmp_path / "a.ipynb"
    cell = nbformat.v4.new_markdown_cell("![A](a.png) and $x$")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), copy)
    source = Source(place=Place(tmp_path / "release", "a.ipynb"))
    page = made(Rendered(tmp_path / "pages"), "a", copy, source)
    assert isinstance(page, Path)
    shown = page.read_text()
    assert "data:image/png;base64,cGljdHVyZQ==" in shown
    assert "<math><mi>x</mi></math>" in shown
