from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from nbpipe.model import Category, Excluded, Failure, Outcome, Result, Run, Task
from nbpipe.reports.github import GithubReporter
from nbpipe.reports.markdown import LIMIT, MarkdownReporter, fence, span
from nbpipe.reports.place import line_in_file

HOSTILE = (
    "50% done, a:b\r\n::error file=x::injected\n##[add-mask]x\n"
    "\x1b[31mred\x1b[0m \U0001f600 ``` </details> @octocat | pipe <script>alert(1)</script>"
)
CAUSES = (
    (Category.NETWORK, "ConnectionError", "ConnectionError: no route to host"),
    (Category.EXCEPTION, "ValueError", "ValueError: 50%, a|b"),
    (Category.MISSING_FILE, "FileNotFoundError", "FileNotFoundError: `x.csv`"),
)


def failed(number: int, file: Path, message: str = HOSTILE) -> Result:
    category, name, signature = CAUSES[number % 3]
    failure = Failure(
        category=category,
        name=name,
        message=message,
        traceback=f"Cell In[2], line 2\n----> 2 boom\n{name}: {message}",
        signature=signature,
        cell=1,
        source="a = 1\nboom",
    )
    return result(f"a,b:{number}.ipynb", file, Outcome.FAILED, failure)


def result(path: str, file: Path, outcome: Outcome, *failures: Failure) -> Result:
    return Result(
        task=Task(path=path, file=file, why="", kernel="python3"),
        outcome=outcome,
        reason="it was not wanted" if outcome is Outcome.SKIPPED else None,
        kernel="python3",
        seconds=1.25,
        attempts=1,
        cells_total=3,
        cells_executed=2,
        failures=failures,
    )


def run(root: Path, *results: Result) -> Run:
    return Run(
        id="r1",
        started=datetime(2026, 1, 31, 12, tzinfo=UTC),
        seconds=12.3,
        root=root,
        output_dir=Path("/out"),
        commit="abcdef1234567890",
        host="h",
        version="1",
        python="3.11.7",
        jobs=2,
        results=results,
        excluded=(Excluded(path="T.ipynb", reason="excluded by default: *Template.ipynb"),),
    )


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    file = tmp_path / "nb.ipynb"
    cells = [
        {"cell_type": "markdown", "metadata": {"source": ["no"]}, "source": ["# a", "b"]},
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["a = 1\n", "boom"]},
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": "x\ny"},
    ]
    file.write_text(json.dumps({"metadata": {}, "cells": cells, "nbformat": 4}, indent=1))
    return file


def github(one: Run, environ: dict[str, str]) -> list[str]:
    stream = io.StringIO()
    GithubReporter(environ=environ).report(one, stream)
    return stream.getvalue().splitlines()


def unescaped(text: str) -> str:
    """Undo what actions/toolkit's escapeData and escapeProperty do."""
    for code, character in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def commands(lines: list[str]) -> list[tuple[str, dict[str, str], str]]:
    """Parse workflow commands as GitHub's runner does, stopped ones left out."""
    found = []
    token = None
    for line in lines:
        if token is not None:
            token = None if line == f"::{token}::" else token
            continue
        match = re.fullmatch(r"::([a-z-]+)(?: (.*?))?::(.*)", line)
        if match is None:
            continue
        word, properties, data = match.groups()
        if word == "stop-commands":
            token = data
            continue
        pairs = dict(each.split("=", 1) for each in (properties or "").split(",") if each)
        found.append(
            (word, {key: unescaped(value) for key, value in pairs.items()}, unescaped(data))
        )
    assert token is None
    return found


def test_the_place_of_a_cells_line_is_that_of_the_file(notebook: Path) -> None:
    line = line_in_file(notebook, 1, 2, "a = 1\nboom")
    assert line is not None
    assert notebook.read_text().splitlines()[line - 1].strip() == '"boom"'
    assert line_in_file(notebook, 2, 2, "x\ny") == line + 7
    assert line_in_file(notebook, 7, 1, "") is None
    assert line_in_file(notebook.with_name("gone.ipynb"), 0, 1, "") is None


