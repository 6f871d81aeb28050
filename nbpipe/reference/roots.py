"""Folders outside of the collection in which a run leaves products, each under a name.

A root appears in the run's copy of the collection as a folder of its name (a link to where it
is), and so do its products in the manifest: `scratch/zcat.fits`, wherever `scratch` was for that
run. So patterns, rules and comparisons have one way of naming a file, and two runs compare file
by file.

    roots = {scratch = "$SCRATCH/minitest"}      each run has a folder of its own, .../RUN
    roots = {scratch = "$SCRATCH/{name}/{run}"}  the same, with a place for it
    roots = {scratch = "$SCRATCH/{release}"}     one for all runs of a release
    outputs = ["/scratch/minitest/**"]           that folder as it is, as the root `outside`

In a folder that several runs share only what is new or changed since the run began is a product.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.reference import spelling
from nbpipe.reference.words import filled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VARIABLE = "NBPIPE_ROOT_"
"""How the variables begin that hold the roots' folders."""
ABSOLUTE = "outside"
"""Root of the absolute patterns; of further folders `outside2`, ..."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PREFIXED = re.compile(r"(!?)([A-Za-z0-9][A-Za-z0-9._-]*):(.+)")
_MAGIC = re.compile(r"[*?\[\\]")
_PLACES = frozenset({"run", "release", "name"})


@dataclass(frozen=True, slots=True)
class Root:
    """A folder, and whether this run alone has it."""

    name: str
    path: Path
    """Absolute."""
    own: bool

    @property
    def variable(self) -> str:
        """The variable in which the job finds the folder."""
        return VARIABLE + re.sub(r"\W", "_", self.name.upper(), flags=re.ASCII)


def named(
    texts: Mapping[str, str], *, environ: Mapping[str, str], words: Mapping[str, str]
) -> tuple[Root, ...]:
    """Return the roots of a run.

    Args:
        texts: Name -> path, as it is configured.
        environ: The variables of who submits.
        words: The run's own: run, release, name.

    Raises:
        UsageError: A name or a path cannot be, or two names have one variable.
    """
    found: dict[str, Root] = {}
    for name, text in texts.items():
        what = f"root {name}"
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"root {name!r}: this cannot be a name",
                hint="Letters, digits and ._- are accepted; the first is a letter or a digit.",
            )
        path = os.path.expanduser(filled(text, what, environ=environ, words=words))  # noqa: PTH111
        _check_path(path, what)
        used = set(re.findall(r"(?<!\$)\{(\w+)\}", text)) & _PLACES
        root = Root(name, Path(os.path.normpath(path)), own="run" in used or not used)
        if not used:
            root = Root(name, root.path / words["run"], own=True)
        if root.variable in found:
            raise UsageError(
                f"roots {found[root.variable].name} and {name} have one variable: {root.variable}",
                hint="Rename one of them.",
            )
        found[root.variable] = root
    return tuple(found.values())


def _check_path(path: str, what: str) -> None:
    spelling.line(path, what)
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise UsageError(
            f"{what}: {path!r} is not an absolute path",
            hint="Write the whole path, or begin with a variable: $SCRATCH/minitest.",
        )


def placed(
    patterns: Sequence[str], roots: Sequence[Root], collection: Path, environ: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[Root, ...]]:
    """Return the patterns as of a run's folder, and the roots with those of absolute patterns.

    Args:
        patterns: As they were given: `qa/**`, `scratch:*.fits`, `$SCRATCH/x/**`, `/scratch/x/**`.
        roots: The named ones.
        collection: The collection's folder; what it has itself is not a folder of the machine.
        environ: The variables of who submits.

    Raises:
        UsageError: A prefix is no root's name, or an absolute pattern has no folder.
    """
    absolute = {text: _absolute(text, collection, environ) for text in patterns}
    folders = _outermost(
        _folder(path) for text, path in absolute.items() if path and not text.startswith("!")
    )
    more = [
        Root(f"{ABSOLUTE}{number if number > 1 else ''}", folder, own=False)
        for number, folder in enumerate(folders, start=1)
    ]
    known = (*roots, *more)
    made = tuple(
        _below(text, path, more) if (path := absolute[text]) else _relative(text, known)
        for text in patterns
    )
    return made, known


def _absolute(text: str, collection: Path, environ: Mapping[str, str]) -> str | None:
    """Return the absolute path that a pattern names, None where it is of the run's folder.

    `/qa/**` is anchored at the collection, as in .gitignore, unless this machine has such a folder
    and the collection has not.
    """
    pattern = text.removeprefix("!")
    if pattern.startswith("$"):
        path = filled(pattern, "outputs", environ=environ, words={})
        _check_path(path, f"outputs {text!r}")
        return _whole(path)
    first = PurePosixPath(pattern).parts[1:2]
    if not pattern.startswith("/") or not first or _MAGIC.search(first[0]):
        return None
    is_here = (Path("/") / first[0]).is_dir() and not (collection / first[0]).exists()
    if not is_here:
        return None
    _check_path(pattern, f"outputs {text!r}")
    return _whole(pattern)


def _whole(path: str) -> str:
    """Return the path of a folder with a slash, so that all of it is meant."""
    is_folder = os.path.isdir(path)  # noqa: PTH112  (raises nothing where it may not be read)
    return f"{path}/" if is_folder and not path.endswith("/") else path


def _folder(path: str) -> Path:
    """Return the folder that holds everything a pattern can match."""
    parts = PurePosixPath(path).parts
    plain = next((n for n, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
    if path.endswith("/"):
        plain = len(parts)
    if plain < 2:  # noqa: PLR2004  (the root folder and one more)
        raise UsageError(
            f"outputs {path!r}: this is all of the machine",
            hint="Begin with the folder of the run's products, as in /scratch/minitest/**.",
        )
    return Path(*parts[:plain])


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders without those that are inside of another."""
    every = list(dict.fromkeys(folders))
    return [
        each
        for each in every
        if not any(each != other and each.is_relative_to(other) for other in every)
    ]


