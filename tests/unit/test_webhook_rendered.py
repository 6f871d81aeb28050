"""Pages of executed copies: made once, kept within bounds, and no request waits for long."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from ondisk import write_notebook

from nbpipe.reports.html.rendering import Limits, Renderer
from webhook import rendered
from webhook.rendered import Rendered, Why

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


def made(pages: Rendered, name: str, copy: Path) -> Path | Why:
    """Return what is said of a copy once it is known."""
    found: list[Path | Why] = []

    def known() -> bool:
        if (answer := pages.get(key(name), copy, [])) is not None:
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
    copy = write_notebook(tmp_path / "a.ipynb", "x = 1\n" * 100_000)
    limits = Limits(output=100_000)
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
