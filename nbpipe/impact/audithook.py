"""What a Python kernel runs to note which files it opens and which modules it imports.

Executed in the kernel, as text, before the first cell; with the standard library only, and never
imported by the runner. It leaves no name behind: the hook lives in the interpreter (PEP 578),
stays through `%reset`, and goes into processes that the notebook forks. Python traces and profiles
nothing in a hook. Whatever goes wrong in it is noted; the notebook never sees it.

Notes are lines of a file: a letter, a blank, and a path or name as Python writes it.

    H  the hook is in place                 M  a module is imported
    R  opened for reading                   L  a folder is listed
    W  written from its beginning           A  written at its end
    U  changed, or read and written         X  a program is started
    P  a folder of modules                  S  a module is looked for here
    C  compiled code nobody vouches for     E  something that was not noted
    G  imported from the user's home        B  imported from a file beside the notebook, which
                                               stands in the way of the environment's module

What the interpreter does not tell (docs.python.org, "Audit events table"): `os.stat` and all that
is built on it, and files that a library written in C opens itself: which is why such a library is
noted, and what it opens is found another way (see `openings`).
"""

# ruff: noqa: PTH109, PTH112, PTH120, PTH123, PTH208 (pathlib is slow)

import _imp
import os
import sys
import typing

if typing.TYPE_CHECKING:
    import types
    from collections.abc import Callable
    from typing import Any

_QUIET = (
    *("<frozen importlib._bootstrap_external>", "importlib/_bootstrap_external.py"),
    *("importlib/metadata/__init__.py", "importlib_metadata/__init__.py"),
    *("pkgutil.py", "pkg_resources/__init__.py"),
)
"""Whose listing of a folder is no question of the notebook's."""


def begin(
    trace: str,
    top: str,
    watched: "tuple[str, ...]",
    vouched: "tuple[str, ...]",
    unvouched: "tuple[str, ...]",
) -> str:
    """Put the hook in place; return a word that says so.

    Args:
        trace: The file for the notes.
        top: The folder whose files count, as the operating system resolves it.
        watched: Modules that are noted under their whole name too.
        vouched: Compiled modules, and packages with such, that open no files by themselves.
        unvouched: Those of the standard library that do.
    """
    notes = _Notes(trace, top)
    notes.vouched, notes.unvouched = frozenset(vouched), frozenset(unvouched)
    notes.note("H", "")
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        notes.module(name.partition(".")[0])
        notes.compiled(name, file)
        if isinstance(file, str):
            notes.origin(file, at_start=name.partition(".")[0])
        notes.file("R", file)
    notes.path(sys.path)
    sys.addaudithook(_hook(notes, frozenset(watched)))
    return "traced"


def _module(path: str) -> str:
    """Return the module that a file belongs to, by its path below a folder of modules."""
    first, _, rest = path.partition("/")
    if first == "__pycache__":
        first = rest
    elif not rest and not first.endswith((".py", ".so", ".pyc")):
        return ""
    return first.partition(".")[0]


def _importable(path: str) -> str:
    """Return the module that a file is the first one of, by its path below a folder of modules."""
    folder, _, name = path.replace("__pycache__/", "").rpartition("/")
    stem, _, ending = name.partition(".")
    if ending.rpartition(".")[2] not in {"py", "pyc", "so"} or "/" in folder:
        return ""
    if not folder:
        return stem
    return folder if stem == "__init__" else ""


def _home() -> "tuple[str, dict[str, str]]":
    """Return the user's own folder of packages, and where its editable packages lie, by module.

    Such a package is named in a file of that folder: a path (`.pth`), or a module of setuptools'
    that has a mapping.
    """
    site = sys.modules.get("site")
    home = getattr(site, "USER_SITE", None)
    if not getattr(site, "ENABLE_USER_SITE", None) or not home or not os.path.isdir(home):
        return "", {}
    brought = {}
    for entry in os.listdir(home):
        if entry.endswith(".pth"):
            with open(f"{home}/{entry}", encoding="utf-8", errors="replace") as lines:
                for line in map(str.strip, lines):
                    if line[:1] == "/" and line in sys.path:
                        brought[f"{line}/"] = ""
    for name, module in list(sys.modules.items()):
        mapping = getattr(module, "MAPPING", None)
        file = getattr(module, "__file__", None) or ""
        if name.startswith("__editable__") and isinstance(mapping, dict) and file.startswith(home):
            brought.update({f"{path}/": package for package, path in mapping.items()})
    return f"{home}/", brought