def _below(text: str, path: str, roots: Sequence[Root]) -> str:
    """Return an absolute pattern as of the run's folder."""
    for root in roots:
        if path.startswith(f"{root.path}/"):
            sign = "!" if text.startswith("!") else ""
            return f"{sign}/{root.name}/{path.removeprefix(f'{root.path}/') or '**'}"
    raise UsageError(
        f"outputs {text!r}: no other pattern chooses anything in that folder",
        hint="Leave it out, or name the folder's products first.",
    )


def _relative(text: str, roots: Sequence[Root]) -> str:
    """Return a pattern as of the run's folder: `scratch:*.fits` as `/scratch/**/*.fits`."""
    found = _PREFIXED.fullmatch(text)
    if found is None:
        return text
    sign, name, pattern = found.groups()
    if name not in {root.name for root in roots}:
        known = ", ".join(root.name for root in roots) or "none"
        raise UsageError(
            f"outputs {text!r}: no root is called {name!r}",
            hint=f"Roots: {known}. A colon in a file's name is written \\:.",
        )
    anchored = "/" in pattern.rstrip("/")
    return f"{sign}/{name}/{'' if anchored else '**/'}{pattern.removeprefix('/')}"


def make(roots: Iterable[Root], work: Path) -> list[Path]:
    """Let the roots appear in the run's copy of the collection; return the folders that were made.

    Raises:
        UsageError: One cannot be made or written, or the collection has something of its name.
    """
    made: list[Path] = []
    for root in roots:
        link = work / root.name
        if os.path.lexists(link):
            unmake(made)
            raise UsageError(
                f"root {root.name}: the collection has a file or folder of that name",
                hint="Give the root another name.",
            )
        try:
            missing = [each for each in (root.path, *root.path.parents) if not each.exists()]
            root.path.mkdir(parents=True, exist_ok=True)
            made += missing
            if not os.access(root.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "not writable")
            link.symlink_to(root.path)
        except OSError as error:
            unmake(made)
            raise UsageError(
                f"root {root.name}: {root.path}: {error.strerror}",
                hint="Name a folder that you may write, and that all hosts of the job see.",
            ) from error
    return made


def unmake(folders: Iterable[Path]) -> None:
    """Remove folders that were made for a run which was not submitted, as far as empty."""
    for each in folders:
        try:
            each.rmdir()
        except OSError:
            return


def lacking(roots: Mapping[str, str]) -> str | None:
    """Return which of a run's roots is not there or cannot be used on this host, and why."""
    for name, path in roots.items():
        try:
            os.scandir(path).close()
        except (FileNotFoundError, NotADirectoryError):
            return f"root {name}: {path}: folder not found on this host"
        except OSError as error:
            return f"root {name}: {path}: cannot be read: {error.strerror}"
    return None
