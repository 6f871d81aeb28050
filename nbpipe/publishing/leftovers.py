"""What a git that was killed leaves behind in a repository, and what then stops the next one.

Where no git runs, for the holder of the collection's lock, every lock is stale. Nothing here
removes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILES = ("gc.pid", "gc.log", "packed-refs.new")
"""Beside the `.lock` files: git's own `gc` refuses to run, or to write, where they are."""
_FOLDERS = ("refs", "logs", "reftable", "worktrees", "objects/info")


def locks(repository: Path) -> Iterator[Path]:
    """Yield every lock of a bare repository; the thousands of folders of objects have none."""
    for name in _FILES:
        if (repository / name).is_file():
            yield repository / name
    yield from repository.glob("*.lock")
    for name in _FOLDERS:
        yield from (repository / name).rglob("*.lock")
    for name in ("objects", "objects/pack"):
        yield from (repository / name).glob("*.lock")


def half_written(repository: Path) -> Iterator[Path]:
    """Yield the objects and packs that were never finished; nothing refers to them."""
    yield from (repository / "objects" / "pack").glob("tmp_*")
    yield from (repository / "objects" / "pack").glob(".tmp-*")
    yield from (repository / "objects").glob("??/tmp_obj_*")
