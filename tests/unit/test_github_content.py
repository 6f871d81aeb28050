from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from githubs import report
from pasts import FAILURE, START, result

from nbpipe.config.settings import GithubSettings
from nbpipe.errors import ConfigError, UsageError
from nbpipe.github.begun import Begun, Folder, began
from nbpipe.github.client import Clock
from nbpipe.github.connection import check_names, connect, kind_of
from nbpipe.github.content import compose, short
from nbpipe.github.credentials import AppKey, Token
from nbpipe.github.patience import ATTEMPTS, Trouble, pause
from nbpipe.github.places import Places
from nbpipe.github.runs import from_report
from nbpipe.model import Result, Run

NOW = 1_800_000_000.0
CLOCK = Clock(now=lambda: NOW, sleep=lambda _: None)
NOWHERE = Places(Path("/nowhere"), "0" * 40, {})


def run(*results: Result, interrupted: bool = False) -> Run:
    return Run(
        id="r",
        started=START,
        seconds=1.0,
        root=Path("/c"),
        output_dir=Path("/out"),
        commit=None,
        host="h",
        version="1",
        python="3",
        jobs=1,
        results=results,
        excluded=(),
        interrupted=interrupted,
    )


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (429, {"retry-after": "7"}, "", 7.0),
        (403, {"retry-after": "7"}, "", 7.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW + 9:.0f}"}, "", 10.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "", 1.0),
        (403, {}, "You have exceeded a secondary rate limit.", 60.0),
        (429, {"retry-after": "soon"}, "", 60.0),
        (500, {}, "", 1.0),
        (503, {"retry-after": "30"}, "", 30.0),
        (None, {}, "", 1.0),
        (403, {"x-ratelimit-remaining": "12"}, "Resource not accessible", None),
        (404, {}, "", None),
        (422, {}, "", None),
    ],
)
def test_how_long_to_wait_is_what_github_says(
    status: int | None, headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert pause(Trouble(status=status, message=message, headers=headers), 1, NOW) == seconds


def test_waiting_grows_and_has_an_end() -> None:
    outage = Trouble(status=502, message="")
    assert [pause(outage, n, NOW) for n in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
    assert pause(outage, ATTEMPTS, NOW) is None
    limit = Trouble(status=429, message="")
    assert [pause(limit, n, NOW) for n in (1, 2, 3)] == [60.0, 120.0, 240.0]


@pytest.mark.parametrize(
    ("outcomes", "flaky", "conclusion"),
    [
        (["passed"], "pass", "success"),
        (["passed", "flaky"], "pass", "success"),
        (["passed", "flaky"], "fail", "failure"),
        (["passed", "failed"], "pass", "failure"),
        (["skipped"], "pass", "neutral"),
        ([], "pass", "neutral"),
    ],
)
def test_a_conclusion_follows_the_outcomes(
    outcomes: list[str], flaky: str, conclusion: str
) -> None:
    results = [result(f"{number}.ipynb", each) for number, each in enumerate(outcomes)]
    assert compose(run(*results), NOWHERE, flaky=flaky).conclusion == conclusion


def test_an_interrupted_run_is_cancelled_whatever_failed() -> None:
    content = compose(run(result("a.ipynb", "failed"), interrupted=True), NOWHERE)
    assert content.conclusion == "cancelled"


def test_a_failure_is_annotated_and_a_flaky_one_only_warned_about() -> None:
    results = [result("a.ipynb", "flaky", attempts=2), result("b.ipynb", "failed")]
    failed, flaky = compose(run(*results), NOWHERE).annotations
    assert (failed.path, failed.line, failed.level) == ("b.ipynb", 1, "failure")
    assert failed.title == "b.ipynb: ModuleNotFoundError: No module named 'x'"
    assert failed.message.startswith("missing-package in cells[3]: ModuleNotFoundError: No module")
    assert (flaky.path, flaky.level) == ("a.ipynb", "warning")
    assert flaky.message.endswith("\npassed at attempt 2")


def test_a_notebook_outside_of_the_repository_has_no_annotation() -> None:
    results = [result(path, "failed") for path in ("/home/a.ipynb", "../b.ipynb")]
    assert compose(run(*results), NOWHERE).annotations == ()


def test_gigantic_hostile_text_stays_in_the_limits() -> None:
    failure = replace(FAILURE, message="\x1b]0;x\x07🚀`" * 400_000, signature="s" * 3000)
    results = [result(f"{n}.ipynb", "failed", failures=(failure,)) for n in range(12)]
    content = compose(run(*results), NOWHERE)
    assert len(content.summary) <= 65_535
    for each in content.annotations:
        assert len(each.title) <= 255
        assert len(each.message.encode()) <= 64 * 1024
        assert len(each.details.encode()) <= 64 * 1024
        assert "\x1b" not in each.message


def test_a_description_is_cut_where_it_is_too_long() -> None:
    assert short("a" * 200, 140) == "a" * 139 + "…"
    assert short("two\nlines", 140) == "two"


@pytest.mark.parametrize("name", ["x", "a/b/c", "../b", "a/..", "a b/c", "a/b\n", "a/b?c"])
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a repository"):
        check_names(name, "0" * 40)


@pytest.mark.parametrize("sha", ["", "HEAD", "0123456", "g" * 40, "0" * 41])
def test_what_is_no_commit_is_refused(sha: str) -> None:
    with pytest.raises(UsageError, match="full id"):
        check_names("a/b", sha)


@pytest.mark.parametrize(
    ("settings", "environ", "said"),
    [
        ({}, {}, "no token"),
        ({"token": "ghp_typed"}, {}, "env:NAME or file:PATH"),
        ({"token": "env:NONE"}, {}, "the secret env:NONE is empty"),
        ({"token": "env:T"}, {"T": "two words"}, "holds is not a token"),
        ({"token": "env:T"}, {"T": "a\nb"}, "holds is not a token"),
        ({"app": "Iv1.a"}, {}, "app: is set without key"),
        ({"key": "env:K"}, {}, "key: is set without app"),
        ({"api_url": "http://ghe.example/api/v3"}, {"GITHUB_TOKEN": "t"}, "by https only"),
    ],
)
def test_a_credential_that_cannot_be_is_told_without_it(
    settings: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        connect(GithubSettings(**settings), "a/b", environ=environ, clock=CLOCK)
    assert "ghp_typed" not in str(caught.value)


def test_an_app_makes_check_runs_and_a_token_statuses() -> None:
    assert kind_of(GithubSettings()) == "status"
    assert kind_of(GithubSettings(app="Iv1.a", key="env:K")) == "check"
    assert kind_of(GithubSettings(kind="check")) == "check"


def test_a_key_that_is_none_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="not a private RSA key") as caught:
        AppKey(app="Iv1.a", pem="-----BEGIN secret", clock=CLOCK).bearer()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_shows_a_token() -> None:
    app = AppKey(app="Iv1.a", pem="topsecret", clock=CLOCK)
    assert "topsecret" not in repr([Token("topsecret"), app])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', "null", '{"format": 1, "run": 1, "notebooks": [1]}'],
)
def test_what_is_no_report_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"r\.json: not the report of a run") as caught:
        from_report(file, tmp_path)
    assert len(str(caught.value)) < 500


