"""How a fetch ends: not while bytes arrive, always when they stop, and never with anything left."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from gitservers import git_server
from ondisk import lacking

import nbpipe
from nbpipe.publishing.health import State
from nbpipe.publishing.reconcile import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]

PACKAGE = Path(nbpipe.__file__).parents[1]
LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""
SILENCE = 4.0
"""Seconds; a process may wait for its turn on a busy machine."""

# Runs the remote command here and lets its bytes through: slowly, or without any of the pack.
SSH = """#!{python}
import subprocess, sys, threading, time
process = subprocess.Popen(sys.argv[-1], shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def ask():
    while data := sys.stdin.buffer.read1(65536):
        process.stdin.write(data); process.stdin.flush()
    process.stdin.close()
threading.Thread(target=ask, daemon=True).start()
out = sys.stdout.buffer
while data := process.stdout.read1(65536):
    head, packfile, rest = data.partition(b"packfile\\n")
    if packfile and {drips}:
        out.write(head + packfile); out.flush()
        while True:
            out.write(b"0005\\x01"); out.flush()
            time.sleep(0.2)
    out.write(data); out.flush()
    time.sleep(len(data) / {speed})
process.wait()
"""


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"still not {what}"
        time.sleep(0.05)


@pytest.fixture
def by_ssh(
    follow: Follow, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Reconciler]:
    """Return a function that makes a worker whose ssh is the given program."""

    def make(program: str, **changes: object) -> Reconciler:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "ssh").write_text(program)
        (folder / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        address = f"ssh://git@git.example.org{origin.path}"
        return follow(origin=address, protocols=("ssh",), **changes)

    return make


def ssh(*, speed: float = 1e12, drips: bool = False) -> str:
    return SSH.format(python=sys.executable, speed=speed, drips=drips)


def test_a_clone_by_ssh_may_take_longer_than_the_silence_limit(
    origin: Origin, by_ssh: Callable[..., Reconciler]
) -> None:
    head = origin.publish({"big": os.urandom(8_000_000)})

    outcome = by_ssh(ssh(speed=8e5), fetch_timeout=SILENCE).reconcile_once()

    assert (outcome.error, outcome.current) == (None, head)
    assert outcome.seconds > SILENCE


def test_a_clone_by_http_may_take_longer_than_the_silence_limit(
    origin: Origin, follow: Follow
) -> None:
    head = origin.publish({f"f{number}": os.urandom(40_000) for number in range(200)})

    with git_server(origin.path.parent, None, speed=8e5) as server:
        worker = follow(
            origin=f"{server.url}/origin.git", protocols=("http",), fetch_timeout=SILENCE
        )
        outcome = worker.reconcile_once()

    assert (outcome.error, outcome.current) == (None, head)
    assert outcome.seconds > SILENCE


def test_a_large_file_of_lfs_may_take_longer_than_the_silence_limit(
    origin: Origin, follow: Follow
) -> None:
    if shutil.which("git-lfs") is None:
        lacking("git-lfs")
    content = os.urandom(6_000_000)
    digest = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 6000000\n"
    head = origin.publish(
        {"big.fits": pointer.encode(), ".gitattributes": b"*.fits filter=lfs diff=lfs merge=lfs\n"}
    )

    with git_server(origin.path.parent, None, speed=6e5, large={digest: content}) as server:
        worker = follow(
            origin=f"{server.url}/origin.git",
            protocols=("http",),
            fetch_timeout=SILENCE,
            lfs="fetch",
        )
        outcome = worker.reconcile_once()

    assert (outcome.error, outcome.current) == (None, head)
    assert (worker.mirror.link / "big.fits").read_bytes() == content


def test_a_server_that_only_keeps_the_connection_alive_is_given_up(
    origin: Origin, by_ssh: Callable[..., Reconciler]
) -> None:
    origin.publish({"a": os.urandom(100_000)})

    outcome = by_ssh(ssh(drips=True), fetch_timeout=2.0).reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert "it sent no object for 10 s" in (outcome.error or "")


def test_a_server_that_falls_silent_in_the_middle_is_given_up_with_ssh_itself(
    origin: Origin, by_ssh: Callable[..., Reconciler], tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})
    program = f"#!/bin/sh\necho $$ > '{tmp_path}/pid'\nsleep 1000\n"

    outcome = by_ssh(program, fetch_timeout=1.0).reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert "nothing arrived for 1 s" in (outcome.error or "")
    ssh = int((tmp_path / "pid").read_text())
    until(lambda: not psutil.pid_exists(ssh), "ssh's end")  # init takes its time to reap it


def test_what_ssh_says_is_one_printable_line(
    by_ssh: Callable[..., Reconciler], caplog: pytest.LogCaptureFixture
) -> None:
    program = (
        "#!/bin/sh\nprintf '\\033]0;title\\007\\033[31m\\n2026-01-01 00:00:00,000 INFO published"
        " x\\r\\n\\302\\205\\342\\200\\250end\\n' >&2\nexit 255\n"
    )
    worker = by_ssh(program)

    outcome = worker.reconcile_once()

    told = (outcome.error or "").splitlines()
    assert len(told) == 2  # what happened, and what to do next
    assert "the other side said: 2026-01-01 00:00:00,000 INFO published x" in told[0]
    assert not [char for char in "".join(told) if not char.isprintable()]
    assert worker.health().error == outcome.error
    assert "\x1b" not in caplog.text


def test_a_flood_of_words_does_not_fill_the_memory_or_the_record(
    by_ssh: Callable[..., Reconciler],
) -> None:
    program = "#!/bin/sh\nhead -c 30000000 /dev/zero | tr '\\0' x >&2\nexit 255\n"

    worker = by_ssh(program)
    outcome = worker.reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert len(outcome.error or "") < 10_000


def test_no_room_at_the_origin_is_not_taken_for_no_room_here(
    origin: Origin, follow: Follow, by_ssh: Callable[..., Reconciler]
) -> None:
    program = "#!/bin/sh\necho 'fatal: write error: No space left on device' >&2\nexit 128\n"

    outcome = by_ssh(program).reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert "No space left on device" in (outcome.error or "")
    assert "Make room" not in (outcome.error or "")


def loose(repository: Path, oid: str) -> Path:
    return repository / "objects" / oid[:2] / oid[2:]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("by", ["file", "ssh", "http"])
def test_a_damaged_commit_at_the_origin_costs_the_cache_nothing(
    origin: Origin,
    follow: Follow,
    by_ssh: Callable[..., Reconciler],
    by: str,
    packed: bool,  # noqa: FBT001  (a parameter)
) -> None:
    first = origin.publish({"a": b"1"})
    with git_server(origin.path.parent, None) as server:
        worker = {
            "file": follow,
            "ssh": lambda: by_ssh(ssh()),
            "http": lambda: follow(origin=f"{server.url}/origin.git", protocols=("http",)),
        }[by]()
        worker.reconcile_once()
        cache = worker.mirror.state / "cache.git"
        before = cache.stat().st_ino
        second = origin.publish({"a": b"2"})
        good = loose(origin.path, second).read_bytes()
        if packed:
            origin.git("repack", "-a", "-d", "-q")
            (pack,) = (origin.path / "objects" / "pack").glob("*.pack")
            whole = pack.read_bytes()
            pack.chmod(0o644)
            pack.write_bytes(whole[:12] + b"\xff" * 40 + whole[52:])
        else:
            loose(origin.path, second).chmod(0o644)
            loose(origin.path, second).write_bytes(good[:20])

        outcomes = [worker.reconcile_once() for _ in range(2)]

        assert [each.result for each in outcomes] == [Result.UNREACHABLE] * 2
        assert {each.current for each in outcomes} == {first}
        assert cache.stat().st_ino == before
        assert worker.publisher.cache.has(first)
        if packed:
            pack.write_bytes(whole)
        else:
            loose(origin.path, second).write_bytes(good)
        assert worker.reconcile_once().current == second


def test_a_damaged_cache_stays_until_a_new_one_is_whole(origin: Origin, follow: Follow) -> None:
    first = origin.publish({"a": b"1", "b": b"kept"})
    worker = follow()
    worker.reconcile_once()
    worker.publisher.close()
    shutil.rmtree(worker.mirror.state / "store")
    cache = worker.mirror.state / "cache.git"
    before = cache.stat().st_ino
    blob = loose(origin.path, origin.blob(b"kept"))
    loose(cache, origin.blob(b"kept")).unlink()
    second = origin.publish({"a": b"2", "b": b"kept"})
    aside = blob.rename(blob.with_name("aside"))

    lost = worker.reconcile_once()

    assert (lost.result, lost.current) == (Result.UNREACHABLE, first)
    assert cache.stat().st_ino == before
    assert not (worker.mirror.state / "cache.new").exists()
    aside.rename(blob)
    assert worker.reconcile_once().current == second
    assert cache.stat().st_ino != before
    assert sorted(path.name for path in worker.mirror.state.glob("cache.*")) == ["cache.git"]


def test_a_blob_that_the_cache_lost_is_fetched_anew_and_what_it_needs_is_published(
    origin: Origin, follow: Follow
) -> None:
    origin.publish({"a": b"1", "b": b"kept"})
    worker = follow()
    worker.reconcile_once()
    worker.publisher.close()
    shutil.rmtree(worker.mirror.state / "store")
    loose(worker.mirror.state / "cache.git", origin.blob(b"kept")).unlink()
    head = origin.publish({"a": b"2", "b": b"kept"})

    outcome = worker.reconcile_once()

    assert (outcome.error, outcome.current) == (None, head)
    assert (worker.mirror.link / "b").read_bytes() == b"kept"


def test_a_cache_without_its_head_is_mended_where_it_is(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    worker.publisher.close()
    cache = worker.mirror.state / "cache.git"
    before = cache.stat().st_ino
    (cache / "HEAD").unlink()
    head = origin.publish({"a": b"2"})

    assert worker.reconcile_once().current == head
    assert cache.stat().st_ino == before


def test_a_swap_of_caches_that_was_cut_short_is_taken_back(origin: Origin, follow: Follow) -> None:
    first = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    worker.publisher.close()
    state = worker.mirror.state
    (state / "cache.git").rename(state / "cache.old")
    (state / "cache.new").mkdir()
    (state / "lock").write_text("99999")

    assert worker.reconcile_once().result is Result.UNCHANGED
    assert worker.publisher.cache.has(first)
    assert sorted(path.name for path in state.glob("cache.*")) == ["cache.git"]


def of_session(number: int) -> list[int]:
    """Return the processes of a session that run; a machine may be slow to bury the dead."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == number and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


@pytest.fixture
def hanging(
    tmp_path: Path, silent: int
) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Return a function that starts a command, and gives that and git's session while it hangs."""
    file = tmp_path / "nbpipe.toml"
    (tmp_path / "secret").write_text("0123456789abcdef0123456789abcdef")
    file.write_text(
        f"""
        [webhook]
        port = 0
        [[collection]]
        name = "nb"
        origin = "http://127.0.0.1:{silent}/a/b.git"
        root = "{tmp_path}/srv"
        protocols = ["http"]
        secrets = ["file:{tmp_path}/secret"]
        low-speed-time = 500
        """
    )
    started: list[subprocess.Popen[str]] = []

    # A shell's background job, as these tests may be, has Ctrl-C ignored; children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*words: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nbpipe", *words, "--config", str(file)],
            env={**os.environ, "PYTHONPATH": str(PACKAGE)},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        note = tmp_path / "srv" / ".nbpipe" / "nb" / "fetch.pid"
        until(lambda: note.is_file() and len(note.read_text().split()) == 2, "fetching")
        number = int(note.read_text().split()[0])
        until(lambda: len(of_session(number)) > 1, "asking")  # git, and git-remote-http
        return process, number

    yield start
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        (("publish", "--watch"), signal.SIGTERM, 0),
        (("publish", "--watch"), signal.SIGINT, 0),
        (("publish",), signal.SIGTERM, 2),
        (("publish",), signal.SIGINT, 2),
        (("serve",), signal.SIGTERM, 0),
    ],
    ids=["watch-term", "watch-int", "publish-term", "publish-int", "serve-term"],
)
def test_a_signal_ends_a_fetch_that_hangs_and_leaves_no_git(
    hanging: Callable[..., tuple[subprocess.Popen[str], int]],
    words: tuple[str, ...],
    number: signal.Signals,
    code: int,
) -> None:
    process, session = hanging(*words)

    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT)

    assert process.returncode == code, said
    assert of_session(session) == []
    assert "Traceback" not in said


def test_a_kill_of_the_service_ends_its_git_too(
    hanging: Callable[..., tuple[subprocess.Popen[str], int]],
) -> None:
    process, session = hanging("publish", "--watch")

    process.kill()

    until(lambda: of_session(session) == [], "ended")


def test_a_stop_is_no_failure_and_ends_the_waiting_for_another_process(
    origin: Origin, follow: Follow, silent: int
) -> None:
    head = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    healthy = worker.health()
    hangs = follow(origin=f"http://127.0.0.1:{silent}/a/b.git", protocols=("http",))
    waits = follow()
    stop = threading.Event()
    threads = [threading.Thread(target=hangs.run_forever, args=(stop,))]
    threads[0].start()
    until((hangs.mirror.state / "fetch.pid").is_file, "fetching")
    threads.append(threading.Thread(target=waits.run_forever, args=(stop,)))
    threads[1].start()

    stop.set()
    for thread in threads:
        thread.join(LIMIT)

    assert not any(thread.is_alive() for thread in threads)
    after = worker.health()
    assert (after.state, after.error, after.failures) == (State.OK, None, 0)
    assert (after.current, after.attempt) == (head, healthy.attempt)
