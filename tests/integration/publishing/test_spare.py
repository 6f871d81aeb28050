"""The next release begins with a copy that was linked beforehand, and is none the worse for it."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest

from nbpipe.publishing.releases import operations
from nbpipe.publishing.releases.journal import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, bytes | str]]

BEFORE = {"a": b"1", "same/x": b"x", "deep/er/y": b"y", "deep/z": b"z", "kind": b"file"}


@pytest.fixture
def worker(origin: Origin, follow: Follow) -> Reconciler:
    """Return a worker that has published `BEFORE` and holds a spare of it."""
    origin.publish(BEFORE)
    made = follow()
    assert made.reconcile_once().error is None
    made.prepare()
    return made


def spare(worker: Reconciler) -> Path:
    return worker.mirror.state / "building" / "spare"


@pytest.mark.parametrize(
    "after",
    [
        {**BEFORE, "same/x": b"another"},
        {**BEFORE, "same/new": b"n", "new/folder/f": b"f"},
        {"a": b"1", "same/x": b"x", "kind": b"file"},
        {**{path: BEFORE[path] for path in BEFORE if path != "kind"}, "kind/is": b"a folder"},
        {"a": b"1", "same": b"a file now", "deep/er": b"likewise"},
        {"another": b"altogether"},
    ],
    ids=["changed", "added", "removed", "file-to-folder", "folder-to-file", "all-else"],
)
def test_the_release_is_the_spare_with_what_differs(
    origin: Origin, worker: Reconciler, look: Look, after: dict[str, bytes]
) -> None:
    inode = spare(worker).stat().st_ino
    origin.publish(after)

    assert worker.reconcile_once().error is None

    assert worker.mirror.link.stat().st_ino == inode
    assert look(worker.mirror.link.resolve()) == after
    assert worker.publisher.damages(worker.mirror.current() or "") == []


def test_links_and_modes_follow_too(origin: Origin, worker: Reconciler, look: Look) -> None:
    blob, target = origin.blob(b"1"), origin.blob(b"a")
    first = origin.tree(("100644", b"a", blob), ("100644", b"b", target), ("120000", b"l", target))
    origin.push(first)
    worker.reconcile_once()
    worker.prepare()
    inode = spare(worker).stat().st_ino
    origin.push(
        origin.tree(("100755", b"a", blob), ("120000", b"b", target), ("100644", b"l", target))
    )

    assert worker.reconcile_once().error is None

    assert worker.mirror.link.stat().st_ino == inode
    assert look(worker.mirror.link.resolve()) == {"a": b"1", "b": "a", "l": b"a"}
    assert worker.publisher.damages(worker.mirror.current() or "") == []


def test_the_release_before_stays_as_it_was(origin: Origin, worker: Reconciler, look: Look) -> None:
    first = worker.mirror.link.resolve()
    origin.publish({"another": b"altogether"})

    worker.reconcile_once()

    assert look(first) == BEFORE
    assert worker.publisher.damages(first.name) == []


def test_a_spare_from_which_something_was_taken_is_not_used(
    origin: Origin, worker: Reconciler, look: Look
) -> None:
    folder = spare(worker) / "same"
    folder.chmod(0o755)
    (folder / "x").unlink()
    folder.chmod(0o555)
    origin.publish({**BEFORE, "a": b"2"})

    assert worker.reconcile_once().error is None

    assert look(worker.mirror.link.resolve()) == {**BEFORE, "a": b"2"}


def test_a_spare_that_is_gone_is_not_missed(origin: Origin, worker: Reconciler, look: Look) -> None:
    shutil.rmtree(spare(worker))
    origin.publish({**BEFORE, "a": b"2"})

    assert worker.reconcile_once().error is None

    assert look(worker.mirror.link.resolve()) == {**BEFORE, "a": b"2"}


def test_the_spare_of_another_worker_is_never_built_on(
    origin: Origin, follow: Follow, worker: Reconciler, look: Look
) -> None:
    origin.publish({"other": b"content"})
    other = follow()
    other.reconcile_once()
    other.prepare()
    inode = spare(worker).stat().st_ino
    origin.publish({**BEFORE, "a": b"2"})

    assert worker.reconcile_once().error is None

    assert worker.mirror.link.stat().st_ino != inode
    assert look(worker.mirror.link.resolve()) == {**BEFORE, "a": b"2"}


def test_a_rollback_in_between_changes_nothing(
    origin: Origin, follow: Follow, worker: Reconciler, look: Look
) -> None:
    origin.publish({"a": b"2"})
    worker.reconcile_once()
    worker.prepare()
    person = follow().publisher
    operations.rollback(person)
    operations.unpin(person)
    origin.publish({"a": b"3", "b": b"b"})

    assert worker.reconcile_once().error is None

    assert look(worker.mirror.link.resolve()) == {"a": b"3", "b": b"b"}


def test_a_repair_by_another_process_takes_the_spare_with_it(
    origin: Origin, follow: Follow, worker: Reconciler, look: Look
) -> None:
    file = worker.mirror.link / "same" / "x"
    file.chmod(0o644)
    file.write_bytes(b"?")
    operations.verify(follow().publisher)
    assert not spare(worker).exists()
    origin.publish({**BEFORE, "a": b"2"})

    assert worker.reconcile_once().error is None

    assert look(worker.mirror.link.resolve()) == {**BEFORE, "a": b"2"}
    assert worker.publisher.damages(worker.mirror.current() or "") == []


def test_a_refused_commit_leaves_the_spare_for_the_next(origin: Origin, worker: Reconciler) -> None:
    inode = spare(worker).stat().st_ino
    origin.push(origin.tree(("100644", b"..", origin.blob(b"1"))))
    assert worker.reconcile_once().result.value == "refused"
    assert spare(worker).stat().st_ino == inode
    origin.publish({**BEFORE, "a": b"2"}, force=True)

    with worker.publisher.at_work(patience=1):
        assert spare(worker).stat().st_ino == inode

    assert worker.reconcile_once().error is None

    assert worker.mirror.link.stat().st_ino == inode


def test_old_releases_and_their_content_go_in_spite_of_the_spare(
    origin: Origin, follow: Follow, worker: Reconciler, look: Look
) -> None:
    origin.publish({"b": b"2"})
    worker.reconcile_once()
    worker.prepare()
    key = next(f.key for f in worker.publisher.manifest(worker.mirror.current() or "").files)
    first = next(each for each in worker.mirror.releases() if each != worker.mirror.current())

    worker.publisher._retire(first)
    worker.publisher.store.sweep()

    assert worker.publisher.store.entry(key).is_file()
    assert [path.name for path in worker.publisher.store.folder.glob("??/*")] == [key[2:]]
    assert look(spare(worker)) == {"b": b"2"}


def test_what_cannot_be_prepared_is_built_when_it_is_needed(
    origin: Origin, follow: Follow, look: Look
) -> None:
    origin.publish(BEFORE)
    worker = follow()
    worker.reconcile_once()
    spare(worker).mkdir()
    (spare(worker) / "in the way").touch()
    shutil.rmtree(worker.mirror.state / "store")
    (worker.mirror.state / "store").touch()

    worker.prepare()

    assert worker.mirror.current() is not None
    (worker.mirror.state / "store").unlink()
    origin.publish({**BEFORE, "a": b"2"})
    assert worker.reconcile_once(Trigger.STARTUP).error is None
    assert look(worker.mirror.link.resolve()) == {**BEFORE, "a": b"2"}


def test_the_service_prepares_when_nothing_is_due_and_clears_up_when_it_ends(
    origin: Origin, follow: Follow
) -> None:
    origin.publish(BEFORE)
    worker, stop = follow(), threading.Event()
    thread = threading.Thread(target=worker.run_forever, args=(stop,))
    thread.start()
    try:
        end = time.monotonic() + 120
        while not worker.publisher._spare.ready:
            assert time.monotonic() < end, "nothing was prepared"
            time.sleep(0.01)
    finally:
        stop.set()
        worker.wake(Trigger.MANUAL)
        thread.join()
    assert list((worker.mirror.state / "building").iterdir()) == []
