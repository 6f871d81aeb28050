"""Git LFS: pointers are published with a warning, or what they point to."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.publishing.reconcile import Result
from nbpipe.publishing.releases import operations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, Any]]

CONTENT = b"a large table " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POINTER = (
    f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(CONTENT)}\n"
).encode()
FILES = {"a.txt": b"1", "data/table.fits": POINTER}


@pytest.fixture
def git_lfs() -> None:
    if shutil.which("git-lfs") is None:
        if os.environ.get("NBPIPE_REQUIRE") == "all":
            pytest.fail("git-lfs is missing")
        pytest.skip("git-lfs is missing")


def offer(origin: Origin, content: bytes) -> None:
    """Put the large file where the origin keeps those."""
    folder = origin.path / "lfs" / "objects" / SHA256[:2] / SHA256[2:4]
    folder.mkdir(parents=True)
    (folder / SHA256).write_bytes(content)


def test_pointers_are_published_with_a_warning(origin: Origin, follow: Follow, look: Look) -> None:
    origin.publish(FILES)
    worker = follow()

    outcome = worker.reconcile_once()

    assert outcome.warnings == ("1 Git LFS pointers are published as they are",)
    assert look(worker.mirror.link) == FILES


@pytest.mark.usefixtures("git_lfs")
def test_what_a_pointer_stands_for_is_fetched_where_the_settings_say_so(
    origin: Origin, follow: Follow, look: Look
) -> None:
    offer(origin, CONTENT)
    origin.publish(FILES)
    worker = follow(lfs="fetch")

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.warnings) == (Result.PUBLISHED, ())
    assert look(worker.mirror.link) == {"a.txt": b"1", "data/table.fits": CONTENT}
    assert [each.damages for each in operations.verify(worker.publisher)] == [()]


@pytest.mark.usefixtures("git_lfs")
def test_a_large_file_that_is_not_there_publishes_nothing(origin: Origin, follow: Follow) -> None:
    origin.publish(FILES)

    outcome = follow(lfs="fetch").reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "data/table.fits: git lfs failed" in (outcome.error or "")


@pytest.mark.usefixtures("git_lfs")
def test_the_repository_cannot_send_git_lfs_elsewhere(
    origin: Origin, follow: Follow, look: Look
) -> None:
    offer(origin, CONTENT)
    origin.publish(FILES | {".lfsconfig": b"[lfs]\n\turl = http://127.0.0.1:1/elsewhere\n"})
    worker = follow(lfs="fetch")

    worker.reconcile_once()

    assert look(worker.mirror.link)["data/table.fits"] == CONTENT
