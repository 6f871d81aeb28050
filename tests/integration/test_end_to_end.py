"""From `git push` to three users' spaces and their copies, every part for real.

git, a signature and a payload of others, `nbpipe serve` and the other commands as processes, Linux
accounts. Needs root, node, and `npm ci` in tests/integration/node.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.linux_users import REPOSITORY, Site, User, require
from tests.mirrors import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ("tests.integration.linux_users",)

LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""
METHODS = ["symlink", "bind"]
SECRET = "It's a Secret to Everybody"  # noqa: S105  (of these tests)
NODE = Path(__file__).parent / "node"
EXAMPLES = NODE / "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
SIGN = """
import { sign } from "@octokit/webhooks-methods";
let body = "";
for await (const chunk of process.stdin) body += chunk;
process.stdout.write(await sign(process.env.SECRET, body));
"""
WRITE = """
import errno, os, sys
folder, notebook = sys.argv[1], sys.argv[1] + "/intro.ipynb"
def tried(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "SUCCEEDED"
print(tried(open, folder + "/mine.ipynb", "x"))
print(tried(open, notebook, "r+"))
print(tried(os.chmod, notebook, 0o666))
print(tried(os.unlink, notebook))
"""


class Platform:
    """A bare origin, a curator who pushes to it, the service, and a site's users."""

    def __init__(self, site: Site, folder: Path, method: str) -> None:
        self.site = site
        self.bare = folder / "Codertocat" / "Hello-World.git"
        self.work = folder / "work"
        git("init", "--bare", "--initial-branch=main", str(self.bare))
        git("clone", str(self.bare), str(self.work))
        self.push({"README.md": "read me"})
        self.config = folder / "nbpipe.toml"
        self.config.write_text(
            f"""
            [[collection]]
            name = "notebooks-latest"
            origin = "file://{self.bare}"
            protocols = ["file"]
            root = "{site.root}"
            secrets = ["env:HOOK"]
            poll = 0
            [spaces]
            homes = ["{site.homes}/*"]
            method = "{method}"
            [webhook]
            port = 0
            """
        )
        self.log = folder / "serve.log"
        with self.log.open("wb") as log:
            self.service = subprocess.Popen(
                [*NBPIPE, "serve", "--config", str(self.config)],
                env=environ(HOOK=SECRET),
                stderr=log,
            )

    def push(self, files: dict[str, str]) -> str:
        for path, text in files.items():
            (self.work / path).write_text(text)
        git("add", "--all", cwd=self.work)
        git("commit", "-m", "change", cwd=self.work)
        git("push", "origin", "HEAD:main", cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    def beacon(self, delivery: str) -> tuple[int, dict[str, str]]:
        """Send what GitHub sends for the last push; return the status and the answer."""
        body = json.dumps(payload(self.work)).encode()
        request = urllib.request.Request(  # noqa: S310  (loopback)
            f"{self.address()}/webhook/notebooks-latest",
            body,
            {
                "Content-Type": "application/json",
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": delivery,
                "X-Hub-Signature-256": signature(body),
            },
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310  (likewise)
            return answer.status, json.load(answer)

    def health(self) -> dict[str, Any]:
        token = (self.site.root / ".nbpipe/.pages/token").read_text().strip()
        request = urllib.request.Request(  # noqa: S310  (loopback)
            f"{self.address()}/health", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310  (likewise)
            health: dict[str, Any] = json.load(answer)["collections"]["notebooks-latest"]
        return health

    def address(self) -> str:
        found = re.search(r"Listening on (http://127\.0\.0\.1:\d+)", self.log.read_text())
        assert found, self.log.read_text()
        return found[1]

    def started(self) -> bool:
        assert self.service.poll() is None, self.log.read_text()
        return "Listening on" in self.log.read_text()

    def nbpipe(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NBPIPE, *words, "--config", str(self.config)],
            env=environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    def seen(self, name: str) -> list[str]:
        """Return what every user reads in their space."""
        return [
            user.run("cat", user.home / "notebooks-latest" / name).stdout
            for user in self.site.users
        ]


NBPIPE = [sys.executable, "-m", "nbpipe"]


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


def git(*words: str, cwd: Path | None = None) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(
        ["git", *who, *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def payload(work: Path) -> dict[str, Any]:
    """Return GitHub's own example of a push, with the branch and commits of the working copy."""
    events = json.loads(EXAMPLES.read_bytes())
    pushes = next(event["examples"] for event in events if event["name"] == "push")
    example: dict[str, Any] = next(one for one in pushes if one["ref"] == "refs/heads/master")
    before, after = git("rev-list", "--max-count=2", "--reverse", "HEAD", cwd=work).split()
    commit = {**example["head_commit"], "id": after}
    example.update(ref="refs/heads/main", before=before, after=after, created=False)
    example.update(head_commit=commit, commits=[commit])
    return example


def signature(body: bytes) -> str:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", SIGN],
        cwd=NODE,
        env=environ(SECRET=SECRET),
        input=body,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


@pytest.fixture(params=METHODS)
def platform(site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A service that has published the first commit, and spaces that show it."""
    require("signing needs node", met=shutil.which("node") is not None)
    require(f"{EXAMPLES} is missing", met=EXAMPLES.is_file())
    if request.param == "bind":
        tried = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
        require("mounting needs CAP_SYS_ADMIN", met=tried.returncode == 0)
    made = Platform(site, tmp_path, request.param)
    try:
        wait_until(made.started)
        wait_until((site.root / "notebooks-latest/current/README.md").exists)
        done = made.nbpipe("space", "sync")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("\n3 created\n")
        yield made
        made.service.terminate()
        assert made.service.wait(LIMIT) == 0, made.log.read_text()
        assert SECRET not in made.log.read_text()
    finally:
        made.service.kill()
        made.service.wait()


def getlatest(user: User, python: Path) -> dict[str, Any]:
    """Run the console script as that user; return its report."""
    done = user.run(python.with_name("getlatest"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_push_and_its_beacon_appear_in_every_space_where_nobody_can_write(
    platform: Platform, request: pytest.FixtureRequest
) -> None:
    assert platform.seen("README.md") == ["read me"] * 3
    platform.push({"intro.ipynb": "first"})
    assert platform.beacon("one") == (202, {"status": "accepted"})
    wait_until(lambda: platform.seen("intro.ipynb") == ["first"] * 3)
    # An open for writing is judged by the file's mode before the mount's is looked at.
    refused = {
        "symlink": ["EACCES", "EACCES", "EPERM", "EACCES"],
        "bind": ["EROFS", "EACCES", "EROFS", "EROFS"],
    }
    for user in platform.site.users:
        done = user.run("/usr/bin/python3", "-c", WRITE, user.home / "notebooks-latest")
        assert done.stderr == ""
        assert done.stdout.split() == refused[request.node.callspec.params["platform"]]
    done = platform.nbpipe("space", "check", "--all")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "3 spaces checked, 0 wrong")


def test_a_second_push_updates_the_copies_and_keeps_an_edited_notebook(
    platform: Platform, user_python: Path
) -> None:
    platform.push({"intro.ipynb": "first", "plots.ipynb": "first"})
    assert platform.beacon("one") == (202, {"status": "accepted"})
    wait_until(lambda: platform.seen("intro.ipynb") == ["first"] * 3)
    for user in platform.site.users:
        report = getlatest(user, user_python)
        assert report["added"] == ["README.md", "intro.ipynb", "plots.ipynb"]
        written = user.run("sh", "-c", "echo more >> notebooks/README.md && touch notebooks/own")
        assert (written.returncode, written.stderr) == (0, "")
    editor = platform.site.users[0]
    assert editor.run("sh", "-c", "printf mine > notebooks/intro.ipynb").returncode == 0
    commit = platform.push({"intro.ipynb": "second", "plots.ipynb": "second"})
    assert platform.beacon("two") == (202, {"status": "accepted"})
    wait_until(lambda: platform.seen("intro.ipynb") == ["second"] * 3)
    reports = [getlatest(user, user_python) for user in platform.site.users]
    beside = f"intro__{commit[:7]}.ipynb"
    assert reports[0]["updated"] == ["plots.ipynb"]
    assert reports[0]["beside"] == [{"path": "intro.ipynb", "as": beside}]
    assert reports[1]["updated"] == ["intro.ipynb", "plots.ipynb"]
    own = {"README.md": "read memore\n", "own": "", "plots.ipynb": "second"}
    copies = [tree(user.home / "notebooks") for user in platform.site.users]
    assert copies[0] == {**own, "intro.ipynb": "mine", beside: "second"}
    assert copies[1:] == [{**own, "intro.ipynb": "second"}] * 2


def test_a_beacon_does_not_undo_a_rollback_until_it_is_unpinned(platform: Platform) -> None:
    first = platform.push({"intro.ipynb": "first"})
    platform.beacon("one")
    wait_until(lambda: platform.seen("intro.ipynb") == ["first"] * 3)
    platform.push({"intro.ipynb": "broken"})
    platform.beacon("two")
    wait_until(lambda: platform.health()["current"] == platform.health()["wanted"] != first)
    done = platform.nbpipe("release", "rollback", "--reason", "plots are broken")
    assert (done.returncode, done.stderr) == (0, "")
    assert platform.seen("intro.ipynb") == ["first"] * 3
    third = platform.push({"intro.ipynb": "mended"})
    assert platform.beacon("three") == (202, {"status": "accepted"})
    wait_until(lambda: platform.health()["wanted"] == third)
    assert platform.health()["pinned"] == platform.health()["current"] == first
    assert platform.seen("intro.ipynb") == ["first"] * 3
    done = platform.nbpipe("release", "unpin")
    assert (done.returncode, done.stderr) == (0, "")
    assert platform.seen("intro.ipynb") == ["mended"] * 3


def test_a_replayed_delivery_is_a_duplicate_and_does_no_work(platform: Platform) -> None:
    first = platform.push({"intro.ipynb": "first"})
    assert platform.beacon("one") == (202, {"status": "accepted"})
    wait_until(lambda: platform.health()["wanted"] == first)
    second = platform.push({"intro.ipynb": "second"})
    assert platform.beacon("one") == (202, {"status": "duplicate"})
    assert platform.health()["wanted"] == first
    assert platform.beacon("two") == (202, {"status": "accepted"})
    wait_until(lambda: platform.health()["wanted"] == second)
