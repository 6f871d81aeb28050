"""The disk, the network and the rights, each failing in its own way."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbpipe
from nbpipe.errors import ConfigError
from nbpipe.publishing.health import State
from nbpipe.publishing.reconcile import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, Any]]

PACKAGE = Path(nbpipe.__file__).parents[1]


def needs_root() -> None:
    if os.geteuid() != 0:
        if os.environ.get("NBPIPE_REQUIRE") == "all":
            pytest.fail("needs root")
        pytest.skip("needs root: a file system of its own, another user")


@pytest.mark.parametrize("protocol", ["http", "git"])
def test_an_origin_that_never_answers_is_given_up_in_time(
    follow: Follow, silent: int, protocol: str
) -> None:
    worker = follow(
        origin=f"{protocol}://127.0.0.1:{silent}/a/b.git", protocols=(protocol,), fetch_timeout=1.0
    )

    outcome = worker.reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert "nothing arrived for 1 s" in (outcome.error or "")
    assert not (worker.mirror.state / "fetch.pid").exists()
    assert worker.health().state is State.STALE


def test_the_low_speed_limit_ends_a_crawling_fetch(follow: Follow, silent: int) -> None:
    worker = follow(
        origin=f"http://127.0.0.1:{silent}/a/b.git", protocols=("http",), low_speed_time=1
    )

    outcome = worker.reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert "too slow" in (outcome.error or "") or "low speed" in (outcome.error or "").lower()


def test_a_closed_port_is_unreachable(follow: Follow) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    worker = follow(origin=f"http://127.0.0.1:{port}/a/b.git", protocols=("http",))

    assert worker.reconcile_once().result is Result.UNREACHABLE


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 3 MB."""
    needs_root()
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,nr_inodes=2000", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        if os.environ.get("NBPIPE_REQUIRE") == "all":
            pytest.fail(f"cannot mount: {done.stderr.decode()}")
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_the_last_release_and_heals_when_there_is_room(
    origin: Origin, follow: Follow, small: Path
) -> None:
    first = origin.publish({"a": b"1"})
    worker = follow(root=str(small))
    worker.reconcile_once()
    filler = small / "filler"
    origin.publish({"a": b"2", "big": os.urandom(1_000_000)})
    with filler.open("wb") as file:
        file.write(b"x" * (1_500_000))

    full = [worker.reconcile_once() for _ in range(2)]

    assert {outcome.result for outcome in full} == {Result.FAILED}
    assert {outcome.current for outcome in full} == {first}
    assert "No space left on device" in (full[0].error or "")
    assert (worker.mirror.link / "a").read_bytes() == b"1"
    assert worker.health().state is State.FAILING
    filler.unlink()
    second = origin.publish({"a": b"3"})
    assert worker.reconcile_once().current == second
    assert worker.health().state is State.OK


def test_no_inodes_left_keeps_the_last_release(origin: Origin, follow: Follow, small: Path) -> None:
    first = origin.publish({"a": b"1"})
    worker = follow(root=str(small))
    worker.reconcile_once()
    origin.publish({f"d{number}/f": b"x" for number in range(2000)})

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.FAILED, first)
    assert list((worker.mirror.state / "building").iterdir()) == []


def test_a_file_with_all_its_links_gets_a_second_copy(
    origin: Origin, follow: Follow, look: Look
) -> None:
    worker = follow(max_links=4)
    files = {f"empty{number}": b"" for number in range(10)} | {"a": b"1"}
    origin.publish(files)
    worker.reconcile_once()
    origin.publish(files | {"b": b"2"})

    outcome = worker.reconcile_once()

    assert outcome.result is Result.PUBLISHED
    assert look(worker.mirror.link) == files | {"b": b"2"}
    links = [path.lstat().st_nlink for path in worker.mirror.releases_folder.rglob("empty*")]
    assert max(links) <= 4


def test_the_limit_of_the_file_system_itself_is_survived(origin: Origin, follow: Follow) -> None:
    oid = origin.blob(b"")
    folder = origin.tree(*(("100644", f"e{number:05}".encode(), oid) for number in range(33_000)))
    origin.push(origin.tree(("40000", b"x", folder), ("40000", b"y", folder)))
    worker = follow()

    outcome = worker.reconcile_once()

    assert outcome.result is Result.PUBLISHED
    assert sum(1 for _ in worker.mirror.link.joinpath("y").iterdir()) == 33_000


