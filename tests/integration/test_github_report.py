"""A run told on GitHub, by a server that holds every request against GitHub's own description."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from githubs import (
    INSTALLED,
    REPOSITORY,
    SHA,
    TOKEN,
    UNDISTURBED,
    Fault,
    Github,
    report,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ondisk import Collection

LIMITED = {"message": "You have exceeded a secondary rate limit."}


@pytest.fixture
def github() -> Iterator[Github]:
    with serving() as server:
        yield server


class Told:
    """`nbpipe github` for one commit, in a collection with a good and a bad notebook."""

    def __init__(self, collection: Collection, github: Github, folder: Path) -> None:
        self.collection = collection
        self.github = github
        self.folder = folder
        self.environ = {
            "GITHUB_API_URL": github.url,
            "GITHUB_TOKEN": TOKEN,
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def use_app(self) -> None:
        key = self.folder / "key.pem"
        key.write_text(self.github.pem)
        text = f'[github]\napp = "Iv1.a"\nkey = "file:{key}"\n'
        (self.collection.root / "nbpipe.toml").write_text(text)

    def command(self, *words: str, sha: str = SHA) -> list[str]:
        name, *rest = words
        about = ["--repo", REPOSITORY, "--sha", sha]
        return [sys.executable, "-m", "nbpipe", "github", name, *about, *rest]

    def __call__(self, *words: str, code: int = 0, sha: str = SHA) -> tuple[str, str]:
        done = subprocess.run(
            self.command(*words, sha=sha),
            cwd=self.collection.root,
            env=self.collection.environment | self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert TOKEN not in said
        assert INSTALLED not in said
        assert done.returncode == code, said
        return done.stdout, done.stderr


@pytest.fixture
def told(collection: Collection, github: Github, tmp_path: Path) -> Told:
    return Told(collection, github, tmp_path)


def test_a_run_of_the_history_becomes_a_commit_status(told: Told) -> None:
    told.collection.notebook("good.ipynb", "1")
    told.collection.notebook("bad.ipynb", "1/0")
    told.collection.environ = told.environ
    assert told.collection.test().code == 1
    out, _ = told("report", "latest")
    assert out.startswith("failure, 1 passed, 1 failed in ")
    (status,) = told.github.statuses
    assert (status["state"], status["context"]) == ("failure", "nbpipe")
    assert status["description"].startswith("1 passed, 1 failed in ")


def test_start_is_pending_until_the_report(told: Told) -> None:
    told("start")
    assert [each["state"] for each in told.github.statuses] == ["pending"]
    told("report", str(report(told.folder / "r.json", 0)))
    assert [each["state"] for each in told.github.statuses] == ["pending", "success"]


def test_an_app_makes_a_check_run_with_an_annotation_at_the_cells_line(told: Told) -> None:
    told.use_app()
    told.collection.notebook("bad.ipynb", "x = 1", "y = 2\n1/0")
    told.collection.environ = told.environ
    assert told.collection.test().code == 1
    told("report", str(told.collection.report_path))
    (check,) = told.github.checks
    assert (check["status"], check["conclusion"]) == ("completed", "failure")
    assert check["output"]["summary"].startswith("## ❌ nbpipe: 1 failed")
    lines = (told.collection.root / "bad.ipynb").read_text().splitlines()
    (annotation,) = told.github.annotations
    assert annotation["path"] == "bad.ipynb"
    assert annotation["start_line"] == lines.index('    "1/0"') + 1
    assert annotation["message"] == "exception in cells[1]: ZeroDivisionError: division by zero"
    posted = [each.body for each in told.github.requests if each.path.endswith("/access_tokens")]
    assert posted == [{"repositories": ["notebooks"], "permissions": {"checks": "write"}}]


def test_a_run_of_the_history_finds_the_line_in_the_commit(told: Told) -> None:
    told.use_app()
    file = told.collection.notebook("sub/bad.ipynb", "x = 1", "y = 2\n1/0")
    line = file.read_text().splitlines().index('    "1/0"') + 1
    git = ["git", "-C", str(told.collection.root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "sub"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], check=True)
    sha = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    told.collection.environ = told.environ
    assert told.collection.test().code == 1
    file.write_text("changed since")
    told("report", "latest", sha=sha)
    (annotation,) = told.github.annotations
    assert (annotation["path"], annotation["start_line"]) == ("sub/bad.ipynb", line)
    summary = told.github.checks[0]["output"]["summary"]
    assert f"/blob/{sha}/sub/bad.ipynb?plain=1#L{line})" in summary
    assert told.github.checks[0]["head_sha"] == sha


def test_a_comment_leads_to_the_run_the_report_and_the_cell(told: Told) -> None:
    """What the workflow that reports knows: a report and addresses, and no clone."""
    told.use_app()
    file = report(told.folder / "r.json", 1, folder="sub/nb")
    page = "https://github.example/octo-org/notebooks/actions/runs/17"
    told(
        *("report", str(file), "--comment", "42"),
        *("--url", page, "--artifact", f"{page}/artifacts/3"),
    )
    (comment,) = told.github.comments
    at = f"{told.github.url}/{REPOSITORY}/blob/{SHA}/sub/nb/n0.ipynb"
    for text in (comment["body"], told.github.checks[0]["output"]["summary"]):
        assert f"[`20260131T120000-a3e82e`]({page})" in text
        assert f"open index.html]({page}/artifacts/3)" in text
        assert f"**[`n0.ipynb`]({at})** [`cells[2]`]({at}?plain=1#L17)" in text
    assert told.github.annotations[0]["path"] == "sub/nb/n0.ipynb"


@pytest.mark.parametrize("folder", ["../x", "/etc", "a/../../b"])
def test_a_folder_that_leads_out_of_the_repository_is_refused(told: Told, folder: str) -> None:
    _, said = told("report", str(report(told.folder / "r.json", 1, folder=folder)), code=4)
    assert "not a folder of the repository" in said


@pytest.mark.parametrize("count", [0, 1, 50, 51, 130])
def test_annotations_go_in_batches_of_fifty_and_none_is_lost(told: Told, count: int) -> None:
    told.use_app()
    told("report", str(report(told.folder / "r.json", count)))
    sent = [
        len(each.body["output"].get("annotations", ()))
        for each in told.github.requests
        if each.method == "PATCH"
    ]
    assert sent == {0: [0], 1: [1], 50: [50], 51: [50, 1], 130: [50, 50, 30]}[count]
    assert len({each["path"] for each in told.github.annotations}) == count
    assert told.github.checks[0]["status"] == "completed"


def test_two_thousand_failures_fit_into_githubs_limits(told: Told) -> None:
    told.use_app()
    told("report", str(report(told.folder / "r.json", 2000)), "--comment", "42")
    assert len(told.github.annotations) == 500
    summary = told.github.checks[0]["output"]["summary"]
    assert len(summary) <= 65_535
    assert summary.endswith("1,500 more annotations would not fit.\n")
    assert len(told.github.comments[0]["body"]) <= 65_536


def test_the_comment_is_found_again_and_never_taken_from_somebody_else(told: Told) -> None:
    stranger = {"login": "stranger", "type": "User"}
    for _ in range(120):  # more than a page
        told.github.add_comment("<!-- nbpipe:nbpipe -->\nmine, believe me", stranger)
    told("report", str(report(told.folder / "r.json", 1)), "--comment", "42")
    told("report", str(report(told.folder / "r.json", 0)), "--comment", "42")
    assert len(told.github.comments) == 121
    assert told.github.comments[0]["body"].endswith("believe me")
    assert "## ⏭️ nbpipe: no notebooks" in told.github.comments[-1]["body"]


def test_an_app_finds_its_comment_again(told: Told) -> None:
    told.use_app()
    for failures in (1, 0):
        told("report", str(report(told.folder / "r.json", failures)), "--comment", "42")
    assert len(told.github.comments) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(),
        Fault(status=502, body={"message": "Server Error"}),
        Fault(status=429, headers={"retry-after": "1"}, body=LIMITED),
        Fault(status=403, headers={"retry-after": "1"}, body=LIMITED),
        Fault(done=True),
        Fault(status=504, done=True),
    ],
    ids=["cut", "502", "429", "403", "done and cut", "done and 504"],
)
@pytest.mark.parametrize("which", [1, 2, 3])
def test_what_github_forgets_or_does_unseen_is_done_once(
    told: Told, fault: Fault, which: int
) -> None:
    told.use_app()
    told.environ["GITHUB_TOKEN"] = ""
    # two requests for the App's token and the look; then: create, 50 annotations, the end
    told.github.faults.extend([UNDISTURBED] * (2 + which) + [fault])
    told("report", str(report(told.folder / "r.json", 60)))
    assert [each["status"] for each in told.github.checks] == ["completed"]
    assert len(told.github.annotations) == 60


def test_a_limit_that_ends_too_late_is_told_with_its_end(told: Told) -> None:
    reset = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 5000)}
    body = {"message": "API rate limit exceeded"}
    told.github.faults.append(Fault(status=403, headers=reset, body=body))
    _, err = told("report", str(report(told.folder / "r.json", 0)), code=1)
    assert re.search(r"403 API rate limit exceeded; it asks to wait \d,\d{3} s", err)
    assert len(told.github.requests) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "is not accepted"), (404, "does not see it"), (422, "does not know that commit")],
)
def test_a_no_is_told_with_what_to_do_and_not_asked_again(
    told: Told, status: int, said: str
) -> None:
    told.github.faults.append(Fault(status=status, body={"message": "No."}))
    _, err = told("report", str(report(told.folder / "r.json", 0)), code=1)
    assert f"{status} No." in err
    assert said in err
    assert len(told.github.requests) == 1


def test_run_tells_the_beginning_and_the_end_and_keeps_the_token_from_notebooks(
    told: Told,
) -> None:
    told.collection.notebook("a.ipynb", "import os\nassert 'GITHUB_TOKEN' not in os.environ")
    told("run", "--", "--output-dir", str(told.folder / "out"), "a.ipynb")
    states = [each["state"] for each in told.github.statuses]
    assert states == ["pending", "success"]


@pytest.mark.parametrize(
    ("pattern", "code", "reason"),
    [("nosuch.ipynb", 4, "wrong usage"), ("nosuch/*", 5, "no notebook was chosen")],
)
def test_run_without_a_notebook_is_a_failure_with_its_reason(
    told: Told, pattern: str, code: int, reason: str
) -> None:
    told("run", "--", pattern, code=code)
    assert told.github.statuses[-1]["state"] == "failure"
    assert reason in told.github.statuses[-1]["description"]


def test_an_outage_keeps_no_notebook_from_running(told: Told) -> None:
    told.collection.notebook("a.ipynb", "open('ran', 'w').close()")
    (told.collection.root / "nbpipe.toml").write_text("[github]\npatience = 0.5\n")
    told.github.faults.extend([Fault(status=503)] * 10)
    _, err = told("run", "--", "--output-dir", str(told.folder / "out"), code=1)
    assert "warning: not reported to GitHub: POST " in err
    assert (told.collection.root / "ran").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_by_a_signal_is_cancelled(told: Told, number: int) -> None:
    started = told.collection.root / "started"
    told.collection.notebook(
        "a.ipynb", "open('started', 'w').close()\nimport time; time.sleep(600)"
    )
    process = running(told)
    wait_for(started, process)
    process.send_signal(number)
    assert process.wait(120) == 2
    assert [each["state"] for each in told.github.statuses] == ["pending", "error"]


def test_what_a_killed_run_left_pending_is_ended_by_the_next_one(told: Told) -> None:
    started = told.collection.root / "started"
    told.collection.notebook(
        "a.ipynb",
        "import os\nopen('started', 'w').write(str(os.getppid()))\nimport time\ntime.sleep(9)",
    )
    process = running(told)
    wait_for(started, process)
    left = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(60)
    _, alive = psutil.wait_procs(left, timeout=120)
    assert alive == []
    assert [each["state"] for each in told.github.statuses] == ["pending"]
    (told.collection.root / "a.ipynb").unlink()
    _, err = told("start", "--name", "another")
    assert f"ended what a run left open: nbpipe on {REPOSITORY}@{SHA[:12]}" in err
    states = [(each["context"], each["state"]) for each in told.github.statuses]
    assert states == [("nbpipe", "pending"), ("nbpipe", "error"), ("another", "pending")]


def running(told: Told) -> subprocess.Popen[bytes]:
    words = told.command("run", "--", "--output-dir", str(told.folder / "out"), "--no-fork")
    return subprocess.Popen(
        words, cwd=told.collection.root, env=told.collection.environment | told.environ
    )


def wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "nosuch.json"], "nosuch.json: not found"),
        (["report", "nosuch", "--sha", "HEAD"], "--sha head: not the full id of a commit"),
        (["report", "nosuch", "--repo", "x"], "--repo x: not a repository"),
    ],
)
def test_a_wrong_word_is_told_before_anything_is_sent(
    told: Told, words: list[str], said: str
) -> None:
    assert said in told(*words, code=4)[1]
    assert told.github.requests == []


def test_a_token_goes_to_no_open_line_and_no_redirect(told: Told) -> None:
    told.github.faults.append(Fault(status=301, headers={"location": f"{told.github.url}/x"}))
    _, err = told("report", str(report(told.folder / "r.json", 0)), code=1)
    assert "renamed or moved" in err
    told.environ["GITHUB_API_URL"] = "http://github.example.org/api/v3"
    _, err = told("report", str(report(told.folder / "r.json", 0)), code=4)
    assert "a token is sent by https only" in err
    assert len(told.github.requests) == 1


def test_the_server_knows_a_wrong_request(github: Github) -> None:
    from githubs import Request, problems  # noqa: PLC0415

    path = f"/repos/{REPOSITORY}/statuses/{SHA}"
    wrong = problems(Request("POST", path, {}, {"state": "done", "x": 1}, dict(os.environ)))
    assert len(wrong) == 6
    assert any("done" in each for each in wrong)
    assert any("the key x is unknown" in each for each in wrong)