PAST = {"outcome": "passed", "run": "r-1", "commit": None, "runs": 3, "row": 2}
PAST |= {"flakiness": 0.5, "seconds": 1.0}


def with_past(file: Path, past: dict[str, Any]) -> Path:
    """Write a report of one failure with what was before."""
    document = json.loads(report(file, 1).read_text())
    document["notebooks"][0]["past"] = past
    file.write_text(json.dumps(document))
    return file


def test_an_annotation_tells_what_was_before(tmp_path: Path) -> None:
    file = with_past(tmp_path / "r.json", PAST)
    (annotation,) = compose(from_report(file, tmp_path).run, NOWHERE).annotations
    last = annotation.message.splitlines()[-1]
    assert last == "it passed before (run r-1); it changed in 50 % of 3 runs"


@pytest.mark.parametrize(
    "change",
    [
        {"run": "](https://example.org) @octocat"},
        {"commit": "<img>"},
        {"run": ["r"]},
        {"outcome": "well"},
        {"seconds": float("nan")},
        {"runs": None},
    ],
)
def test_a_past_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    file = with_past(tmp_path / "r.json", PAST | change)
    with pytest.raises(UsageError, match="not the report of a run"):
        from_report(file, tmp_path)


def test_the_begun_are_abandoned_when_their_process_is_gone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    living = Begun(
        repository="a/b",
        sha="0" * 40,
        name="nbpipe",
        kind="status",
        api="x",
        at=NOW,
        process=os.getpid(),
        process_began=began(os.getpid()),
    )
    dead = Begun(**{**_fields(living), "name": "dead", "process_began": 1.0})
    folder.keep(living)
    folder.keep(dead)
    (tmp_path / "new" / "x.json").write_text(json.dumps({"no": "such"}))
    assert list(folder.abandoned(NOW)) == [dead]
    assert not (tmp_path / "new" / "x.json").exists()
    folder.forget(dead)
    assert list(folder.abandoned(NOW)) == []


def _fields(begun: Begun) -> dict[str, Any]:
    return {name: getattr(begun, name) for name in begun.__struct_fields__}
