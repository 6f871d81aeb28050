"""Modules that a fork server imports before it forks, and whether they can be shared.

Run inside a fork server (see `forkserver`), with the standard library only; it is
never imported by the runner. A notebook's own `import` finds such a module ready, so nothing that
it does while it is imported happens in the notebook. It must not print or warn, ask for the shell,
keep the standard streams, or leave a process or a thread; and what talks to a GPU cannot be forked.
A kernel's own Python may run this: 3.8 is enough.
"""

import builtins
import importlib
import logging
import os
import sys
import threading
import typing
import warnings

if typing.TYPE_CHECKING:
    from typing import Any

_GPU = {
    *("cudf", "cuda", "cuml", "cupy", "cugraph", "jax", "jaxlib", "keras", "numba.cuda", "pycuda"),
    *("pynvml", "pyopencl", "rmm", "tensorflow", "torch", "torchaudio", "torchvision", "triton"),
}
_GPU_LIBRARIES = ("libcuda.", "libcudart.", "libOpenCL.", "libamdhip64.")

_MEANWHILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as ipykernel sets it
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # one that only gives memory back
}
"""Variables that are set while modules are imported, where they are not set anyway."""


def load(names: "list[str]") -> str:
    """Import modules; return the first one that cannot be shared, with the reason, if any."""
    added = {name: value for name, value in _MEANWHILE.items() if name not in os.environ}
    os.environ.update(added)
    try:
        for name in names:
            why = _named(name) or _watched(name) or _left()
            if why:
                return f"{name} {why}"
    finally:
        for name in added:
            os.environ.pop(name, None)
    return ""


def _named(name: str) -> str:
    """Return why a module is not even imported, or nothing."""
    parts = name.split(".")
    if {".".join(parts[: length + 1]) for length in range(len(parts))} & _GPU:
        return "may use a GPU, which forked processes cannot share"
    return ""


class _Shell:
    """Stands for a kernel's shell where a module looks for it; what it is, is all it may ask."""

    def __init__(self, seen: "list[str]") -> None:
        self._seen = seen

    def __getattr__(self, name: str) -> object:
        if name != "kernel":
            self._seen.append("asks for the shell while it is imported")
            raise AttributeError(name)
        return _Shell(self._seen)


_Shell.__module__, _Shell.__name__ = "ipykernel.zmqshell", "ZMQInteractiveShell"
_Shell.__qualname__ = _Shell.__name__


def _watched(name: str) -> str:
    """Import a module; return what it did meanwhile that the notebook would miss, or nothing."""
    from IPython.core.interactiveshell import InteractiveShell  # noqa: PLC0415  (is there)

    seen: list[str] = []

    def initialized(_: type) -> bool:
        seen.append("asks for the shell while it is imported")
        return False

    def warn(message: object, *_: object, **__: object) -> None:
        seen.append(f"warns while it is imported: {message}")

    shown, written = warnings.showwarning, os.fstat(1).st_size
    warnings.showwarning = warn
    shell: Any = InteractiveShell
    shell.initialized = classmethod(initialized)
    vars(builtins)["get_ipython"] = lambda: _Shell(seen)  # pandas takes its width from it
    try:
        importlib.import_module(name)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # noqa: BLE001  (also what is meant to end the process)
        return seen[0] if seen else f"cannot be imported: {type(error).__name__}: {error}"
    finally:
        warnings.showwarning = shown
        del shell.initialized, vars(builtins)["get_ipython"]
    if os.fstat(1).st_size != written:
        seen.append("prints while it is imported")
    return seen[0] if seen else ""


def _left() -> str:
    """Return what an import has left that forked processes cannot share, or nothing."""
    if threading.active_count() > 1:
        return "starts a thread of Python"
    child = os.fork()  # libraries like OpenBLAS end their threads now, and start them when needed
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208  (pathlib is slow to import)
        return "starts a thread that outlives a fork"
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    else:
        return "starts a process"
    with open("/proc/self/maps", "rb") as maps:  # noqa: PTH123
        text = maps.read().decode(errors="replace")
    loaded = [library for library in _GPU_LIBRARIES if f"/{library}" in text]
    if loaded:
        return f"loads {loaded[0]}so, and what talks to a GPU cannot be forked"
    for reference in vars(logging)["_handlerList"]:
        handler = reference()
        if vars(handler).get("stream") not in _STREAMS:  # logging's own finds it when it writes
            continue
        if type(handler).emit is logging.StreamHandler.emit:
            return "logs to the standard streams of the process"
    return ""


_STREAMS = (sys.stdout, sys.stderr)