class _Notes:
    """Writes each note once. What it needs is bound here: a notebook may replace functions."""

    def __init__(self, trace: str, top: str) -> None:
        self.trace, self.top, self.prefix = trace, top, f"{top}/"
        self.seen: set[tuple[str, str]] = set()
        self.known = frozenset(getattr(sys, "stdlib_module_names", ()))
        self.vouched: frozenset[str] = frozenset()
        self.unvouched: frozenset[str] = frozenset()
        ends = ("site-packages", "dist-packages")
        sites = {f"{path}/" for path in sys.path if path.endswith(ends)}
        library = os.path.dirname(os.__file__)
        self.beside = f"{os.getcwd()}/"
        self.home, self.brought = _home()
        self.homes = (self.home, *self.brought) if self.home else ()
        self.imported: set[str] = set()
        self.exists, self.standard = os.path.exists, f"{library}/"
        self.suffixes = tuple(_imp.extension_suffixes())
        self.dynamic = f"{library}/lib-dynload/"
        others = {f"{folder}/" for folder in (library, "/proc", "/sys", "/dev")}
        self.sites = tuple(each for each in sites if not self.prefix.startswith(each))
        self.libraries = tuple(each for each in sites | others if not self.prefix.startswith(each))
        self.flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.open, self.write, self.close, self.getcwd = os.open, os.write, os.close, os.getcwd
        self.fspath, self.fsdecode, self.join = os.fspath, os.fsdecode, os.path.join
        self.absolute, self.real = os.path.abspath, os.path.realpath

    def note(self, kind: str, what: str) -> None:
        """Write a note, unless it is written."""
        if (kind, what) in self.seen:
            return
        self.seen.add((kind, what))
        line = f"{kind} {what!a}\n".encode()
        notes = self.open(self.trace, self.flags, 0o600)
        try:
            self.write(notes, line)
        finally:
            self.close(notes)

    def file(self, kind: str, path: object) -> None:
        """Note a file or folder, where it is one of those that count."""
        if path is None or isinstance(path, int):
            return
        name = self.fsdecode(self.fspath(path))  # type: ignore[call-overload]
        if name == self.trace:
            return
        if name[:1] != "/":
            name = self.join(self.getcwd(), name)
        if name.startswith((*self.homes, self.beside)):
            self.origin(name)
        if name.startswith(self.libraries):
            self.installed(name)
            return
        if (kind, name) in self.seen:
            return
        self.seen.add((kind, name))
        for place in {self.absolute(name), self.real(name)}:
            if place.startswith(self.libraries):
                continue
            if place.startswith(self.prefix) or place == self.top:
                self.note(kind, place[len(self.prefix) :])

    def origin(self, name: str, at_start: str = "") -> None:
        """Note a module that is imported from the user's home, or beside the notebook.

        Args:
            name: The file that is opened.
            at_start: The module that it was imported as, where that was before the notebook. What
                a `.pth` file imports at every start (`_distutils_hack`) nobody has asked for.
        """
        for folder in self.homes:
            if name.startswith(folder):
                module = self.brought.get(folder) or _module(name[len(folder) :])
                if module.isidentifier() and not (at_start and module[:1] == "_"):
                    self.note("G", self.home + module)
                return
        if name.startswith(self.beside):
            module = _importable(self.absolute(name)[len(self.beside) :])
            known = module == at_start if at_start else module in self.imported
            if known and self.is_elsewhere(module):
                self.note("B", module)

    def is_elsewhere(self, module: str) -> bool:
        """Return whether the standard library or the environment has a module of that name."""
        if module in self.known or module in sys.builtin_module_names:
            return True
        folders = (self.standard, *self.sites)
        endings = (".py", "/__init__.py", *self.suffixes)
        return any(self.exists(f"{each}{module}{end}") for each in folders for end in endings)

    def installed(self, name: str) -> None:
        """Note the module that a file belongs to: `importlib.import_module` tells no names."""
        for site in self.sites:
            if name.startswith(site):
                module = name[len(site) :].partition("/")[0].partition(".")[0]
                if module.isidentifier():
                    self.module(module)

    def module(self, name: str) -> None:
        """Note a module that is not the standard library's."""
        if name not in self.known:
            self.note("M", name)

    def compiled(self, name: str, path: object) -> None:
        """Note a compiled module for which nobody vouches."""
        if not isinstance(path, str) or not path.endswith((".so", ".pyd")):
            return
        vouched = name in self.vouched or name.partition(".")[0] in self.vouched
        known = path.startswith(self.dynamic) or (vouched and path.startswith(self.sites))
        if name in self.unvouched or not known:
            self.note("C", name)

    def foreign(self, library: str, frame: "types.FrameType | None") -> None:
        """Note a function that is taken out of a library with ctypes, by whom nobody vouches for.

        What the standard library and the vouched packages take there is known.
        """
        while frame is not None and "/ctypes/" in frame.f_code.co_filename:
            frame = frame.f_back
        caller = frame.f_code.co_filename if frame is not None else ""
        for site in self.sites:
            if caller.startswith(site):
                package = caller[len(site) :].partition("/")[0].partition(".")[0]
                if package not in self.vouched:
                    self.note("C", package)
                return
        if not caller.startswith(self.libraries):
            self.note("C", library)

    def path(self, folders: "list[str]") -> None:
        """Note in which folders modules are looked for."""
        for folder in folders:
            self.file("P", folder or ".")

    def submodule(self, name: str) -> None:
        """Note where a module of a package is looked for, where the package is one that counts."""
        package, _, last = name.rpartition(".")
        found = sys.modules.get(package) if package else None
        file = getattr(found, "__file__", None)
        if found is not None and (file is None or not file.startswith(self.libraries)):
            for folder in getattr(found, "__path__", ()):
                self.file("S", self.join(folder, last))


