"""What lies in a run's copy of the collection and in its roots, and what of it the run left.

Taken before the first attempt of a job and again when the run is collected: what is new or
changed in between is a product. Paths are relative to the copy; those in a root begin with the
root's name.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nbpipe.reference.products.directories import METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


def inventory(
    work: Path,
    roots: Iterable[str] = (),
    *,
    store: Path | None = None,
    unread: Callable[[OSError], None] | None = None,
) -> dict[str, Any]:
    """Return size and time of every file, and of every link to a folder, which is not followed.

    Args:
        work: The run's copy of the collection.
        roots: Names of links in it to folders that belong to it.
        store: A folder that is passed over: runs are no products, should a root hold them.
        unread: Is told of a folder that cannot be read.
    """
    found: dict[str, Any] = {}
    names = set(roots)
    for top in (work, *(work / name for name in sorted(names))):
        for path in _files(top, names if top == work else set(), _below(top, store), unread):
            with contextlib.suppress(OSError):
                state = path.lstat()
                key = os.fsencode(path.relative_to(work)).decode(errors="backslashreplace")
                found[key] = [state.st_size, state.st_mtime_ns]
    return found


def _files(
    top: Path, but: set[str], skip: Path | None, unread: Callable[[OSError], None] | None
) -> Iterator[Path]:
    for parent, folders, names in os.walk(top, onerror=unread):
        here = Path(parent)
        if skip is not None and skip.parent == here and skip.name in folders:
            folders.remove(skip.name)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*names, *(each for each in links if here != top or each not in but)):
            yield here / name


def _below(top: Path, store: Path | None) -> Path | None:
    """Return where the store is in a root, by the root's own name; None where it is not in it."""
    if store is None:
        return None
    real, inner = Path(os.path.realpath(top)), Path(os.path.realpath(store))
    inside = inner != real and inner.is_relative_to(real)
    return top / inner.relative_to(real) if inside else None


def fresh(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Return the files that are new or changed since an inventory."""
    return {path for path, state in now.items() if before.get(path) != state}


def is_byproduct(path: str) -> bool:
    """Tell what nobody names as a product: caches, hidden files."""
    where = PurePosixPath(path)
    parts = where.parts[:-1] if where.name in METADATA else where.parts
    return where.suffix == ".pyc" or any(part.startswith(".") for part in parts)


def symbolic(work: Path, roots: Mapping[str, str], path: str) -> str | None:
    """Return where a link leads, None where it is none: below a root or the copy by its name.

    Every run has folders of its own, so that their absolute paths are never the same.
    """
    file = work / path
    if not file.is_symlink():
        return None
    name, _, rest = path.partition("/")
    place = Path(roots[name], rest) if name in roots else file
    target = os.readlink(file)  # noqa: PTH115  (as it stands)
    where = Path(os.path.normpath(place.parent / target))
    for root, folder in {**roots, "": str(work.absolute())}.items():
        if where.is_relative_to(folder):
            return PurePosixPath(root, where.relative_to(folder)).as_posix()
    return target
