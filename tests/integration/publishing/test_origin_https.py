"""An origin by https: a certificate, credentials, redirects, stalls and Git LFS, all real."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from gitservers import Authority, authority, git_server
from ondisk import lacking

from nbpipe.publishing.health import State
from nbpipe.publishing.reconcile import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Origin
    from gitservers import Server

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Serve = Callable[..., AbstractContextManager[Server]]
    ByHttps = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, Any]]

USER, PASSWORD = "deploy", "hunter2/&secret"
CONTENT = b"a large table " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POINTER = (
    f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(CONTENT)}\n"
).encode()


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("trust") / "authority")


@pytest.fixture
def serve(origin: Origin, trust: Authority) -> Serve:
    """Return a function that serves the origin by https, with the behaviour that is asked for."""

    @contextmanager
    def start(**behaviour: object) -> Iterator[Server]:
        with git_server(origin.path.parent, trust, **behaviour) as server:
            yield server

    return start


@pytest.fixture
def by_https(follow: Follow, trust: Authority) -> ByHttps:
    """Return a function that makes a worker which follows what a server serves."""

    def make(server: Server, **changes: object) -> Reconciler:
        settings: dict[str, object] = {
            "origin": f"{server.url}/origin.git",
            "protocols": ("https",),
            "ca_file": str(trust.file),
            "fetch_timeout": 120.0,
        }
        return follow(**settings | changes)

    return make


@pytest.fixture
def token(tmp_path: Path) -> str:
    (tmp_path / "token").write_text(PASSWORD + "\n")
    return f"file:{tmp_path}/token"


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"still not {what}"
        time.sleep(0.05)


def everything_written(worker: Reconciler) -> bytes:
    """Return all that the worker keeps beside the releases."""
    files = [path for path in worker.mirror.state.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def test_a_release_comes_by_https_from_a_host_with_an_authority_of_its_own(
    origin: Origin, serve: Serve, by_https: ByHttps, look: Look
) -> None:
    head = origin.publish({"a.ipynb": b"{}", "sub/b.txt": b"two"})

    with serve() as server:
        worker = by_https(server)
        outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.PUBLISHED, head)
    assert look(worker.mirror.link) == {"a.ipynb": b"{}", "sub/b.txt": b"two"}


def test_a_certificate_of_an_unknown_authority_is_refused_with_the_way_out(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    origin.publish({"a": b"1"})

    with serve() as server:
        outcome = by_https(server, ca_file=None).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "certificate" in (outcome.error or "")
    assert "`ca-file`" in (outcome.error or "")


def test_the_password_comes_from_a_file(
    origin: Origin, serve: Serve, by_https: ByHttps, token: str
) -> None:
    head = origin.publish({"a": b"1"})

    with serve(login=(USER, PASSWORD)) as server:
        outcome = by_https(server, username=USER, token=token).reconcile_once()

    assert outcome.current == head


def test_the_password_comes_from_a_variable(
    origin: Origin, serve: Serve, by_https: ByHttps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORIGIN_TOKEN", PASSWORD)
    head = origin.publish({"a": b"1"})

    with serve(login=("x-access-token", PASSWORD)) as server:
        outcome = by_https(server, token="env:ORIGIN_TOKEN").reconcile_once()  # noqa: S106

    assert outcome.current == head


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """An askpass program of the operator's, which answers whoever asks and writes that down."""
    file = tmp_path / "ask me"
    file.write_text(
        f"""#!/bin/sh
echo "$1" >> '{tmp_path}/asked'
case "$1" in Username*) echo '{USER}' ;; *) echo '{PASSWORD}' ;; esac
"""
    )
    file.chmod(0o755)
    return file


def test_the_password_comes_from_an_askpass_program(
    origin: Origin, serve: Serve, by_https: ByHttps, program: Path
) -> None:
    head = origin.publish({"a": b"1"})

    with serve(login=(USER, PASSWORD)) as server:
        outcome = by_https(server, askpass=str(program)).reconcile_once()

    assert outcome.current == head
    asked = program.with_name("asked").read_text().splitlines()
    assert [question.split()[0] for question in asked] == ["Username", "Password"]


