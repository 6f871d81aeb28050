"""What git knows about the files of a repository, and about those that are changed or new.

What asks git about a working tree; only plumbing that never writes, also not the
index. Paths are relative to the repository's top, with `/`. An id is the one that git would give
the file: filters (line ends, Git LFS) make no difference.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.system import git

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from nbpipe.model import Trace

ABSENT = ""
"""The id of a file that is not there."""

CACHES = frozenset({".git", "__pycache__", ".ipynb_checkpoints"})
"""Names that come and go without anybody's doing."""

FILES_IN = "//files/"
"""How an input begins that is the names of the files below a folder (see `Files.ids`)."""

MODULE_ENDINGS = (".py", ".so", ".pyd", ".pyc")

_SLACK_NS = 5_000_000
"""A file system's clock may be so far behind."""

_PATIENCE = 300
"""Seconds; many large files may have to be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What differs between a commit and the working tree."""

    rev: str
    """As it was asked for."""
    commit: str
    changed: frozenset[str]
    """Every path that is not the same, those that came and went included."""
    names: frozenset[str]
    """Of these, what came or went; folders too."""
    untracked: frozenset[str]
    """Of these, what git does not know."""
    tracked: frozenset[str]
    """Everything that git knows."""


def top(folder: Path) -> Path | None:
    """Return the top of the repository that a folder is in; None where it is in none."""
    try:
        return Path(_text(_git(folder, "rev-parse", "--show-toplevel")).removesuffix("\n"))
    except (OSError, subprocess.SubprocessError):
        return None


def change(top: Path, rev: str) -> Change:
    """Return what differs between a commit and the working tree, new files included.

    Raises:
        UsageError: There is no such commit here, or git cannot say.
    """
    commit = _commit(top, rev)
    try:
        status = _words(
            _git(top, "diff", "--name-status", "-z", "--no-renames", "--no-ext-diff",
                 "--ignore-submodules=none", commit, "--")
        )  # fmt: skip
        untracked = frozenset(_words(_git(top, "ls-files", "-z", "-o", "--exclude-standard")))
        tracked = _words(_git(top, "ls-files", "-z"))
    except (OSError, subprocess.SubprocessError) as error:
        raise _failed(top, error) from error
    pairs = dict(zip(status[1::2], status[::2], strict=True))
    came = {path for path, letter in pairs.items() if letter == "A"} | untracked
    gone = {path for path, letter in pairs.items() if letter == "D"}
    now = {*tracked, *untracked} - gone
    folders = _folders(now) ^ _folders((now - came) | gone)
    return Change(
        rev=rev,
        commit=commit,
        changed=frozenset(pairs) | untracked,
        names=frozenset(came | gone | folders),
        untracked=untracked,
        tracked=frozenset(tracked),
    )


def renames(folder: Path, since: str, until: str = "HEAD") -> dict[str, str]:
    """Return what was renamed after a commit: the path now -> the path then.

    git decides by what files hold (`-M` of git-diff(1)), commit by commit, so that a file that
    was renamed and then rewritten is followed. Paths are relative to the folder, and below it.
    Up to `HEAD` the working tree counts too: also a file that was moved and not added yet.

    Args:
        folder: In the repository.
        since: A commit, which need not be an ancestor.
        until: The later one.

    Raises:
        OSError, subprocess.SubprocessError: git cannot say.
    """
    how = ("-M", "--diff-filter=R", "--name-status", "-z", "--no-ext-diff", "--relative")
    log = _git(folder, "log", *how, "--reverse", "--topo-order", "--format=", f"{since}..{until}")
    steps = _pairs(log)
    if until == "HEAD":
        steps += _pairs(_git(folder, "diff", *how, "HEAD")) + _moved(folder)
    then: dict[str, str] = {}
    for old, new in steps:
        then[new] = then.pop(old, old)
    return then


def _pairs(said: bytes) -> list[tuple[str, str]]:
    """Return the old and the new path of each entry: `R100`, old, new."""
    words = [word.lstrip("\n") for word in _words(said)]
    return list(zip(words[1::3], words[2::3], strict=True))


