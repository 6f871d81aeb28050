"""The HTML report in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from browser import EVERYWHERE, look, sound
from ondisk import Collection, Ended
from pasts import past_run, result

from nbpipe.model import CellTime, Run
from nbpipe.reports.html import HtmlReporter

if TYPE_CHECKING:
    from pathlib import Path

TIMES = (CellTime(cell=1, number=1, seconds=0.5), CellTime(cell=4, number=2, seconds=2.0))
FLAKY = """
import pathlib
mark = pathlib.Path("mark")
first = not mark.exists()
mark.touch()
assert not first
"""
HOSTILE = """
from IPython.display import HTML, SVG, display
display(HTML('''
<img src="x" onerror="window.handler = 1">
<iframe src="https://example.org/"></iframe>
<script>
  const tried = {};
  const attempt = (name, deed) => {
    try { tried[name] = String(deed() ?? "done"); } catch (e) { tried[name] = "refused"; }
  };
  attempt("title", () => { parent.document.title = "owned"; });
  attempt("read", () => parent.document.body.textContent);
  attempt("cookie", () => document.cookie);
  attempt("storage", () => localStorage.getItem("x"));
  attempt("top", () => { top.location.href = "https://example.org/top"; });
  fetch("https://example.org/fetch").then(() => { tried.fetch = "done"; },
                                          () => { tried.fetch = "refused"; });
  const picture = new Image();
  picture.src = "https://example.org/picture.png";
  setTimeout(() => parent.postMessage(tried, "*"), 200);
</script>'''))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" onload="parent.document.title=1"></svg>'))
"""

LISTEN = """new Promise(resolve => {
  window.addEventListener("message", event => resolve({tried: event.data, origin: event.origin}));
  const frame = document.querySelector("iframe");
  frame.srcdoc = frame.srcdoc;
})"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("html")
    root = folder / "collection"
    root.mkdir()
    made = Collection(root, folder / "output")
    made.notebook("good.ipynb", "print(1)")
    made.notebook("a/bad.ipynb", *(f"x = {each}" for each in range(60)), "def f():\n  1/0\nf()")
    made.notebook("a/50% <b>&é#?.ipynb", "1/0")
    made.notebook("hostile.ipynb", HOSTILE)
    made.notebook("loud.ipynb", "for _ in range(50): print('x' * 1_000_000)")
    made.notebook("ATemplate.ipynb", "1")
    ended = made.test("--report", "html", "--all-errors")
    assert ended.code == 1, ended.err
    return ended


def page(ran: Ended, name: str = "index.html") -> str:
    file = ran.output_dir / "html" / name
    assert file.is_file()
    return f"file://{quote(str(file))}"


def test_the_report_is_sound_in_light_and_dark_wide_and_narrow(ran: Ended, tmp_path: Path) -> None:
    pages = (page(ran), page(ran, "notebooks/a/bad.ipynb.html"))
    looks = [
        {"url": url, "scheme": scheme, "width": width}
        for url in pages
        for scheme, width in EVERYWHERE
    ]
    for answer in look(looks):
        sound(answer)
        assert [url for url in answer["requests"] if not url.startswith("file:")] == []


def test_every_link_of_the_report_leads_to_its_page(ran: Ended) -> None:
    hrefs = "Array.from(document.querySelectorAll('#results a'), each => each.href)"
    (index,) = look([{"url": page(ran), "scheme": "light", "width": 800, "evaluate": hrefs}])
    assert len(index["value"]) == 5
    looks = [{"url": url, "scheme": "light", "width": 800} for url in index["value"]]
    titles = {answer["title"] for answer in look(looks)}
    assert titles == {
        "good.ipynb: passed",
        "a/bad.ipynb: failed",
        "a/50% <b>&é#?.ipynb: failed",
        "hostile.ipynb: passed",
        "loud.ipynb: passed",
    }