def _file_events(notes: _Notes) -> "dict[str, Callable[..., None]]":  # noqa: C901  (a table)
    """Return what to do about each event (PEP 578) that is about a file."""
    access, anew, frame = os.O_ACCMODE, os.O_TRUNC | os.O_EXCL, sys._getframe  # noqa: SLF001
    write_only, append, wild = os.O_WRONLY, os.O_APPEND, frozenset("*?[")

    def opened(path: object, _mode: object, flags: int) -> None:
        kind = "R"
        if flags & access:
            kind = "A" if flags & access == write_only and flags & append else "U"
            kind = "W" if flags & anew else kind
        notes.file(kind, path)

    def listed(path: object, *_: object) -> None:
        if not frame(2).f_code.co_filename.endswith(_QUIET):
            notes.file("L", "." if path is None else path)

    def globbed(pattern: str, *_: object) -> None:
        if wild.isdisjoint(notes.fsdecode(pattern)):
            notes.file("R", pattern)

    def database(path: object, *_: object) -> None:
        name = notes.fsdecode(notes.fspath(path))  # type: ignore[call-overload]
        if name[:5] == "file:":
            name = name[5:].partition("?")[0]
        if name[:1] != ":":
            notes.file("R", name)

    def loaded(name: object, *_: object) -> None:
        if name is not None and "/" in str(name):
            notes.file("R", name)

    def renamed(old: object, new: object, *_: object) -> None:
        notes.file("U", old)
        notes.file("W", new)

    def changed(path: object, *_: object) -> None:
        notes.file("U", path)

    return {
        "open": opened,
        "os.listdir": listed,
        "os.scandir": listed,
        "glob.glob": globbed,
        "sqlite3.connect": database,
        "ctypes.dlopen": loaded,
        "os.rename": renamed,
        "os.link": renamed,
        "os.symlink": renamed,
        "os.remove": changed,
        "os.rmdir": changed,
        "os.truncate": changed,
    }


def _code_events(notes: _Notes, watched: "frozenset[str]") -> "dict[str, Callable[..., None]]":
    """Return what to do about each event that is about a module or a program."""
    frame = sys._getframe  # noqa: SLF001

    def imported(name: str, path: object, folders: "list[str] | None" = None, *_: object) -> None:
        notes.module(name.partition(".")[0])
        notes.imported.add(name.partition(".")[0])
        if name in watched:
            notes.note("M", name)
        notes.compiled(name, path)
        if folders:
            notes.path(folders)
        notes.submodule(name)
        notes.file("R", path)

    def called(library: object, *_: object) -> None:
        name = getattr(library, "_name", None)
        notes.foreign(f"ctypes ({name or 'the interpreter'})", frame(2))

    def started(program: object, arguments: object = None, *_: object) -> None:
        if isinstance(arguments, (list, tuple)) and arguments:
            program = arguments[0]
        notes.note("X", notes.fsdecode(notes.fspath(program)).partition("\n")[0][:200])  # type: ignore[call-overload]

    def spawned(_mode: object, program: object, *_: object) -> None:
        started(program)

    return {
        "import": imported,
        "ctypes.dlsym": called,
        "ctypes.dlsym/handle": called,
        "subprocess.Popen": started,
        "os.system": started,
        "os.exec": started,
        "os.posix_spawn": started,
        "os.spawn": spawned,
        "pty.spawn": started,
    }


def _hook(notes: _Notes, watched: "frozenset[str]") -> "Callable[[str, tuple[Any, ...]], None]":
    """Return the hook."""
    events = {**_file_events(notes), **_code_events(notes, watched)}

    def hook(event: str, arguments: "tuple[Any, ...]") -> None:
        known = events.get(event)
        if known is None:
            return
        try:
            known(*arguments)
        except Exception as error:  # noqa: BLE001  (the notebook must not see it)
            try:
                notes.note("E", f"{event}: {type(error).__name__}")
            except Exception:  # noqa: BLE001
                return

    return hook
