"""What an orderly end of a Python kernel would see to, as the kernel itself knows it.

The text of this file is run inside a kernel, before its first cell and after its last, and before
an orderly end; it is never imported by the runner. Where both answers are the same, the kernel may
be killed, which takes a tenth of the time that Python needs to take itself down. A kernel's own
Python may run this: 3.8 is enough. It imports nothing that is not there when a kernel has started,
and leaves nothing.

Child processes are no reason: the guard kills them. Where there is another one, `leave` ends them.
"""

import atexit
import contextlib
import os
import signal
import stat
import sys
import threading
import time
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Callable
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

_KERNEL = {
    *("IPython", "comm", "debugpy", "ipykernel", "jupyter_client", "tornado", "traitlets", "zmq"),
    *("concurrent.futures.thread._python_exit", "logging.shutdown", "rlcompleter.<lambda>"),
    *("weakref.finalize._exitfunc", "multiprocessing.util._exit_function"),
}
"""Packages and functions whose handlers a kernel has at its start in any case."""

_PLAIN_LOGS = {"NoneType", "NullHandler", "StreamHandler", "_StderrHandler"}
"""Handlers of logs that keep nothing back."""

_CHILDREN_SECONDS = 1.5
"""How long children may take to end after SIGTERM."""
_REPLY_SECONDS = 0.05
"""Until the main thread leaves its loop: it has replied by then."""


def left() -> "list[object]":
    """Return what there is to see to; raise where that cannot be known."""
    return [
        len(_registered_handlers()),
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


def from_start() -> bool:
    """Return whether start-up code has left something to see to, before the first cell.

    `sitecustomize` and `usercustomize`, .pth files and IPython's start-up files may do anything.
    """
    finalizers: Any = getattr(
        getattr(sys.modules.get("weakref"), "finalize", None), "_registry", {}
    )
    logs: Any = getattr(sys.modules.get("logging"), "_handlerList", ())
    registered = _registered_handlers() + [each.func for each in finalizers.values()]
    return (
        not all(map(_is_kernels, registered))
        or not all(type(log()).__name__ in _PLAIN_LOGS for log in logs)
        or sum(not thread.daemon for thread in threading.enumerate()) > 1
        or has_files()
    )


def has_files() -> bool:
    """Return whether files are open for writing, beside the one of the standard streams."""
    return len({each[1:] for each in _written(stat.S_ISREG)}) > 1


def _is_kernels(function: object) -> bool:
    """Return whether a function is the kernel's own, as every kernel has them at its start."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", "")
    return module.partition(".")[0] in _KERNEL or f"{module}.{name}" in _KERNEL


def _registered_handlers() -> "list[object]":
    """Return all atexit handlers whose work would be missed."""
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
    return [function for function in seen.functions if function not in harmless]


def _registered(module: str, *names: str) -> int:
    """Return how many there are of what a module of the standard library sees to at the end."""
    found: Any = sys.modules.get(module)
    for name in names:
        found = getattr(found, name, None)
    return len(found) if found else 0


def _is_kept(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode)


def _written(wanted: "Callable[[int], bool]" = _is_kept) -> "list[tuple[int, int, int]]":
    """Return the files and named pipes that are open for writing."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:  # the one that listed them
            continue
        if wanted(status.st_mode):
            with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as info:
                flags = int(info.read().split("flags:")[1].split()[0], 8)
            if flags & os.O_ACCMODE != os.O_RDONLY:
                found.append((int(name), status.st_dev, status.st_ino))
    return sorted(found)


def leave(kernel: "Any") -> None:  # noqa: ANN401  (it is not imported here)
    """Have a kernel end in order, as a script does at its last line.

    Not by ipykernel's own shutdown request: it sends SIGTERM to all children for 14 s, then SIGKILL
    for as long, and counts those that have ended and that nobody has reaped. And it is handled by
    another thread, which now and then still publishes when the main thread has taken down what
    publishes: each waits for the other then.

    What Python ends by itself at its own end (daemonic processes, pools, and the resource tracker,
    which frees shared memory after that) is left to that.
    """
    begun = time.monotonic()
    children = [each for each in kernel._process_children() if not _is_seen_to(each.pid)]  # noqa: SLF001  (no other way)
    for end in ("terminate", "kill"):
        for each in children:
            with contextlib.suppress(Exception):  # psutil's; it ended meanwhile
                getattr(each, end)()
        while children and time.monotonic() - begun < _CHILDREN_SECONDS:
            time.sleep(0.01)
            children = [each for each in children if not _is_seen_to(each.pid)]
    kernel.io_loop.call_later(_REPLY_SECONDS, kernel.io_loop.stop)


def _is_seen_to(process: int) -> bool:
    """Return whether a child has ended, ends by itself, or is ended by multiprocessing."""
    found: Any = sys.modules.get("multiprocessing.process")
    daemons = {each.pid for each in getattr(found, "_children", ()) if each.daemon}
    try:
        while process != os.getpid():
            with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as status:
                said = dict(line.split(":", 1) for line in status if ":" in line)
            ignored = int(said["SigIgn"], 16) >> (signal.SIGTERM - 1) & 1
            if process in daemons or ignored or said["State"].split()[0] in {"Z", "X"}:
                return True
            process = int(said["PPid"])
            if process <= 1:
                return False
    except OSError:
        return True
    return False