def test_the_failing_cell_is_marked_and_in_sight(ran: Ended) -> None:
    seen = """new Promise(resolve => {
      const cells = document.querySelectorAll(".celltag_nbpipe-failed");
      const look = left => {
        const box = cells[0].getBoundingClientRect();
        const seen = box.top >= 0 && box.bottom <= innerHeight && scrollY > 500;
        if (seen || !left) resolve([cells.length, seen]);
        else setTimeout(look, 100, left - 1);
      };
      look(300);
    })"""
    url = page(ran, "notebooks/a/bad.ipynb.html")
    (answer,) = look([{"url": url, "scheme": "light", "width": 900, "frame": seen}])
    assert answer["value"] == [1, True]


def test_the_table_is_filtered_and_sorted(ran: Ended) -> None:
    filtered = """(() => {
      const words = document.getElementById("words");
      words.value = "zerodivision 50%";
      words.form.dispatchEvent(new Event("input"));
      const shown = document.querySelectorAll("#results tbody tr:not([hidden])");
      return [Array.from(shown, row => row.cells[1].textContent),
              document.getElementById("shown").textContent];
    })()"""
    ordered = """(() => {
      document.querySelectorAll("#results th button")[1].click();
      const rows = document.querySelectorAll("#results tbody tr");
      return Array.from(rows, row => row.cells[1].textContent);
    })()"""
    looks = [
        {"url": page(ran), "scheme": "light", "width": 900, "evaluate": each}
        for each in (filtered, ordered)
    ]
    first, second = look(looks)
    assert first["value"] == [["a/50% <b>&é#?.ipynb"], "1 of 5"]
    assert second["value"] == sorted(second["value"])


ROWS = "Array.from(document.querySelectorAll('#results tbody tr'), row => row.cells[1].textContent)"
FORM = """[document.getElementById("words").value,
  Array.from(document.querySelectorAll("fieldset input:checked"), box => box.value),
  document.querySelector("#results th[aria-sort]")?.textContent ?? null]"""


def shows(number: int) -> list[str]:
    """Return the step of waiting until so many rows are shown."""
    return ["until", f"document.getElementById('shown').textContent === '{number} of 5'"]


def test_what_the_table_shows_is_in_the_address_after_back_forward_and_reload(ran: Ended) -> None:
    steps = [
        *(["click", "fieldset input[value=failed]"], shows(2)),
        *(["fill", "#words", "zerodivision f()"], shows(1), ["value", ROWS], ["value", FORM]),
        *(["click", "#results th:nth-child(4) button"], ["value", "location.hash"]),
        *(["reload"], shows(1), ["value", ROWS], ["value", FORM]),
        *(["click", "#results td.path a"], ["until", "document.querySelector('iframe')"]),
        *(["back"], shows(1), ["value", ROWS], ["value", FORM]),
        *(["back"], ["until", "!location.hash.includes('sort')"], ["value", FORM]),
        *(["back"], shows(2), ["value", FORM], ["back"], shows(5), ["value", FORM]),
        *(["forward"], ["forward"], shows(1), ["value", FORM]),
        *(["click", "#results td.path a"], ["until", "document.querySelector('iframe')"]),
        *(["click", "header a"], ["until", "document.querySelector('#shown')"]),
        *(shows(1), ["value", FORM]),
    ]
    (answer,) = look([{"url": page(ran), "scheme": "light", "width": 900, "steps": steps}])
    row, words, failed = ["a/bad.ipynb"], "zerodivision f()", ["failed"]
    sorted_form = [words, failed, "Time"]
    assert answer["values"] == [
        *(row, [words, failed, None], "#show=failed&q=zerodivision+f%28%29&sort=time"),
        *(row, sorted_form, row, sorted_form, [words, failed, None]),
        *(["", failed, None], ["", [], None], [words, failed, None], [words, failed, None]),
    ]
    assert answer["console"] == []


