"""The working tree of a collection: what is copied for a run, and what is said of it.

What is copied is the tree as it is, not a commit; so the record says how the two differ, and what
of the tree the run does not see.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.system import git, units
from nbpipe.system.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMED = 5
"""Files that a warning names."""
_MOST_BYTES = 5_000_000_000
"""Of a collection that is copied for a run."""
_MOST_NAMES = 1000
"""Of changed and of ignored files that are recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """The collection that is copied for a run."""

    root: Path
    paths: tuple[Path, ...]
    """Relative to the root."""
    submodules: dict[str, str] = field(default_factory=dict)
    """Path -> commit."""
    ignored: tuple[str, ...] = ()
    """What git ignores, and is not copied."""
    absent: tuple[str, ...] = ()
    """Submodules that are not checked out."""
    changed: tuple[str, ...] = ()
    """Files that differ from the commit."""

    @property
    def left_out(self) -> list[str]:
        """What the run does not see, for its record."""
        return [*self.ignored, *(f"{each}: submodule, not checked out" for each in self.absent)]

    def warnings(self) -> Iterator[str]:
        """Yield what somebody should know before a job waits for hours."""
        if self.ignored:
            yield (
                f"{count(len(self.ignored), 'ignored file or folder')} not copied: the notebook "
                f"does not find {_few(self.ignored)} in its copy of the collection"
            )
        for each in self.absent:
            yield f"submodule {each} is not checked out: git submodule update --init {each}"
        if self.changed:
            differ = "differs" if len(self.changed) == 1 else "differ"
            yield (
                f"{count(len(self.changed), 'file')} {differ} from the commit, and "
                f"{'is' if len(self.changed) == 1 else 'are'} copied as here: {_few(self.changed)}"
            )


def tree_of(notebook: Path, root: Path) -> Tree:
    """Return the folder to copy, and the files in it.

    That is what git knows of the repository and its submodules (and what it does not ignore), or
    without git the notebook's own folder, or the collection's where a configuration marks it.

    Raises:
        UsageError: There is no such notebook, or too much to copy.
    """
    if not notebook.is_file():
        raise UsageError(f"{notebook}: notebook not found", hint="Name an existing file.")
    found = _known_to_git(notebook.parent)
    if found is None:
        found = _walked(root if notebook.is_relative_to(root) else notebook.parent)
    own = notebook.relative_to(found.root)
    if own not in found.paths:
        found = replace(found, paths=(*found.paths, own))
    sizes = (found.root / path for path in found.paths)
    total = sum(each.lstat().st_size for each in sizes if each.exists())
    if total > _MOST_BYTES:
        raise UsageError(
            f"{found.root}: {units.data(total)} would be copied for the run",
            hint="Keep large data outside of the repository, and give the notebook its path.",
        )
    return found


def files_of(root: Path) -> tuple[Path, tuple[Path, ...], tuple[str, ...]]:
    """Return the top of a collection, the files to copy from there, and what git ignores of it."""
    found = _known_to_git(root) or _walked(root)
    return found.root, found.paths, found.ignored


def _walked(folder: Path) -> Tree:
    """Return the files below a folder, but for hidden ones."""
    paths = sorted(
        Path(parent, name).relative_to(folder)
        for parent, folders, names in os.walk(folder)
        if not _skip(folders)
        for name in names
    )
    return Tree(root=folder, paths=tuple(paths))


def _skip(folders: list[str]) -> bool:
    """Take out what never belongs to a collection, so that the walk does not enter it."""
    folders[:] = [each for each in folders if not each.startswith(".") and each != "node_modules"]
    return False


def _known_to_git(folder: Path) -> Tree | None:
    try:
        top = Path(os.fsdecode(git.output(folder, "rev-parse", "--show-toplevel").rstrip(b"\n")))
        paths, submodules, absent = _tracked(top)
        ignored = _ignored(top)
        for each in submodules:
            ignored += [f"{each}/{name}" for name in _ignored(top / each)]
    except git.GitError:
        return None
    left = [name for name in ignored if not _is_byproduct(name)]
    return Tree(
        root=top,
        paths=tuple(paths),
        submodules=submodules,
        ignored=tuple(left[:_MOST_NAMES]),
        absent=tuple(absent),
        changed=tuple(_changes(top)),
    )


def _ignored(top: Path) -> list[str]:
    return _names(top, "ls-files", "-z", "-oi", "--directory", "--exclude-standard")


def _tracked(top: Path) -> tuple[list[Path], dict[str, str], list[str]]:
    """Return the files of a repository with its submodules, their commits, and those not there."""
    paths: list[Path] = []
    submodules: dict[str, str] = {}
    absent: list[str] = []
    for name in _names(top, "ls-files", "-z", "-co", "--exclude-standard"):
        place = top / name
        if not place.is_dir() or place.is_symlink():
            paths.append(Path(name))
        elif (place / ".git").exists():
            inner, deeper, missing = _tracked(place)
            head = git.output(place, "rev-parse", "HEAD").decode().strip()
            paths += [Path(name) / each for each in inner]
            submodules |= {name.rstrip("/"): head}
            submodules |= {f"{name.rstrip('/')}/{each}": commit for each, commit in deeper.items()}
            absent += [f"{name.rstrip('/')}/{each}" for each in missing]
        else:
            absent.append(name.rstrip("/"))
    return sorted(paths), submodules, absent


def _names(top: Path, *words: str) -> list[str]:
    return sorted({os.fsdecode(name) for name in git.output(top, *words).split(b"\0") if name})


def _is_byproduct(name: str) -> bool:
    """Tell what no notebook needs: caches, environments, checkpoints, hidden files."""
    parts = Path(name).parts
    return name.endswith((".pyc", "~")) or any(
        part.startswith(".") or part in {"__pycache__", "node_modules", "venv"} for part in parts
    )


def _changes(root: Path) -> list[str]:
    """Return what differs from the commit; [] outside of a repository."""
    try:
        lines = git.output(root, "status", "--porcelain", "--no-renames", "-z").split(b"\0")
    except git.GitError:
        return []
    return [line[3:].decode(errors="backslashreplace") for line in lines if line][:_MOST_NAMES]


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}"
