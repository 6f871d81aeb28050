"""What an orderly end of a Python kernel would see to, as the kernel itself knows it.

The text of this file is run inside a kernel, before its first cell and after its last; it is never
imported by the runner. Where both answers are the same, the kernel may be killed, which takes a
tenth of the time that Python needs to take itself down. A kernel's own Python may run this: 3.9 is
enough. It imports nothing that is not there when a kernel has started, and leaves nothing.

Child processes are no reason: the guard kills them, and ipykernel would wait in vain for those that
it has ended and nobody has reaped.
"""

import atexit
import os
import stat
import sys
import threading
import typing

if typing.TYPE_CHECKING:
    from typing import Any

# ruff: noqa: PTH123, PTH208  (pathlib is slow, and need not be imported in a kernel)


_HARMLESS = (
    ("matplotlib._pylab_helpers", "Gcf.destroy_all", ""),
    ("PIL.Image", "core.clear_cache", ""),
    ("h5py", "_unregister_converters", ""),
    ("astropy.utils.data", "_deltemps", "_tempfilestodel"),
)
"""Handlers of much used packages that matter to the process alone: module, function, and the list
that must be empty, if any. Open files are looked at in any case."""


def left() -> "list[object]":
    """Return what there is to see to; raise where that cannot be known."""
    return [
        _handlers(),
        [thread.ident for thread in threading.enumerate() if not thread.daemon],
        _registered("logging", "_handlerList"),
        _registered("multiprocessing.util", "_finalizer_registry"),
        _registered("weakref", "finalize", "_registry"),
        _written(),
    ]


class _Seen:
    """Sees what is registered: `atexit.unregister` compares it with each, and it equals none."""

    def __init__(self) -> None:
        self.functions: list[object] = []

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        self.functions.append(other)
        return False


def _handlers() -> int:
    """Return how many atexit handlers there are whose work would be missed."""
    seen = _Seen()
    atexit.unregister(seen)  # type: ignore[arg-type]  # there is no other way to see them
    harmless = []
    for module, names, files in _HARMLESS:
        found: Any = sys.modules.get(module)
        if found is None or (files and getattr(found, files, True)):
            continue
        for name in names.split("."):
            found = getattr(found, name, None)
        harmless.append(found)
    return sum(function not in harmless for function in seen.functions)


def _registered(module: str, *names: str) -> int:
    """Return how many there are of what a module of the standard library sees to at the end."""
    found: Any = sys.modules.get(module)
    for name in names:
        found = getattr(found, name, None)
    return len(found) if found else 0


def _written() -> "list[tuple[int, int, int]]":
    """Return the files and named pipes that are open for writing."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:  # the one that listed them
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as info:
                flags = int(info.read().split("flags:")[1].split()[0], 8)
            if flags & os.O_ACCMODE != os.O_RDONLY:
                found.append((int(name), status.st_dev, status.st_ino))
    return sorted(found)