def test_keys_lead_from_failure_to_failure_and_what_is_unfolded_stays(ran: Ended) -> None:
    here = """[document.activeElement.textContent.trim().split(/\\s/)[0],
      Array.from(document.querySelectorAll(".failure[open] .path"), each => each.textContent)]"""
    inside = "document.querySelector('#failures ~ article .failure:last-of-type .times caption')"
    steps = [
        *(["press", "n"], ["value", here], ["press", "n"], ["value", here]),
        *(["reload"], ["until", inside], ["value", here.split(",", 1)[1].rstrip("] ")]),
        *(["press", "/"], ["press", "x"], ["press", "n"], shows(0)),
        *(["press", "Escape"], shows(5), ["value", "document.getElementById('words').value"]),
        *(["click", ".failure[open] a"], ["until", "document.querySelector('iframe')"]),
        *(["press", "n"], ["until", "document.title.startsWith('a/bad')"]),
    ]
    (answer,) = look([{"url": page(ran), "scheme": "light", "width": 900, "steps": steps}])
    first, second = "a/50% <b>&é#?.ipynb", "a/bad.ipynb"
    assert answer["values"] == [
        ["a/50%", [first]],
        *(["a/bad.ipynb", [first, second]], [first, second], ""),
    ]
    assert answer["console"] == []