def _moved(folder: Path) -> list[tuple[str, str]]:
    """Return files that are gone and stand, the same, where git knows nothing of them yet."""
    gone = _words(
        _git(folder, "diff", "--name-only", "-z", "--diff-filter=D", "--relative", "HEAD")
    )
    if not gone:
        return []
    entries = _words(_git(folder, "ls-tree", "-z", "HEAD", "--", *gone))
    ids = {head.split()[2]: path for head, _, path in (e.partition("\t") for e in entries)}
    new = [
        path
        for path in _words(_git(folder, "ls-files", "-z", "-o", "--exclude-standard"))
        if "\n" not in path
        and path.rpartition(".")[2] in {p.rpartition(".")[2] for p in gone}
        and os.access(folder / path, os.R_OK)
    ]
    given = "\n".join(f"{folder}/{path}" for path in new).encode(errors="surrogateescape")
    hashed = _text(_git(folder, "hash-object", "--stdin-paths", given=given)).split() if new else []
    return [(ids[name], path) for path, name in zip(new, hashed, strict=True) if name in ids]


def _commit(top: Path, rev: str) -> str:
    name = f"{rev}^{{commit}}"
    try:
        found = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return _text(found).strip()
    except OSError as error:
        raise _failed(top, error) from error
    except subprocess.SubprocessError as error:
        shallow = (top / ".git/shallow").exists() or _is_shallow(top)
        hint = (
            f"This clone is shallow: `git fetch --depth=1 origin {rev}` gets that one commit"
            " (in a GitHub workflow: `fetch-depth: 0` of actions/checkout)."
            if shallow
            else "Name a commit, branch or tag: HEAD~1, origin/main."
        )
        raise UsageError(f"--changed-since {rev}: no such commit in {top}", hint=hint) from error


def _is_shallow(top: Path) -> bool:
    try:
        return _git(top, "rev-parse", "--is-shallow-repository").strip() == b"true"
    except (OSError, subprocess.SubprocessError):
        return False


def _failed(top: Path, error: Exception) -> UsageError:
    said = _text(getattr(error, "stderr", None) or b"").strip() or str(error)
    return UsageError(f"{top}: git cannot say what changed: {said}", hint="See `git status` there.")


