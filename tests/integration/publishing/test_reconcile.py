"""The branch's head becomes the current release, whatever happened before."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nbpipe.cli import nbpipe
from nbpipe.config.settings import Keep
from nbpipe.publishing.health import State
from nbpipe.publishing.reconcile import Result, signal
from nbpipe.publishing.releases.journal import Event, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Look = Callable[[Path], dict[str, Any]]
    Follow = Callable[..., Reconciler]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait generously; a slow machine is no failure."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"still not {what}"
        time.sleep(0.01)


def test_the_head_becomes_a_whole_read_only_release(
    origin: Origin, follow: Follow, look: Look, look_at_modes: Look
) -> None:
    blob = origin.blob(b"print(1)\n")
    folder = origin.tree(("100755", b"run.sh", blob), ("104777", b"set.sh", blob))
    link = origin.blob(b"sub/run.sh")
    head = origin.push(
        origin.tree(("100644", b"a.py", blob), ("120000", b"l", link), ("40000", b"sub", folder))
    )
    worker = follow()

    outcome = worker.reconcile_once(Trigger.STARTUP)

    assert (outcome.result, outcome.current) == (Result.PUBLISHED, head)
    assert worker.mirror.link.readlink().as_posix() == f"releases/{head}"
    assert look(worker.mirror.link) == {
        "a.py": b"print(1)\n",
        "l": "sub/run.sh",
        "sub/run.sh": b"print(1)\n",
        "sub/set.sh": b"print(1)\n",
    }
    assert look_at_modes(worker.mirror.release(head)) == {
        ".": "0555",
        "a.py": "0444",
        "sub": "0555",
        "sub/run.sh": "0555",
        "sub/set.sh": "0555",
    }


def test_a_new_mirror_is_open_to_its_readers_whatever_the_umask(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    origin.publish({"a.txt": b"a"})
    before = os.umask(0o077)
    try:
        follow(root=str(tmp_path / "new/root")).reconcile_once(Trigger.STARTUP)
    finally:
        os.umask(before)
    places = ("new", "new/root", "new/root/notebooks-latest", "new/root/.nbpipe")
    modes = {place: f"{(tmp_path / place).stat().st_mode & 0o777:o}" for place in places}
    assert modes == dict(zip(places, ("755", "755", "755", "700"), strict=True))


def test_an_update_shares_what_did_not_change(origin: Origin, follow: Follow) -> None:
    first = origin.publish({"same.txt": b"same", "other.txt": b"one"})
    worker = follow()
    worker.reconcile_once()
    second = origin.publish({"same.txt": b"same", "other.txt": b"two"})

    outcome = worker.reconcile_once()

    old, new = worker.mirror.release(first), worker.mirror.release(second)
    assert (outcome.current, outcome.previous) == (second, first)
    assert (new / "same.txt").samefile(old / "same.txt")
    assert (old / "other.txt").read_bytes() == b"one"
    assert (new / "other.txt").read_bytes() == b"two"


def test_nothing_is_done_where_nothing_changed(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    before = worker.mirror.link.lstat().st_ino

    assert worker.reconcile_once().result is Result.UNCHANGED
    assert worker.mirror.link.lstat().st_ino == before
    assert len(worker.mirror.journal.entries()) == 1


def test_a_branch_with_a_slash_is_followed_and_a_tag_of_its_name_is_not(
    origin: Origin, follow: Follow
) -> None:
    origin.branch = "release/2026.1"
    wanted = origin.publish({"a": b"branch"})
    other = origin.commit(origin.files({"a": b"tag"}))
    origin.git("update-ref", "refs/tags/release/2026.1", other)
    origin.git("update-ref", "refs/heads/2026.1", other)

    outcome = follow(branch="release/2026.1").reconcile_once()

    assert outcome.current == wanted


def test_a_rewritten_branch_is_published_and_marked(origin: Origin, follow: Follow) -> None:
    first = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    second = origin.publish({"a": b"2"}, force=True)

    outcome = worker.reconcile_once(Trigger.BEACON, delivery="d-1")

    assert (outcome.result, outcome.forced) == (Result.PUBLISHED, True)
    entry = worker.mirror.journal.last()
    assert entry is not None
    assert (entry.commit, entry.previous, entry.forced) == (second, first, True)
    assert (entry.trigger, entry.delivery) == (Trigger.BEACON, "d-1")


def test_a_deleted_branch_keeps_the_last_release_and_raises_an_alarm_once(
    origin: Origin, follow: Follow
) -> None:
    head = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    origin.git("update-ref", "-d", "refs/heads/main")

    outcomes = [worker.reconcile_once() for _ in range(3)]

    assert {outcome.result for outcome in outcomes} == {Result.BRANCH_GONE}
    assert worker.mirror.current() == head
    assert worker.health().state is State.FAILING
    assert "branch not found: main" in (worker.health().error or "")
    events = [entry.event for entry in worker.mirror.journal.entries()]
    assert events == [Event.PUBLISHED, Event.BRANCH_GONE]


def test_a_repository_with_sha_256_names_is_refused_in_so_many_words(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    origin.path.rename(tmp_path / "elsewhere")
    origin.path.mkdir()
    origin.git("init", "--quiet", "--bare", "--initial-branch=main", "--object-format=sha256")
    tree = origin.git("mktree")
    origin.git("update-ref", "refs/heads/main", origin.commit(tree))

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.FAILED, head)
    assert "has SHA-256 object names, and only repositories with SHA-1" in (outcome.error or "")
    assert worker.health().state is State.FAILING


def test_a_branch_that_git_refused_and_that_is_set_back_is_healthy_again(
    origin: Origin, follow: Follow
) -> None:
    good = origin.publish({"a": b"1"})
    worker = follow(fsck=True)
    worker.reconcile_once()
    origin.push(origin.tree(("100644", b".git", origin.blob(b"x"))))
    refused = worker.reconcile_once()
    origin.git("update-ref", "refs/heads/main", good)

    outcome = worker.reconcile_once()

    assert refused.result is Result.REFUSED
    assert (outcome.result, outcome.error) == (Result.UNCHANGED, None)
    assert worker.health().state is State.OK


def test_a_branch_that_comes_back_is_healthy_again(origin: Origin, follow: Follow) -> None:
    head = origin.publish({"a": b"1"})
    worker = follow()
    origin.git("update-ref", "-d", "refs/heads/main")
    worker.reconcile_once()
    origin.git("update-ref", "refs/heads/main", head)

    assert worker.reconcile_once().result is Result.PUBLISHED
    assert worker.health().state is State.OK


def test_a_missing_origin_keeps_the_last_release(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    origin.path.rename(tmp_path / "elsewhere")

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, head)
    assert worker.health().state is State.OK
    assert worker.health().failures == 1


def test_health_is_stale_when_the_origin_is_away_for_long(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})
    follow().reconcile_once()
    origin.path.rename(tmp_path / "elsewhere")
    worker = follow(stale_after=1e-6)
    worker.reconcile_once()

    health = worker.health()

    assert health.state is State.STALE
    assert "git fetch failed" in (health.error or "")


def test_old_releases_go_and_the_newest_stay(origin: Origin, follow: Follow) -> None:
    worker = follow(keep=Keep(releases=2, days=0))
    heads = []
    for number in range(5):
        heads.append(origin.publish({"a": str(number).encode(), f"f{number}": b"x" * 9}))
        worker.reconcile_once()

    assert set(worker.mirror.releases()) == set(heads[-2:])
    held = list((worker.mirror.state / "store").glob("??/*"))
    assert len(held) == 3


def test_a_damaged_cache_is_made_anew(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    worker.publisher.close()
    for path in (worker.mirror.state / "cache.git" / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    head = origin.publish({"a": b"1", "b": b"2"})

    assert worker.reconcile_once().current == head


@pytest.mark.parametrize("broken", ["HEAD", "config", "refs/nbpipe/wanted"])
def test_a_cache_with_a_broken_file_needs_no_help(
    origin: Origin, follow: Follow, broken: str
) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    worker.publisher.close()
    (worker.mirror.state / "cache.git" / broken).write_bytes(b"\0\0garbage")
    head = origin.publish({"a": b"2"})

    assert worker.reconcile_once().current == head


def test_a_lost_journal_line_is_written_at_the_next_start(origin: Origin, follow: Follow) -> None:
    head = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    worker.mirror.journal.file.unlink()

    worker.reconcile_once(Trigger.STARTUP)

    (entry,) = worker.mirror.journal.entries()
    assert (entry.commit, entry.reason) == (head, "found published after an interruption")


def test_a_release_that_lost_files_is_mended_at_the_start(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1", "sub/b": b"2"})
    worker = follow()
    worker.reconcile_once()
    worker.mirror.link.resolve().joinpath("sub").chmod(0o755)
    worker.mirror.link.joinpath("sub", "b").unlink()

    worker.reconcile_once(Trigger.STARTUP)

    assert (worker.mirror.link / "sub" / "b").read_bytes() == b"2"


def test_left_over_files_are_no_obstacle(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    state = worker.mirror.state
    head = origin.publish({"a": b"2"})
    (state / "current.new").symlink_to("nowhere")
    (state / "building" / head / "deep").mkdir(parents=True)
    (state / "building" / head / "deep").chmod(0o555)
    (state / "store" / "new" / "x").write_bytes(b"half")
    (state / "health.json.new").write_bytes(b"half")
    for name in ("config.lock", "packed-refs.lock", "shallow.lock", "refs/nbpipe/wanted.lock"):
        (state / "cache.git" / name).touch()
    (state / "lock").write_text("99999")

    assert worker.reconcile_once(Trigger.STARTUP).current == head


def test_what_is_not_ours_in_the_place_of_current_is_left_alone(
    origin: Origin, follow: Follow
) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    (worker.mirror.path / "current").mkdir(parents=True)

    outcome = worker.reconcile_once()

    assert outcome.result is Result.FAILED
    assert "is not the mirror's link" in (outcome.error or "")
    assert (worker.mirror.path / "current").is_dir()


def test_a_mirror_that_cannot_be_read_keeps_no_other_from_being_published(
    origin: Origin, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    root, file = tmp_path / "srv", tmp_path / "nbpipe.toml"
    (root / "first" / "current").mkdir(parents=True)
    file.write_text(
        "".join(
            f"[[collection]]\nname = '{name}'\norigin = '{origin.path}'\nroot = '{root}'\n"
            "protocols = ['file']\n"
            for name in ("first", "second")
        )
    )

    ended = CliRunner().invoke(nbpipe, ["publish", "--config", str(file)])

    assert ended.exit_code == 1
    assert "first/current: is not the mirror's link" in ended.stderr
    assert (root / "second" / "current").resolve().name == head


def test_the_worker_follows_beacons_and_signals_from_other_processes(
    origin: Origin, follow: Follow
) -> None:
    first = origin.publish({"a": b"1"})
    worker = follow()
    stop = threading.Event()
    thread = threading.Thread(target=worker.run_forever, args=(stop,))
    thread.start()
    try:
        until(lambda: worker.mirror.current() == first, "at the first commit")
        second = origin.publish({"a": b"2"})
        worker.wake(Trigger.BEACON, delivery="d-2")
        until(lambda: worker.mirror.current() == second, "at the second commit")
        third = origin.publish({"a": b"3"})
        signal(worker.mirror, "d-3")
        until(lambda: worker.mirror.current() == third, "at the third commit")
    finally:
        stop.set()
        thread.join()
    entries = worker.mirror.journal.entries()
    assert [entry.delivery for entry in entries] == [None, "d-2", "d-3"]


def test_a_burst_of_beacons_costs_three_fetches_at_most(
    origin: Origin, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = follow()
    head = origin.publish({"a": b"1"})
    worker.reconcile_once()
    fetches: list[float] = []
    fetch = worker.publisher.cache.fetch
    monkeypatch.setattr(worker.publisher.cache, "fetch", lambda: fetches.append(0) or fetch())
    stop = threading.Event()
    thread = threading.Thread(target=worker.run_forever, args=(stop,))
    thread.start()
    try:
        until(lambda: len(fetches) == 1 and worker.health().wanted == head, "started")
        head = origin.publish({"a": b"2"})
        for number in range(1000):
            worker.wake(Trigger.BEACON, delivery=f"d-{number}")
        until(lambda: worker.mirror.current() == head, "published")
        until(lambda: worker._schedule._pending is None, "at rest")
    finally:
        stop.set()
        thread.join()
    assert len(fetches) <= 1 + 3