def test_of_many_notebooks_each_is_found_sorted_and_unfolded(tmp_path: Path) -> None:
    results = [
        result(f"many/n_{each:04}.ipynb", "passed", each + 0.5, cell_times=TIMES)
        for each in range(1000)
    ]
    now = past_run("r1")
    run = Run(
        **{name: getattr(now, name) for name in ("id", "started", "commit", "host", "version")},
        seconds=9.0,
        root=tmp_path,
        output_dir=tmp_path,
        python="3",
        jobs=1,
        results=tuple(results),
        excluded=(),
    )
    HtmlReporter().write(run, tmp_path / "r")
    first = f"{ROWS}[0]"
    last = "document.querySelector('#results tbody:last-of-type tr:last-child .path')"
    slowest = "document.querySelector('#n999[open] .slowest')?.textContent"
    steps = [
        *(["fill", "#words", "0734"], ["until", f"{ROWS}.length === 1"], ["value", first]),
        *(["fill", "#words", ""], ["until", f"{ROWS}.length > 1"]),
        *(
            ["click", "#results th:nth-child(4) button"],
            ["click", "#results th:nth-child(4) button"],
        ),
        *(["until", f"{first} === 'many/n_0999.ipynb'"], ["click", "#n999 > summary"]),
        *(["until", slowest], ["value", slowest], ["reload"], ["until", slowest]),
        ["value", "void scrollTo(0, document.body.scrollHeight)"],
        *(["until", f"{last}?.textContent === 'many/n_0000.ipynb'"], ["value", first]),
    ]
    url = f"file://{quote(str(tmp_path / 'r' / 'index.html'))}"
    (answer,) = look([{"url": url, "scheme": "light", "width": 1200, "steps": steps}])
    sound(answer)
    told = ["many/n_0734.ipynb", "cells[4]In [2]2.0 sslowest", None, "many/n_0999.ipynb"]
    assert answer["values"] == told


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a run with retries, its report as a folder and as the one file beside it."""
    folder = tmp_path_factory.mktemp("tried")
    root = folder / "collection"
    root.mkdir()
    made = Collection(root, folder / "output")
    made.notebook("good.ipynb", "print(6 * 7)")
    made.notebook("bad <b>.ipynb", "'</script>'", "1/0")
    made.notebook("flaky.ipynb", FLAKY)
    one = made.output_dir / "html" / "one" / "one.html"
    ended = made.test("--report", "html", "--report", f"html={one}", "--retries", "1")
    assert ended.code == 1, ended.err
    assert [each.name for each in one.parent.iterdir()] == ["one.html"]
    return ended


def test_a_report_in_one_file_has_the_executed_notebooks(tried: Ended) -> None:
    title = "document.getElementById('page-path').textContent"
    opened = "document.querySelector('#page iframe')"
    chosen = "document.querySelector('#page-attempts [aria-current]')?.textContent.slice(0, 9)"
    steps = [
        *(["click", "#results tbody tr:last-child a"], ["until", opened], ["value", title]),
        *(["back"], ["until", f"!{opened}"], ["press", "n"], ["click", ".failure[open] a"]),
        *(["until", opened], ["value", title], ["reload"], ["until", opened], ["value", title]),
        *(["value", "location.hash"], ["press", "n"], ["until", f"{title} === 'flaky.ipynb'"]),
        *(["value", chosen], ["click", "#page-attempts a:last-child"]),
        *(["until", f"{chosen} === 'Attempt 2'"], ["click", "#back"], ["until", f"!{opened}"]),
    ]
    url = page(tried, "one/one.html")
    looks = [{"url": url, "scheme": "light", "width": 1200, "steps": steps}]
    looks += [
        {"url": f"{url}#page=0", "scheme": scheme, "width": width}
        for scheme, width in EVERYWHERE[1:3]
    ]
    answers = look(looks)
    bad = "bad <b>.ipynb"
    assert answers[0]["values"] == ["good.ipynb", bad, bad, "#at=f0&page=0.1", "Attempt 1"]
    for answer in answers:
        sound(answer)
        assert {request.partition("#")[0] for request in answer["requests"]} == {url}


def test_attempts_are_tabs_and_each_has_its_page(tried: Ended) -> None:
    tab = "document.activeElement.textContent.split(',')[0]"
    shown = "document.querySelector('#f1 [role=tabpanel]:not([hidden])').textContent"
    current = "document.querySelector('nav [aria-current]').textContent.split(',')[0]"
    steps = [
        *(["click", "#f1 > summary"], ["click", "#f1 [aria-selected=true]"], ["value", tab]),
        *(["value", f"{shown}.includes('AssertionError')"], ["press", "ArrowRight"]),
        *(["value", tab], ["value", f"{shown}.includes('AssertionError')"]),
        *(["press", "ArrowRight"], ["click", "#f1 [role=tabpanel]:not([hidden]) > p a"]),
        *(["until", "document.querySelector('iframe')"], ["value", current]),
        *(["click", "nav a:last-child"], ["until", "document.title.includes('attempt 2')"]),
        *(["value", current], ["back"], ["back"], ["until", "document.querySelector('#f1[open]')"]),
    ]
    looks = [{"url": page(tried), "scheme": "light", "width": 1200, "steps": steps}]
    name = "notebooks/flaky.ipynb.html"
    looks += [{"url": page(tried, name), "scheme": "dark", "width": 400}]
    answers = look(looks)
    first, second = "Attempt 1: failed", "Attempt 2: passed"
    assert answers[0]["values"] == [first, True, second, False, first, second]
    for answer in answers:
        sound(answer)


def test_without_scripts_the_report_shows_everything(ran: Ended) -> None:
    rows = "document.querySelectorAll('#results tbody tr').length"
    (answer,) = look(
        [{"url": page(ran), "scheme": "light", "width": 900, "script": False, "evaluate": rows}]
    )
    assert answer["value"] == 5


def test_a_notebooks_scripts_reach_neither_the_page_nor_the_network(ran: Ended) -> None:
    look_at = {"scheme": "light", "width": 900, "evaluate": LISTEN}
    (answer,) = look([look_at | {"url": page(ran, "notebooks/hostile.ipynb.html")}])
    assert answer["title"] == "hostile.ipynb: passed"
    assert answer["value"] == {
        "origin": "null",
        "tried": dict.fromkeys(("title", "read", "cookie", "storage", "top", "fetch"), "refused"),
    }


def test_fifty_megabytes_of_output_make_no_heavy_page(ran: Ended) -> None:
    file = ran.output_dir / "html/notebooks/loud.ipynb.html"
    assert file.stat().st_size < 2_000_000
    assert "characters: see the executed copy ...]" in file.read_text(encoding="utf-8")


def test_the_reports_folder_is_replaced_by_a_later_report_and_nothing_else_is(
    collection: Collection, tmp_path: Path
) -> None:
    collection.notebook("a.ipynb", "1")
    folder = tmp_path / "report"
    assert collection.test("--report", f"html={folder}").code == 0
    (folder / "notebooks" / "old.html").write_text("old")
    assert collection.test("--report", f"html={folder}").code == 0
    assert not (folder / "notebooks" / "old.html").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    refused = collection.test("--report", f"html={mine}")
    assert refused.code == 4
    assert "would replace what is there" in refused.err
    assert (mine / "thesis.tex").read_text() == "precious"
