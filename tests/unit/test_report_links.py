"""Links of reports: which address, and only where there is something behind it."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from nbpipe.model import Category, Failure, Outcome, Result, Run, Task
from nbpipe.reports import forges
from nbpipe.reports.forges import Repository, repository
from nbpipe.reports.links import Links, folder, of_run
from nbpipe.reports.markdown import MarkdownReporter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

SHA = "0123456789abcdef0123456789abcdef01234567"
ODD = "Höhe [1] (a)|b`_*.ipynb"
GHES = {"GITHUB_SERVER_URL": "https://ghe.example:8443"}


@pytest.mark.parametrize(
    ("origin", "environ", "expected"),
    [
        ("https://github.com/o/r.git", {}, ("https://github.com/o/r", "github")),
        ("https://x-token:ghs_1@github.com/o/r", {}, ("https://github.com/o/r", "github")),
        ("git@github.com:o/r.git", {}, ("https://github.com/o/r", "github")),
        ("ssh://git@ssh.github.com:443/o/r.git", {}, ("https://github.com/o/r", "github")),
        ("https://ghe.example:8443/o/r", GHES, ("https://ghe.example:8443/o/r", "github")),
        ("git@ghe.example:o/r.git", GHES, ("https://ghe.example:8443/o/r", "github")),
        (
            "https://forge.example/o/r",
            {"GITHUB_SERVER_URL": "https://forge.example", "GITEA_ACTIONS": "true"},
            ("https://forge.example/o/r", "gitea"),
        ),
        (
            "https://gitlab-ci-token:t@code.example/a/b/c.git",
            {"CI_SERVER_URL": "https://code.example"},
            ("https://code.example/a/b/c", "gitlab"),
        ),
        ("git@gitlab.com:group/sub/r.git", {}, ("https://gitlab.com/group/sub/r", "gitlab")),
        ("https://gitlab.example.org/o/r", {}, ("https://gitlab.example.org/o/r", "gitlab")),
        (
            "https://x.gitlab.example.org/o/r",
            {},
            ("https://x.gitlab.example.org/o/r", "gitlab"),
        ),
        ("https://codeberg.org/o/r.git", {}, ("https://codeberg.org/o/r", "gitea")),
        ("git@bitbucket.org:o/r.git", {}, ("https://bitbucket.org/o/r", "bitbucket")),
    ],
)
def test_an_origin_has_the_address_of_its_page(
    origin: str, environ: dict[str, str], expected: tuple[str, str]
) -> None:
    found = repository(origin, environ)
    assert found is not None
    assert (found.address, found.forge) == expected


@pytest.mark.parametrize(
    "origin",
    [
        *("", "/srv/git/r.git", "../r", "file:///srv/r.git", "https://code.example/o/r"),
        *("https://bitbucket.example.org/o/r", "https://mygithub.example.org/o/r"),
        *("git@work:o/r.git", "https://github.com/r", "https://github.com/../r"),
        *("https://github.com)/o/r", "https://git hub.com/o/r", "javascript:alert(1)"),
    ],
)
def test_an_origin_without_known_pages_has_no_address(origin: str) -> None:
    assert repository(origin, {}) is None


@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        ("github", f"blob/{SHA}/a%20b/c.ipynb?plain=1#L7"),
        ("gitlab", f"-/blob/{SHA}/a%20b/c.ipynb?plain=1#L7"),
        ("gitea", f"src/commit/{SHA}/a%20b/c.ipynb?display=source#L7"),
        ("bitbucket", f"src/{SHA}/a%20b/c.ipynb#lines-7"),
    ],
)
def test_a_line_has_the_address_of_its_forge(forge: forges.Forge, expected: str) -> None:
    found = Repository(address="https://h/o/r", forge=forge)
    assert found.file(SHA, "a b/c.ipynb", 7) == f"https://h/o/r/{expected}"
    assert found.file(SHA, "a b/c.ipynb") == f"https://h/o/r/{expected}".split("?")[0].split("#")[0]


def test_a_name_that_is_not_utf8_has_its_bytes_in_the_address() -> None:
    found = Repository(address="https://h/o/r", forge="github")
    assert found.file(SHA, "\udcff#?%.ipynb").endswith("/%FF%23%3F%25.ipynb")


@pytest.mark.parametrize(
    ("api", "environ", "expected"),
    [
        ("https://api.github.com", {}, "https://github.com/o/r"),
        ("https://api.corp.ghe.com", {}, "https://corp.ghe.com/o/r"),
        ("https://ghe.example/api/v3", {}, "https://ghe.example/o/r"),
        (
            "https://ghe.example/api/v3",
            {"GITHUB_API_URL": "https://ghe.example/api/v3", "GITHUB_SERVER_URL": "https://web"},
            "https://web/o/r",
        ),
    ],
)
def test_a_repository_is_at_the_web_of_its_api(
    api: str, environ: dict[str, str], expected: str
) -> None:
    assert forges.at_github("o/r", api, environ).address == expected


def test_the_page_of_a_ci_run() -> None:
    github = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "17",
        "GITHUB_RUN_ATTEMPT": "2",
    }
    page = "https://github.com/o/r/actions/runs/17/attempts/2"
    assert forges.run_page(github) == page
    assert forges.run_page({"CI_JOB_URL": "https://gitlab.com/o/r/-/jobs/3"}) is not None
    assert forges.run_page({}) is None


@pytest.mark.parametrize("text", ["", "x", "javascript:alert(1)", "https://", "//h/x"])
def test_what_is_not_an_address_is_not_linked(text: str) -> None:
    assert forges.address(text) is None


def test_an_address_cannot_end_its_link() -> None:
    assert forges.address("https://h/a)b](c <d>") == "https://h/a%29b%5D%28c%20%3Cd%3E"


class Clone:
    """A clone of a repository with a notebook that failed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.top = folder / "clone"
        self.file = self.top / "sub" / name
        self.file.parent.mkdir(parents=True)
        cell = {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["a = 1\n", "boom"]}
        self.file.write_text(json.dumps({"cells": [cell], "nbformat": 4}, indent=1))
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", "git@github.com:o/r.git")
        self.commit()

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = ["git", "-C", str(self.top), *who, *words]
        return subprocess.run(done, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "one")

    def push(self) -> None:
        self.git("update-ref", "refs/remotes/origin/main", "HEAD")

    def run(self) -> Run:
        failure = Failure(
            category=Category.EXCEPTION,
            name="NameError",
            message="boom",
            traceback="Cell In[1], line 2\n----> 2 boom\nNameError: boom",
            signature="NameError: boom",
            cell=0,
            source="a = 1\nboom",
        )
        root = self.top / "sub"
        name = self.file.name
        return Run(
            id="r1",
            started=datetime(2026, 1, 31, 12, tzinfo=UTC),
            seconds=1.0,
            root=root,
            output_dir=self.top,
            commit=self.git("rev-parse", "HEAD"),
            host="h",
            version="1",
            python="3",
            jobs=1,
            results=(
                Result(
                    task=Task(path=name, file=self.file, why="", kernel="k"),
                    outcome=Outcome.FAILED,
                    kernel="k",
                    failures=(failure,),
                ),
            ),
            excluded=(),
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path, "a b.ipynb")