def _folders(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


class Files:
    """The ids of files as they are now; each is looked at again only when it has changed.

    Args:
        top: The repository's.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._index: dict[str, str] | None = None
        self._looked = 0

    def ids(self, paths: Collection[str]) -> dict[str, str]:
        """Return the id of each file, `ABSENT` for what is none.

        `folder/` has the id of its names, `//` that of all files, `//names` that of their names,
        `//files` that of the names of those that are neither notebooks nor modules; ignored files
        are in none of the last three. `//files/folder` has those below a folder, `//files/` those
        in the top. Traces of old have `//.h5`: all files with the ending.

        Raises:
            OSError, subprocess.SubprocessError: git cannot say.
        """
        found, unknown = {}, {}
        if self._index is None:
            self._looked = time.time_ns() - _SLACK_NS
            self._index = self._clean()
        for path in paths:
            if path.startswith("//"):
                found[path] = self._many(path[2:])
            elif path.endswith("/"):
                found[path] = self._names(path)
            elif (stamp := self._stamp(path)) is None:
                found[path] = ABSENT
            elif (known := self._known.get(path)) and known[0] == stamp:
                found[path] = known[1]
            elif path in self._index and stamp[1] < self._looked:
                found[path] = self._index[path]
                self._known[path] = stamp, found[path]
            else:
                unknown[path] = stamp
        for path, name in self._hashed(list(unknown)).items():
            self._known[path] = unknown[path], name
            found[path] = name
        return found

    def _clean(self) -> dict[str, str]:
        """Return the ids of what is as in the index."""
        dirty = set(_words(_git(self.top, "diff", "--name-only", "-z", "--no-ext-diff")))
        entries = _words(_git(self.top, "ls-files", "-s", "-z"))
        pairs = ((path, head.split()) for head, _, path in (e.partition("\t") for e in entries))
        return {
            path: words[1] for path, words in pairs if path not in dirty and words[0] != "160000"
        }

    def _many(self, ending: str) -> str:
        """Return the id of all files with an ending."""
        known = _words(_git(self.top, "ls-files", "-z", "-c", "-o", "--exclude-standard"))
        if ending == "names" or ending.partition("/")[0] == "files":
            wanted = (each for each in known if ending == "names" or is_one_of(f"//{ending}", each))
            return _digest(path for path in sorted(set(wanted)) if self._stamp(path))
        ids = self.ids([path for path in set(known) if path.endswith(ending)])
        return _digest(f"{path} {ids[path]}" for path in sorted(ids))

    def _stamp(self, path: str) -> tuple[int, int, int] | None:
        try:
            status = os.lstat(f"{self.top}/{path}")
        except (OSError, ValueError):
            return None
        return status.st_size, status.st_ctime_ns, status.st_ino

    def _names(self, folder: str) -> str:
        try:
            return _digest(sorted(set(os.listdir(f"{self.top}/{folder}")) - CACHES))  # noqa: PTH208
        except (OSError, ValueError):
            return ABSENT

    def _hashed(self, paths: list[str]) -> dict[str, str]:
        """Return ids of files; what cannot be read has one that nothing else has."""
        plain = [
            path
            for path in paths
            if "\n" not in path and os.path.isfile(f"{self.top}/{path}")  # noqa: PTH113
            and os.access(f"{self.top}/{path}", os.R_OK)
        ]  # fmt: skip
        found = dict.fromkeys(paths, "unreadable")
        if plain:
            given = "\n".join(plain).encode(errors="surrogateescape")
            said = _git(self.top, "hash-object", "--stdin-paths", given=given)
            found |= dict(zip(plain, _text(said).split(), strict=True))
        return found


def is_data(path: str) -> bool:
    """Return whether a file can be one that compiled code looks for by its name.

    The runner opens notebooks, and Python modules: these are traced by the imports.
    """
    return not path.endswith((".ipynb", ".py"))


def is_one_of(files: str, path: str) -> bool:
    """Return whether a file is one of `//files`, or of `//files/folder`."""
    folder = files.removeprefix(FILES_IN)
    if not is_data(path) or not folder:
        return is_data(path) and "/" not in path
    return folder == files or path.startswith(f"{folder}/")


def modules_in(top: Path, folder: str) -> frozenset[str]:
    """Return the names of what could be imported from a folder: files of Python, and folders.

    A folder without `__init__.py` never stands in the way of the standard library.
    """
    place = f"{top}/{folder}"
    try:
        names = set(os.listdir(place)) - CACHES  # noqa: PTH208
    except (OSError, ValueError):
        return frozenset()
    found = set()
    for name in names:
        stem, dot, _ = name.partition(".")
        if dot:
            is_module = name.endswith(MODULE_ENDINGS)
        else:
            inside = "__init__.py" if stem in sys.stdlib_module_names else ""
            is_module = os.path.exists(f"{place}/{name}/{inside}")  # noqa: PTH110
        if is_module and stem.isidentifier():
            found.add(stem)
    return frozenset(found)


def modules_found(trace: Trace, modules_in: Callable[[str], frozenset[str]]) -> tuple[str, ...]:
    """Return where there is a module now, of all places where the notebook looked for one."""
    names = sys.stdlib_module_names | set(trace.modules)
    found = {
        _joined(folder, name) for folder in trace.folders for name in modules_in(folder) & names
    }
    for place in trace.places:
        folder, _, name = place.rpartition("/")
        if name in modules_in(folder):
            found.add(place)
    return tuple(sorted(found))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()[:40]


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    words = ("-c", "core.quotePath=false", *arguments)
    return git.output(folder, *words, given=given, timeout=_PATIENCE)


def _words(text: bytes) -> list[str]:
    return _text(text).split("\0")[:-1]


def _text(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
