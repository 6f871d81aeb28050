"""Folders that are one product: Zarr stores and CASA tables; by the names of their files alone."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ZARR, CASA = "zarr", "casa"
MARKS = {".zgroup": ZARR, ".zarray": ZARR, "zarr.json": ZARR, "table.dat": CASA}
"""What lies in such a folder: Zarr 2 and 3; the main table of a measurement set, and its others.

A folder with nothing but `.zattrs` is not a store: no library opens it.
"""
METADATA = frozenset({".zgroup", ".zarray", ".zattrs", ".zmetadata", "zarr.json"})
"""Of Zarr, hidden or not: files of the store and no by-product."""
CHUNK = re.compile(r"c|(c[/.])?\d+([/.]\d+)*")
"""The key of a chunk below its array (Zarr 2: 0.0 or 0/0; Zarr 3: c/0/0)."""
LOCK = "table.lock"
"""Who reads a CASA table now; says nothing about it."""


def directories(paths: Iterable[str]) -> dict[str, str]:
    """Return the folders that are one product, with their kind: of nested ones the outermost."""
    found: dict[str, str] = {}
    for path in paths:
        where = PurePosixPath(path)
        if (kind := MARKS.get(where.name)) is not None and where.parent.name:
            found.setdefault(str(where.parent), kind)
    return {
        folder: kind
        for folder, kind in found.items()
        if not any(str(above) in found for above in PurePosixPath(folder).parents)
    }


def members(paths: Iterable[str], found: dict[str, str]) -> dict[str, str]:
    """Return the files that belong to such a folder, with the folder.

    A file in a Zarr store that is neither metadata nor a chunk stands for itself.
    """
    held = sorted(paths)
    arrays = {
        str(where.parent)
        for where in map(PurePosixPath, held)
        if where.name in {".zarray", "zarr.json"}
    }
    belonging = {}
    for path in held:
        folder = next((str(a) for a in PurePosixPath(path).parents if str(a) in found), None)
        if folder is not None and (found[folder] == CASA or _in_store(path, arrays)):
            belonging[path] = folder
    return belonging


def _in_store(path: str, arrays: set[str]) -> bool:
    where = PurePosixPath(path)
    if where.name in METADATA:
        return True
    return any(
        str(above) in arrays and CHUNK.fullmatch(where.relative_to(above).as_posix())
        for above in where.parents
    )
