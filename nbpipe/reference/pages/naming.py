"""Names of files on a page: in the folder that all of them are in, which is told once."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.reference.comparison.model import Comparison


def below(comparison: Comparison) -> tuple[str, Comparison]:
    """Return the folder that all files are in ("" for none), and all with their names in it."""
    names = [name for each in comparison.files for name in (each.path, each.renamed_from) if name]
    folder = _common_folder(names)
    if not folder:
        return "", comparison
    start = len(folder) + 1
    files = (
        replace(
            each,
            path=each.path[start:],
            renamed_from=each.renamed_from and each.renamed_from[start:],
        )
        for each in comparison.files
    )
    return folder, replace(comparison, files=tuple(files))


def _common_folder(names: Sequence[str]) -> str:
    """Return the folder that all of several files are in; "" where there is none."""
    parents = {PurePosixPath(name).parent.as_posix() for name in names}
    if len(names) < 2 or any(parent.startswith("/") for parent in parents):  # noqa: PLR2004
        return ""
    return posixpath.commonpath(parents).removeprefix(".")