def test_a_service_without_root_rights_does_all_of_it(origin: Origin, tmp_path: Path) -> None:
    needs_root()
    top = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(top) and folder != top:
            folder.chmod(0o755)
    root = tmp_path / "srv"
    root.mkdir()
    os.chown(root, 65534, 65534)
    first = origin.publish({"a": b"1", "sub/b": b"2"})
    second = origin.commit(origin.files({"a": b"3", "sub/b": b"2"}), parent=first)
    # All that is needed is imported first: the interpreter may lie where only root can read.
    code = f"""
import ctypes, encodings.ascii, os, sys
import git.cmd, psutil
from nbpipe.config.settings import CollectionSettings, Keep
from nbpipe.publishing.releases import operations as releases
from nbpipe.publishing.reconcile import Reconciler
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
worker = Reconciler(CollectionSettings(
    name="nb", origin=sys.argv[1], root=sys.argv[2], protocols=("file",),
    keep=Keep(releases=1, days=0)))
print(worker.reconcile_once().current)
print(releases.rollback(worker.publisher, "{first}"))
link = worker.mirror.link / "sub"
os.chmod(link, 0o755); os.unlink(link / "b"); os.chmod(link, 0o555)
print([each.repaired for each in releases.verify(worker.publisher)].count(True))
print([bool(each.damages) for each in releases.verify(worker.publisher)].count(True))
print(releases.unpin(worker.publisher))
releases.gc(worker.publisher)
worker.publisher.close()
"""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE), "HOME": "/nonexistent"}

    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, str(origin.path), str(root)],
            env=environ,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run() == [first, first, "1", "0", "True"]
    origin.git("update-ref", "refs/heads/main", second)
    assert run() == [second, first, "1", "0", "True"]
    assert [path.name for path in (root / "nb" / "releases").iterdir()] == [first]


def test_two_processes_at_once_are_put_in_order(origin: Origin, follow: Follow) -> None:
    heads = [origin.publish({"n": str(number).encode()}) for number in range(2)]
    workers = [follow() for _ in range(4)]
    outcomes: list[Result] = []
    threads = [
        threading.Thread(target=lambda each=each: outcomes.append(each.reconcile_once().result))
        for each in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["published", "unchanged", "unchanged", "unchanged"]
    assert workers[0].mirror.current() == heads[-1]


def test_a_token_is_in_no_log_error_journal_or_health(
    follow: Follow, tmp_path: Path, caplog: pytest.LogCaptureFixture, silent: int
) -> None:
    caplog.set_level(logging.DEBUG)
    token = "hunter2/&secret"  # noqa: S105  (nobody's)
    (tmp_path / "token").write_text(token)
    worker = follow(
        origin=f"http://127.0.0.1:{silent}/a/b.git",
        protocols=("http",),
        token=f"file:{tmp_path}/token",
        fetch_timeout=0.5,
    )

    outcome = worker.reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    for text in (str(outcome), caplog.text, json.dumps(str(worker.health()))):
        assert "hunter2" not in text
    state = [path for path in worker.mirror.state.rglob("*") if path.is_file()]
    assert not [path for path in state if b"hunter2" in path.read_bytes()]


def test_the_askpass_helper_answers_for_the_origin_only(follow: Follow, silent: int) -> None:
    worker = follow(
        origin=f"http://127.0.0.1:{silent}/a/b.git", protocols=("http",), fetch_timeout=0.5
    )
    worker.reconcile_once()
    environ = {
        "NBPIPE_ORIGIN_HOST": "git.example.org",
        "NBPIPE_ORIGIN_USER": "user",
        "NBPIPE_ORIGIN_TOKEN": "token",
    }

    def ask(question: str) -> str:
        program = str(worker.mirror.state / "askpass")
        done = subprocess.run(
            [program, question], env=environ, capture_output=True, text=True, check=False
        )
        return done.stdout

    assert ask("Username for 'https://git.example.org': ") == "user\n"
    assert ask("Password for 'https://user@git.example.org': ") == "token\n"
    assert ask('Password for "https://user@git.example.org"') == "token\n"
    assert ask('Password for "https://user@evil.example.org"') == ""
    assert ask("Password for 'https://user@evil.example.org': ") == ""
    assert ask("Password for 'https://git.example.org@evil.org': ") == ""


def test_a_password_in_the_origin_is_refused_at_once(follow: Follow) -> None:
    with pytest.raises(ConfigError) as caught:
        follow(origin="https://user:hunter2@example.org/a/b", protocols=("https",))

    assert "hunter2" not in str(caught.value)