def cell(run: Run, **environ: str) -> str | None:
    (result,) = run.results
    return of_run(run, environ).cell(result, result.failures[0])


def test_a_cell_has_its_line_at_the_pushed_commit(clone: Clone) -> None:
    assert cell(clone.run()) is None  # nobody else has the commit yet
    clone.push()
    run = clone.run()
    line = clone.file.read_text().splitlines().index('    "boom"') + 1
    at = f"https://github.com/o/r/blob/{run.commit}/sub/a%20b.ipynb"
    assert cell(run) == f"{at}?plain=1#L{line}"
    assert of_run(run, {}).notebook(run.results[0]) == at
    assert of_run(run, {}).commit == f"https://github.com/o/r/commit/{run.commit}"
    assert folder(run) == "sub"


def test_an_edited_or_new_notebook_is_not_at_the_commit(clone: Clone) -> None:
    clone.push()
    clone.file.write_text(clone.file.read_text() + "\n")
    assert cell(clone.run()) is None
    clone.file.rename(clone.file.with_name("new.ipynb"))
    clone.file = clone.file.with_name("new.ipynb")
    assert cell(clone.run()) is None
    assert of_run(clone.run(), {}).commit is not None


def test_what_a_ci_checked_out_is_at_its_server(clone: Clone) -> None:
    clone.git("remote", "set-url", "origin", "https://ghe.example:8443/o/r")
    run = clone.run()
    assert cell(run, **GHES) is None
    found = cell(run, GITHUB_SHA=run.commit or "", **GHES)
    assert found is not None
    assert found.startswith(f"https://ghe.example:8443/o/r/blob/{run.commit}/sub/")