@pytest.mark.parametrize("given", ["wrong", "none"])
def test_wrong_or_no_credentials_are_told_clearly_and_never_asked_for(
    origin: Origin, serve: Serve, by_https: ByHttps, tmp_path: Path, given: str
) -> None:
    head = origin.publish({"a": b"1"})
    (tmp_path / "wrong").write_text("another-one")
    with serve() as server:
        worker = by_https(server, token=f"file:{tmp_path}/wrong" if given == "wrong" else None)
        worker.reconcile_once()
        server.behaviour.login = (USER, PASSWORD)

        outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, head)
    assert "`token`" in (outcome.error or "")
    assert "another-one" not in (outcome.error or "")


def test_a_password_is_in_no_log_error_journal_or_health(  # noqa: PLR0913, PLR0917  (fixtures)
    origin: Origin,
    serve: Serve,
    by_https: ByHttps,
    token: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    origin.publish({"a": b"1"})
    with serve(login=(USER, PASSWORD)) as server:
        worker = by_https(server, username=USER, token=token)
        right = worker.reconcile_once()
        server.behaviour.login = (USER, "another")
        wrong = worker.reconcile_once()

    assert (right.result, wrong.result) == (Result.PUBLISHED, Result.UNREACHABLE)
    told = f"{right}{wrong}{worker.health()}{caplog.text}{''.join(capfd.readouterr())}"
    assert "hunter2" not in told
    assert b"hunter2" not in everything_written(worker)


def test_a_repository_that_moved_on_the_same_host_is_followed(
    origin: Origin, serve: Serve, by_https: ByHttps, token: str
) -> None:
    head = origin.publish({"a": b"1"})
    (origin.path.parent / "new").mkdir()
    (origin.path.parent / "new" / "origin.git").symlink_to(origin.path)

    with serve(login=(USER, PASSWORD)) as server:
        server.behaviour.moved = {"/origin.git": "/new/origin.git"}
        outcome = by_https(server, username=USER, token=token).reconcile_once()

    assert outcome.current == head


def test_a_redirect_to_another_host_is_refused_and_learns_no_password(
    origin: Origin, serve: Serve, by_https: ByHttps, program: Path
) -> None:
    origin.publish({"a": b"1"})
    with serve(login=(USER, "of another host")) as other, serve(redirect=other.url) as server:
        outcome = by_https(server, askpass=str(program)).reconcile_once()

        assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
        assert "redirects" in (outcome.error or "")
        assert [line for line in other.behaviour.asked if "!" in line] == []
        assert {line.split()[0] for line in other.behaviour.asked} == {"GET"}
    assert not program.with_name("asked").exists()


def test_a_redirect_to_an_open_repository_on_another_host_publishes_nothing(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    origin.publish({"a": b"1"})
    with serve() as other, serve(redirect=other.url) as server:
        outcome = by_https(server).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert f"redirects to {other.url}/origin.git" in (outcome.error or "")


def test_a_redirect_to_another_protocol_is_refused(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    origin.publish({"a": b"1"})
    with (
        git_server(origin.path.parent, None) as plain,
        serve(redirect=plain.url) as server,
    ):
        outcome = by_https(server).reconcile_once()

        assert plain.behaviour.asked == []
    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "redirects" in (outcome.error or "")


def test_a_server_that_stalls_is_given_up_and_tried_again_until_it_answers(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    first = origin.publish({"a": b"1"})
    stop = threading.Event()
    with serve() as server:
        worker = by_https(server, low_speed_time=1, stale_after=1e-6)
        worker.reconcile_once()
        second = origin.publish({"a": b"2"})
        server.behaviour.stalls.set()
        thread = threading.Thread(target=worker.run_forever, args=(stop,))
        thread.start()
        try:
            until(lambda: worker.health().failures >= 2, "tried twice")
            health = worker.health()
            server.behaviour.stalls.clear()
            until(lambda: worker.mirror.current() == second, "published")
        finally:
            stop.set()
            thread.join()

    assert (health.state, health.current) == (State.STALE, first)
    assert "too slow" in (health.error or "").lower()


def test_a_pack_that_is_torn_off_keeps_the_release_and_the_next_try_succeeds(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    first = origin.publish({"a": b"1"})
    with serve() as server:
        worker = by_https(server)
        worker.reconcile_once()
        second = origin.publish({"a": os.urandom(300_000)})
        server.behaviour.tears = True

        torn = worker.reconcile_once()
        server.behaviour.tears = False
        whole = worker.reconcile_once()

    assert (torn.result, torn.current) == (Result.UNREACHABLE, first)
    assert (whole.result, whole.current) == (Result.PUBLISHED, second)


def test_a_repository_that_is_not_there_keeps_the_release_and_says_so(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    head = origin.publish({"a": b"1"})
    with serve() as server:
        worker = by_https(server)
        worker.reconcile_once()
        origin.path.rename(origin.path.with_name("elsewhere.git"))

        outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, head)
    assert "not found" in (outcome.error or "")


@pytest.fixture
def git_lfs() -> None:
    if shutil.which("git-lfs") is None:
        lacking("git-lfs")


FILES = {
    "a.txt": b"1",
    "data/table.fits": POINTER,
    ".gitattributes": b"*.fits filter=lfs diff=lfs merge=lfs -text\n",
}


@pytest.mark.usefixtures("git_lfs")
@pytest.mark.parametrize("login", [None, (USER, PASSWORD)], ids=["open", "with a password"])
def test_large_files_come_from_the_origins_own_lfs_server(  # noqa: PLR0913, PLR0917  (fixtures)
    origin: Origin,
    serve: Serve,
    by_https: ByHttps,
    token: str,
    look: Look,
    login: tuple[str, str] | None,
) -> None:
    origin.publish(FILES)

    with serve(login=login, large={SHA256: CONTENT}) as server:
        given = {"username": USER, "token": token} if login else {}
        worker = by_https(server, lfs="fetch", **given)
        outcome = worker.reconcile_once()

    assert (outcome.result, outcome.error, outcome.warnings) == (Result.PUBLISHED, None, ())
    assert look(worker.mirror.link) == FILES | {"data/table.fits": CONTENT}
    assert b"hunter2" not in everything_written(worker)


@pytest.mark.usefixtures("git_lfs")
def test_a_large_file_that_the_server_does_not_have_publishes_nothing(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    origin.publish(FILES)

    with serve() as server:
        outcome = by_https(server, lfs="fetch").reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "data/table.fits: git lfs failed" in (outcome.error or "")
    assert "Object does not exist" in (outcome.error or "")


@pytest.mark.usefixtures("git_lfs")
def test_a_large_file_with_other_content_publishes_nothing(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    origin.publish(FILES)

    with serve(large={SHA256: CONTENT[::-1]}) as server:
        outcome = by_https(server, lfs="fetch").reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "data/table.fits" in (outcome.error or "")


@pytest.mark.usefixtures("git_lfs")
def test_a_large_file_that_stalls_is_given_up(
    origin: Origin, serve: Serve, by_https: ByHttps
) -> None:
    origin.publish(FILES)
    with serve(large={SHA256: CONTENT}) as server:
        worker = by_https(server, low_speed_time=1, lfs="fetch")
        server.behaviour.stalls_large.set()

        outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)


def test_the_authoritys_file_may_be_missing_and_that_is_told(
    origin: Origin, serve: Serve, by_https: ByHttps, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})
    with serve() as server:
        outcome = by_https(server, ca_file=str(tmp_path / "nowhere.pem")).reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert "`ca-file` must name a file" in (outcome.error or "")