def test_a_text_notebooks_place_is_where_its_cell_stands(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# title\n\n```python\na = 1\nboom\n```\n")
    assert line_in_file(file, 1, 2, "a = 1\nboom") == 5


def test_an_annotation_stands_on_the_failing_cells_line(notebook: Path) -> None:
    lines = github(run(notebook.parent, failed(0, notebook)), {})
    (word, properties, message) = commands(lines)[-1]
    assert word == "error"
    assert properties["file"] == "nb.ipynb"
    assert notebook.read_text().splitlines()[int(properties["line"]) - 1].strip() == '"boom"'
    assert properties["title"] == "a,b:0.ipynb: ConnectionError: no route to host"
    assert message.startswith("network in cells[1]: ConnectionError: 50% done, a:b\n::error file")
    assert "\x1b" not in message
    assert message.endswith("run it again: nbpipe test a,b:0.ipynb")


def test_at_most_ten_annotations_and_the_rest_counted(notebook: Path) -> None:
    results = [failed(number, notebook) for number in range(30)]
    told = commands(github(run(notebook.parent, *results), {}))
    assert sum(word == "error" for word, _, _ in told) == 10
    assert [text for word, _, text in told if word == "notice"] == [
        "20 more notebooks failed or flaky; the job's summary has all."
    ]
    assert sum(word == "group" for word, _, _ in told) == 30
    assert {word for word, _, _ in told} == {"group", "endgroup", "error", "notice"}


def test_text_of_a_notebook_is_never_outside_of_a_stopped_stretch(notebook: Path) -> None:
    token = None
    for line in github(run(notebook.parent, failed(0, notebook)), {}):
        if line.startswith("::stop-commands::"):
            token = line.removeprefix("::stop-commands::")
        elif token and line == f"::{token}::":
            token = None
        elif token is None and not line.startswith("::error "):
            assert "add-mask" not in line


def test_a_notebook_outside_of_the_workspace_has_no_file(notebook: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "workspace"
    elsewhere.mkdir()
    lines = github(run(tmp_path, failed(0, notebook)), {"GITHUB_WORKSPACE": str(elsewhere)})
    assert "file" not in commands(lines)[-1][1]


def test_a_flaky_notebook_is_a_warning(notebook: Path) -> None:
    flaky = replace(failed(0, notebook, "x"), outcome=Outcome.FLAKY, attempts=2)
    (word, _, message) = commands(github(run(notebook.parent, flaky), {}))[-1]
    assert (word, "passed at attempt 2" in message) == ("warning", True)


def test_the_summary_is_appended_to_the_file_of_the_step(notebook: Path, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    github(run(tmp_path, failed(0, notebook)), {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text().startswith("before\n## ❌ nbpipe: 1 failed in 12.3 s\n")


def markdown(one: Run, limit: int = LIMIT) -> str:
    stream = io.StringIO()
    MarkdownReporter(limit=limit).report(one, stream)
    return stream.getvalue()


def test_failures_come_first_by_cause_and_nothing_of_a_notebook_is_markup(notebook: Path) -> None:
    results = [failed(number, notebook) for number in range(30)]
    text = markdown(run(notebook.parent, result("ok.ipynb", notebook, Outcome.PASSED), *results))
    assert text.index("### Failures: 30 notebooks, 3 causes") < text.index("ok.ipynb")
    assert text.count("#### 10 notebooks: ") == 3
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    raw = {each.content.strip() for each in [*tokens, *inline] if each.type.startswith("html_")}
    allowed = re.compile(r"(?:<details><summary>[\w:, ]+</summary>|</details>)\s*")
    assert [each for each in raw if not allowed.fullmatch(each)] == []
    plain_text = "".join(each.content for each in inline if each.type == "text")
    assert "octocat" not in plain_text
    assert "script" not in plain_text


def test_a_row_of_the_table_keeps_its_columns_whatever_is_in_it(notebook: Path) -> None:
    text = markdown(run(notebook.parent, failed(1, notebook, "x")))
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    cells = [
        tokens[index + 1].children for index, token in enumerate(tokens) if token.type == "td_open"
    ]
    assert len(cells) == 7
    why = cells[-1]
    assert why is not None
    assert [(each.type, each.content) for each in why] == [("code_inline", "ValueError: 50%, a|b")]


def test_skipped_and_excluded_notebooks_have_their_reason(notebook: Path) -> None:
    text = markdown(run(notebook.parent, result("s.ipynb", notebook, Outcome.SKIPPED)))
    assert "1 notebook: `it was not wanted`\n\n- `s.ipynb`\n" in text
    assert "- `T.ipynb`: `excluded by default: *Template.ipynb`\n" in text


def test_a_summary_of_messages_of_a_megabyte_stays_under_its_limit(notebook: Path) -> None:
    results = [failed(number, notebook, f"{number} " + "é" * 1_000_000) for number in range(300)]
    text = markdown(run(notebook.parent, *results), limit=300_000)
    assert len(text.encode()) < 300_000
    assert re.search(r"\d+ parts of this report did not fit; the JSON report has all\.\n$", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("", "` `"), ("a\nb", "`a b`")],
)
def test_a_span_holds_any_text(text: str, expected: str) -> None:
    assert span(text) == expected


def test_a_fence_is_longer_than_any_within() -> None:
    assert fence("````\nx") == "`````\n````\nx\n`````"