def test_a_fork_that_has_the_commit_is_linked_in_place_of_the_origin(clone: Clone) -> None:
    clone.git("remote", "add", "fork", "https://github.com/me/r.git")
    clone.git("update-ref", "refs/remotes/fork/topic", "HEAD")
    found = cell(clone.run())
    assert found is not None
    assert found.startswith("https://github.com/me/r/blob/")


def test_outside_of_a_repository_there_are_no_links(clone: Clone, tmp_path: Path) -> None:
    run = replace(clone.run(), root=tmp_path)
    assert of_run(run, {}) == Links()
    assert folder(run) is None


def links_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield text and address of each link, as a renderer of GitHub's Markdown finds them."""
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        children: list[Token] = token.children or []
        for number, child in enumerate(children):
            if child.type == "link_open":
                yield children[number + 1].content, str(child.attrs["href"])


def test_a_report_links_names_and_cells_whatever_is_in_them(tmp_path: Path) -> None:
    clone = Clone(tmp_path, ODD)
    clone.push()
    run = clone.run()
    stream = io.StringIO()
    pages = "https://nbpipe.example/collections/c"
    reporter = MarkdownReporter(links=lambda run: of_run(run, {}, pages=pages))
    reporter.report(run, stream)
    found = dict(links_in(stream.getvalue()))
    at = f"https://github.com/o/r/blob/{run.commit}/sub/H%C3%B6he%20%5B1%5D%20%28a%29%7Cb%60_%2A.ipynb"
    assert found[ODD] == at
    assert found["cells[0]"].startswith(f"{at}?plain=1#L")
    assert found["r1"] == f"{pages}/runs/r1"
    assert found[(run.commit or "")[:12]] == f"https://github.com/o/r/commit/{run.commit}"
    name = "H%C3%B6he%20%5B1%5D%20%28a%29%7Cb%60_%2A.ipynb"
    page = f"{pages}/runs/r1/notebook?path={name}"
    assert found["Executed copy, log and earlier results"] == page
    assert "Names and cells lead to the files at commit `" in stream.getvalue()


@pytest.mark.parametrize("limit", [1_000, 2_000, 5_000, 20_000, 65_000])
def test_nothing_is_cut_in_a_link_or_a_table(tmp_path: Path, limit: int) -> None:
    clone = Clone(tmp_path, ODD)
    clone.push()
    run = clone.run()
    (one,) = run.results
    many = tuple(
        replace(one, task=replace(one.task, path=f"{number}.ipynb"), outcome=outcome)
        for number in range(60)
        for outcome in (Outcome.FAILED, Outcome.FLAKY, Outcome.PASSED)
    )
    stream = io.StringIO()
    links = of_run(run, {})
    MarkdownReporter(links=lambda _: links, limit=limit).report(replace(run, results=many), stream)
    text = stream.getvalue()
    assert len(text.encode()) <= limit
    assert text.count("<details>") == text.count("</details>")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    opened = sum(each.type == "tr_open" for each in tokens)
    assert sum(each.type in {"td_open", "th_open"} for each in tokens) == 7 * opened
    assert all("](" not in (each.content or "") for each in tokens if each.type == "text")
    left = sum(int(number) for number in _left(text))
    rows = max(opened - 1, 0)
    assert rows + left == len(many) or "of this report did not fit" in text


def _left(text: str) -> list[str]:
    table = text.partition("<details><summary>All:")[2]
    return [line.split()[1] for line in table.splitlines() if line.startswith("and ")]
