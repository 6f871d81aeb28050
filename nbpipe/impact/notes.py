"""The notes of the hook in a kernel (see `audithook`) -> what they mean for a trace. No IO."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CACHED = re.compile(r"(.*?)__pycache__/([^/]+?)\.(?:cpython|pypy|graalpy)[^/]*\.pyc")

VOUCHED = frozenset(
    {"zmq", "tornado", "psutil", "debugpy", "_pydevd_bundle", "_pydevd_frame_eval", "msgpack"}
    | {"_pydevd_sys_monitoring", "pydevd_plugins", "markupsafe", "_yaml", "yaml", "rpds"}
    | {"numpy", "scipy", "pandas", "matplotlib", "contourpy", "kiwisolver", "astropy", "erfa"}
    | {"bottleneck", "numexpr", "sklearn", "skimage", "statsmodels", "patsy", "shapely", "pywt"}
    | {"llvmlite", "numba", "threadpoolctl", "sympy", "gmpy2", "pyarrow.lib", "pyarrow._compute"}
    | {"PIL._imaging", "PIL._imagingmath", "PIL._imagingmorph", "PIL._webp", "PIL._avif"}
    | {"aiohttp", "charset_normalizer", "frozenlist", "multidict", "propcache", "yarl", "wrapt"}
    | {"orjson", "simplejson", "ujson", "msgspec", "regex", "pydantic_core"}
    | {"brotli", "_brotli", "lz4", "zstandard", "snappy", "xxhash", "cytoolz", "greenlet"}
)
"""Compiled modules that open no file by themselves: what they get was opened by Python's `open`.

With a dot: that module only; without: all of a package. One that is missing here costs nothing
but precision. `pyarrow.lib` opens files only for those who name pyarrow
(see `mentions.opens_compiled`).
"""

UNVOUCHED = frozenset(
    {"_dbm", "_gdbm", "_tkinter", "readline", "nis", "spwd", "scipy.odr.__odrpack"}
)
"""Compiled modules of the standard library, and of vouched packages, that do open files."""

OLDEST = {"pandas": (1, 2)}
"""Before these versions a vouched package opened files by itself."""

_STARTERS = {
    "multiprocessing.popen_spawn_posix": "multiprocessing",
    "multiprocessing.popen_forkserver": "multiprocessing",
    "joblib.externals.loky.backend.popen_loky_posix": "joblib",
    "loky.backend.popen_loky_posix": "loky",
    "mpi4py": "mpi4py",
    "ray": "ray",
}
"""Modules that start processes without a word, which the hook does not follow."""

_GIT = frozenset({"pygit2", "_pygit2"})
"""Modules whose own C code reads a repository's own data, where nobody watches."""

_HARMLESS = frozenset(
    {"uname", "ldconfig", "gcc", "cc", "ld", "objdump", "fc-list", "lscpu", "nvidia-smi"}
    | {"getconf", "hostname", "stty", "tput", "lsb_release"}
)
"""Programs that libraries ask about the machine."""

WATCHED = tuple(_STARTERS)


_SETS = {"L": "listed", "P": "folders", "S": "places", "G": "home", "B": "shadowed"}


@dataclass(slots=True)
class Notes:
    """What a kernel noted; paths are relative to the top."""

    begun: bool = False
    """The hook was in place."""
    read: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    """Opened for reading and writing, removed or renamed: perhaps written."""
    modules: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    endings: set[str] = field(default_factory=set)
    compiled: str = ""
    """The first compiled module at work for which nobody vouches; empty where there is none."""
    home: set[str] = field(default_factory=set)
    """Modules that were imported from the user's home: absolute, without an ending."""
    shadowed: set[str] = field(default_factory=set)
    """Modules that a file beside the notebook hides."""
    unknown: str = ""


def parse(lines: Iterable[str]) -> Notes:
    """Return what the notes say; the last line may be cut."""
    notes = Notes()
    fresh: set[str] = set()
    for line in lines:
        kind, _, text = line.rstrip("\n").partition(" ")
        try:
            what = str(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            notes.unknown = notes.unknown or "a note of its kernel is damaged"
            continue
        if kind in {"R", "W", "A", "U"}:
            take(notes, fresh, kind, what)
        else:
            _learn(notes, kind, what)
    return notes


def take(notes: Notes, fresh: set[str], kind: str, path: str) -> None:
    """Take note of a file; what the notebook made itself (`fresh`) is nothing it depends on."""
    if "__pycache__/" in path:
        source = _CACHED.fullmatch(path)
        if source and kind == "R":
            notes.read.add(f"{source[1]}{source[2]}.py")
        return
    if path.startswith(".git/"):
        notes.unknown = notes.unknown or "it reads the repository's own data (.git)"
        return
    if kind == "W" and path not in notes.read:
        fresh.add(path)
    if kind in {"W", "A"}:
        notes.written.add(path)
    if kind == "U":
        notes.updated.add(path)
    if kind in {"R", "U"} and path not in fresh:
        notes.read.add(path)


def _imported(notes: Notes, module: str) -> None:
    if module in _STARTERS:
        notes.unknown = notes.unknown or f"it starts other processes ({_STARTERS[module]})"
    if module in _GIT:
        notes.unknown = notes.unknown or f"it reads the repository's own data ({module})"
    if "." not in module:
        notes.modules.add(module)


def _learn(notes: Notes, kind: str, what: str) -> None:
    if kind == "H":
        notes.begun = True
    elif kind == "M":
        _imported(notes, what)
    elif kind == "C":
        notes.compiled = notes.compiled or what
    elif kind in _SETS:
        getattr(notes, _SETS[kind]).add(what)
    elif kind == "X" and what.rpartition("/")[2] not in _HARMLESS:
        notes.unknown = notes.unknown or f"it starts another program ({what})"
    elif kind == "E":
        notes.unknown = notes.unknown or f"a note of its kernel was lost ({what})"


def is_old(name: str, version: str | None) -> bool:
    """Return whether a vouched package is older than what is vouched for."""
    if version is None:
        return False
    numbers = tuple(int(each) for each in re.findall(r"\d+", version)[:2])
    return numbers < OLDEST[name]
