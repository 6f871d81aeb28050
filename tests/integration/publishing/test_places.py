"""Where a mirror may lie, and what a killed git left there."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.publishing.reconcile import Result
from nbpipe.publishing.releases import operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.origin.processes import Supervised
    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]

LOCKS = (
    *("HEAD.lock", "config.lock", "packed-refs.lock", "packed-refs.new", "shallow.lock"),
    *("gc.pid", "gc.pid.lock", "gc.log"),
    *("refs/nbpipe/wanted.lock", "refs/nbpipe/releases/0000.lock"),
    *("objects/info/commit-graph.lock", "objects/info/commit-graphs/commit-graph-chain.lock"),
    *("objects/pack/multi-pack-index.lock", "objects/maintenance.lock"),
)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_that_a_killed_git_left_is_stale(origin: Origin, follow: Follow, name: str) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    left = worker.mirror.state / "cache.git" / name
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text(f"{os.getpid()} {os.uname().nodename}\n")
    head = origin.publish({"a": b"2"})

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.PUBLISHED, head)
    assert not left.exists()
    assert operations.gc(worker.publisher) == []


def test_half_of_an_object_that_a_killed_process_left_is_cleared_away(
    origin: Origin, follow: Follow
) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    objects = worker.mirror.state / "cache.git" / "objects"
    left = [objects / "pack/tmp_pack_1", objects / "pack/.tmp-1-pack", objects / "ab/tmp_obj_1"]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"half")
    (worker.mirror.state / "lock").write_text("1")  # its holder was killed

    assert worker.reconcile_once().result is Result.UNCHANGED
    assert [file for file in left if file.exists()] == []


def test_a_git_that_outlived_its_nbpipe_is_ended_before_its_locks_are_removed(
    origin: Origin, follow: Follow
) -> None:
    origin.publish({"a": b"1"})
    worker = follow()
    with worker.publisher.at_work(patience=1):
        noted = worker.mirror.state / "fetch.pid"
        seen: list[bool] = []
        supervised = worker.publisher.cache._supervised

        @contextmanager
        def looking(
            arguments: tuple[str, ...],
            extra: Mapping[str, str],
            **options: Any,  # noqa: ANN401  (those of the method)
        ) -> Iterator[Supervised]:
            with supervised(arguments, extra, **options) as git:
                if "gc" in arguments:
                    seen.append(str(git.process.pid) == noted.read_text().split()[0])
                yield git

        worker.publisher.cache._supervised = looking  # type: ignore[method-assign]
        worker.publisher.fetch()
        worker.publisher.tidy()

    assert seen == [True]
    assert not noted.exists()


@pytest.mark.parametrize("place", ["srv", "srv/notebooks-latest", "srv/.nbpipe"])
def test_a_folder_that_everybody_may_write_in_is_refused(
    origin: Origin, follow: Follow, tmp_path: Path, place: str
) -> None:
    origin.publish({"a": b"1"})
    folder = tmp_path / place
    folder.mkdir(parents=True)
    folder.chmod(0o777)

    outcome = follow().reconcile_once()

    assert outcome.result is Result.FAILED
    assert f"{folder}: every user of this machine may write in it" in (outcome.error or "")
    assert f"chmod 755 {folder}" in (outcome.error or "")
    folder.chmod(0o755)
    assert follow().reconcile_once().result is Result.PUBLISHED


@pytest.mark.parametrize("place", ["srv", "srv/notebooks-latest", "srv/.nbpipe"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_the_place_of_a_folder_is_refused(
    origin: Origin, follow: Follow, tmp_path: Path, place: str, target: str
) -> None:
    origin.publish({"a": b"1"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to(tmp_path / target)

    outcome = follow().reconcile_once()

    assert outcome.result is Result.FAILED
    assert f"{tmp_path / place}: is a symbolic link" in (outcome.error or "")
    assert list(elsewhere.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_mirror_that_was_opened_to_all_is_refused_and_stays_as_it_is(
    origin: Origin, follow: Follow
) -> None:
    good = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    worker.mirror.releases_folder.chmod(0o777)
    origin.publish({"a": b"2"})

    outcome = worker.reconcile_once()

    assert outcome.result is Result.FAILED
    assert str(worker.mirror.releases_folder) in (outcome.error or "")
    assert worker.mirror.current() == good


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that mounts something at a folder, until the test ends."""
    places: list[Path] = []

    def mount(place: Path, *words: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", *words, str(place)], capture_output=True, check=False, text=True
        )
        if done.returncode:
            if os.environ.get("NBPIPE_REQUIRE") == "all":
                pytest.fail(f"cannot mount: {done.stderr}")
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        places.append(place)

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("place", ["notebooks-latest", ".nbpipe", "notebooks-latest/releases"])
def test_a_mirror_on_two_file_systems_is_refused(
    origin: Origin, follow: Follow, tmp_path: Path, mounted: Callable[..., None], place: str
) -> None:
    origin.publish({"a": b"1"})
    mounted(tmp_path / "srv" / place, "-t", "tmpfs", "-o", "size=10m,mode=755", "none")

    worker = follow()
    outcome = worker.reconcile_once()
    worker.publisher.close()

    assert outcome.result is Result.FAILED
    assert "are on two file systems" in (outcome.error or "")


def test_a_mount_of_the_same_file_system_is_told_apart_too(
    origin: Origin, follow: Follow, tmp_path: Path, mounted: Callable[..., None]
) -> None:
    origin.publish({"a": b"1"})
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    mounted(tmp_path / "srv" / ".nbpipe", "--bind", str(state))

    worker = follow()
    outcome = worker.reconcile_once()
    worker.publisher.close()

    assert outcome.result is Result.FAILED
    assert "must be on one file system" in (outcome.error or "")
