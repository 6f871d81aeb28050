"""What a run left: every output with bytes, sum, kind, schema and statistics.

A file that is damaged, unreadable, of an unknown kind or changing is described as far as it goes,
with the reason: this never raises because of a file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.reference.manifest import Output
from nbpipe.reference.products.directories import directories, members
from nbpipe.reference.products.kinds import kind_of
from nbpipe.reference.products.parallel import each_of, nobody
from nbpipe.reference.products.protocol import (
    READERS,
    NoLibrary,
    ProductError,
    guarded,
    opened,
    rows_at_once,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nbpipe.reference.manifest import Column, Part, Statistics
    from nbpipe.reference.products.parallel import Described
    from nbpipe.reference.products.protocol import Product

NO_NUMBERS = ("string", "object", "reference", "empty", "null", "list of ")
"""What the types begin with that have no statistics."""


def describe_outputs(
    folder: Path, globs: Sequence[str], tell: Callable[[Described], None] = nobody
) -> tuple[Output, ...]:
    """Describe every file below the folder that a pattern matches, in the order of their paths.

    Args:
        folder: What paths and patterns are relative to.
        globs: Patterns as in .gitignore; a later one with `!` takes out again.
        tell: Called for each of them, as they come.
    """
    return describe_all(folder, matching(folder, globs), tell)


def describe_all(
    folder: Path, paths: Iterable[str], tell: Callable[[Described], None] = nobody
) -> tuple[Output, ...]:
    """Describe files in the order of their paths; those of one product in a folder as its parts.

    Many or large ones are described in several processes.

    Args:
        folder: What the paths are relative to.
        paths: The files.
        tell: Called for each of them, as they come.
    """
    chosen = sorted(paths)
    found = directories(chosen)
    owners = members(chosen, found)
    kinds = {path: found[owner] for path, owner in owners.items()}
    outputs = each_of(folder, chosen, partial(_one, folder, kinds), tell)
    return tuple(outputs[path] for path in chosen)


def _one(folder: Path, kinds: dict[str, str], path: str) -> Output:
    return describe(folder, path, kinds.get(path))


def matching(folder: Path, globs: Sequence[str]) -> Iterator[str]:
    """Yield the relative path of what matches; links to folders are named, not followed."""
    from nbpipe.system.wildmatch import spec  # noqa: PLC0415  (only where files are looked for)

    chosen = spec(globs)
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(f"{where}/{name}")]  # noqa: PTH114
        below = Path(where).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from chosen.match_files(f"{prefix}{name}" for name in (*files, *links))


def describe(folder: Path, path: str, kind: str | None = None) -> Output:
    """Describe one file; tried once more where it changed meanwhile.

    Args:
        folder: What the path is relative to.
        path: The file's.
        kind: Of the folder that is one product, of which the file is a part.
    """
    file = folder / path
    link = _target(folder, file)
    try:
        for _ in range(2):
            before = file.stat()
            if not stat.S_ISREG(before.st_mode):
                return _undescribed(path, "special", _what(file, before.st_mode), link)
            output = replace(
                _describe(file, path, before.st_size, kind), link=link, modified=moment(before)
            )
            if _same(before, file.stat()):
                return output
        return replace(output, sha256=None, error="it changed while it was read")
    except OSError as error:
        return _undescribed(path, "unreadable", _why(file, error), link)


def _target(folder: Path, file: Path) -> str | None:
    """Return where a symbolic link leads, None where it is none.

    Every run has a folder of its own, so a path below it is told relative to it.
    """
    if not file.is_symlink():
        return None
    target = file.readlink()
    where = Path(os.path.normpath(file.parent / target)).absolute()
    inside = where.is_relative_to(folder.absolute())
    return where.relative_to(folder.absolute()).as_posix() if inside else str(target)


def _describe(file: Path, path: str, size: int, kind: str | None) -> Output:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    output = Output(path=path, bytes=size, sha256=digest, kind=kind or kind_of(file))
    if file.is_symlink():
        output = replace(output, notes=(f"a link to {os.readlink(file)}",))  # noqa: PTH115
    if kind or output.kind not in READERS:
        return output
    try:
        return _with_content(output, file)
    except NoLibrary as missing:
        return replace(output, notes=(*output.notes, f"not described: {missing}"))
    except ProductError as error:
        return replace(output, error=str(error))


def _with_content(output: Output, file: Path) -> Output:
    errors: list[str] = []
    with opened(file, output.kind) as product:
        parts = []
        for part in product.parts:
            try:
                with guarded():
                    parts.append(_with_statistics(product, part))
            except ProductError as error:
                errors.append(f"{part.name}: {error}".removeprefix(": "))
                parts.append(part)
        return replace(
            output,
            kind=product.kind,
            parts=tuple(parts),
            notes=(*output.notes, *product.notes),
            error="; ".join(errors) or None,
        )


def _with_statistics(product: Product, part: Part) -> Part:
    if part.form == "table":
        found = _statistics(product, part, part.columns)
    else:
        found = {}
        for column in part.columns:
            found |= _statistics(product, part, [column])
    columns = [replace(each, statistics=found.get(each.name)) for each in part.columns]
    return replace(part, columns=tuple(columns))


def _statistics(product: Product, part: Part, columns: Sequence[Column]) -> dict[str, Statistics]:
    """Return the statistics of columns with the same number of rows, read together."""
    from nbpipe.reference.products.statistics import Running  # noqa: PLC0415  (needs numpy)

    numeric = [each for each in columns if not each.dtype.startswith(NO_NUMBERS)]
    numeric = [each for each in numeric if product.rows(part, each)]
    if not numeric:
        return {}
    running = {each.name: Running() for each in numeric}
    rows = rows_at_once(numeric, whole=part.form != "table")
    for block in product.blocks(part, list(running), rows):
        for name, values in block.items():
            running[name].add(values)
    return {name: each.result() for name, each in running.items()}


def moment(status: os.stat_result) -> str:
    """Return when a file was last written, as a manifest says it."""
    try:
        when = datetime.fromtimestamp(status.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return str(status.st_mtime_ns)
    return when.isoformat(timespec="milliseconds")


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ino) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ino,
    )


def _undescribed(path: str, kind: str, why: str, link: str | None) -> Output:
    return Output(path=path, bytes=0, sha256=None, kind=kind, link=link, error=why)


def _what(file: Path, mode: int) -> str:
    if stat.S_ISDIR(mode):
        return f"a link to a folder, {os.readlink(file)}: not followed"  # noqa: PTH115
    return "neither a file nor a folder"


def _why(file: Path, error: OSError) -> str:
    if file.is_symlink():
        return f"a link to {os.readlink(file)}: {error.strerror}"  # noqa: PTH115
    return error.strerror or str(error)
