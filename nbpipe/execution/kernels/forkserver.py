"""The process that forks kernels: the imports of `python -m ipykernel_launcher`, made once.

Run by a kernel's own Python (3.8 is enough), with the standard library until it imports ipykernel
as the launcher does; never imported by the runner, which gives it one end of a socket as CONTROL.
There it says `ready`, and then takes a request for each kernel: how it is to be called, its
folder, its mark, and four descriptors (the pipe to the runner, standard input, output, error).
It forks a guard (see `guard`), which forks the kernel; the kernel leaves all
functions of this module and runs the launcher as a fresh interpreter would. The end of the socket
is the end of the server; kernels that run then go on.

Written by hand: the fork server of multiprocessing runs functions that its own program pickles.
Here it is a kernel's Python, and what is forked must be like a fresh launcher in every respect.

What a notebook must not notice is put right in `_become`; what differs is listed and compared in
tests/integration/test_fork_fidelity.py.
"""

# ruff: noqa: E402, I001, PTH109, PTH110, PTH116, PTH120, PTH123, PTH208, S102  (what is imported
# when is the point here; pathlib is slow; the files that are executed are our own)

import gc
import sys

gc.disable()  # imports leave nothing to collect; undone before the first fork
del sys.modules["gc"]
if sys.path and not sys.path[0]:  # what -c adds; removed before anything is looked for in it
    del sys.path[0]
_before = set(sys.modules)
import runpy  # these two are what the launcher has imported
import pathlib  # noqa: F401  when it takes the folder out of the path

_SHADOWED = {name.partition(".")[0] for name in set(sys.modules) - _before}
_SHADOWED.add("ipykernel_launcher")

import os


def _stamps() -> "dict[str, object]":
    return {path: _stamp(path) for path in sys.path}


def _stamp(path: str) -> object:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


_STAMPS = _stamps()

import contextlib
import importlib

from ipykernel import kernelapp

_LATER = (
    *("ipykernel.debugger", "tornado.platform.asyncio", "tornado.queues"),
    *("IPython.core.completerlib", "IPython.core.debugger"),
    *("IPython.core.logger", "IPython.core.oinspect", "IPython.extensions.storemagic"),
    *("faulthandler", "sqlite3"),
)
"""What a kernel imports while it starts, however it is configured."""
for _name in _LATER:
    with contextlib.suppress(ImportError):  # another version has it elsewhere
        importlib.import_module(_name)


def _start_up_code() -> str:
    """Return what ran when this interpreter started and may have looked at its folder, or nothing.

    That is `sitecustomize` and `usercustomize` where they are not the system's own, and lines of
    .pth files, but for those of packaging, which look at no folder (docs.python.org, `site`).
    """
    library = os.path.dirname(os.__file__)
    for name in ("sitecustomize", "usercustomize"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and os.path.dirname(file) != library:
            return str(file)
    sites = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for path in sites:
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(path)):
                if name.endswith(".pth") and not name.startswith(_KNOWN) and "nspkg" not in name:
                    with open(f"{path}/{name}", "rb") as lines:
                        if any(line.startswith((b"import ", b"import\t")) for line in lines):
                            return f"{path}/{name}"
    return ""


_KNOWN = ("__editable__", "_virtualenv", "a1_coverage", "distutils-precedence", "pytest-cov")
_START_UP_CODE = _start_up_code()

_FOLDER, *_PRELOAD = os.read(globals()["CONTROL"], 65536).decode().split("\0")


def _executed(name: str) -> "dict[str, Any]":
    """Return what is in a file beside this one."""
    file = f"{_FOLDER}/{name}.py"
    found = {"__name__": name}
    with open(file, "rb") as source:
        exec(compile(source.read(), file, "exec"), found)
    return found


_HAS_FILES = bool(_START_UP_CODE) and _executed("leftovers")["has_files"]()

_ready = "ready"
if _PRELOAD:
    _before = set(sys.modules)
    _left = _executed("leftovers")["left"]
    _at_first = _left()
    _unfit = _executed("preloads")["load"](_PRELOAD)
    if _unfit:
        _ready = f"unfit {_unfit}"
    elif _left() != _at_first:
        _ready = "ready graceful"
    _SHADOWED.update(name.partition(".")[0] for name in set(sys.modules) - _before)
_before = set(sys.modules)

import array
import builtins
import ctypes
import importlib.machinery
import json
import logging
import signal
import socket
import time
import types
import typing

if typing.TYPE_CHECKING:
    from typing import Any

_OWN = set(sys.modules) - _before
"""What only this module has imported."""

_PR_SET_PDEATHSIG = 1
_READ_THERE = {"matplotlib": "matplotlibrc"}
"""What a module that may be preloaded reads in the working directory."""
_STAT = {"arguments": 45, "environment": 47}
"""Fields of proc(5), `stat`, from the third: where the process's own memory has them."""


def _serve(control: socket.socket, guard: "dict[str, Any]") -> "dict[str, Any]":
    """Answer requests until there are no more; return one, in a process that is its kernel."""
    gc.enable()
    gc.collect()
    gc.freeze()
    control.send(_ready.encode()[:4096])
    if not _ready.startswith("ready"):
        os._exit(0)
    while True:
        message, descriptors = _received(control)
        _reap()
        if not message:
            os._exit(0)
        request = json.loads(message)
        unusual = _unusual(request["cwd"])
        child = -1
        if not unusual:
            try:
                child = os.fork()
            except OSError as error:  # no more processes, no memory
                unusual = f"fork: {error.strerror}"
        if child == 0:
            control.close()
            _guarded(request, descriptors, guard)
            return dict(request)
        if unusual:
            os.write(descriptors[0], f"refused {unusual}\n".encode())
        for descriptor in descriptors:
            os.close(descriptor)


def _received(control: socket.socket) -> "tuple[bytes, list[int]]":
    """Return a request and its descriptors (as `socket.recv_fds`, which came with Python 3.9)."""
    size = array.array("i").itemsize
    message, ancillary, _, _ = control.recvmsg(65536, socket.CMSG_LEN(4 * size))
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % size])
    return message, list(descriptors)


def _reap() -> None:
    """Take note of the guards that have ended; what they used up counts as the run's then."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _unusual(cwd: str) -> str:
    """Return why a fork would not be what a fresh interpreter is, or nothing."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        return f"the fork server has {threads} threads"
    if _START_UP_CODE and (_HAS_FILES or os.path.realpath(cwd) != os.getcwd()):
        what = "opened a file, which kernels would share" if _HAS_FILES else "run in another folder"
        return f"{_START_UP_CODE} has {what}"
    changed = [path for path, stamp in _STAMPS.items() if _stamp(path) != stamp]
    if changed:
        return f"stale {changed[0]} has changed"
    for name in sorted(_SHADOWED):
        for file in (f"{cwd}/{name}.py", f"{cwd}/{name}/__init__.py"):
            if os.path.exists(file):
                return f"{file} is imported by a kernel's start"
    for name, file in _READ_THERE.items():
        if name in sys.modules and os.path.exists(f"{cwd}/{file}"):
            return f"{cwd}/{file} is read when {name} is imported"
    return ""


def _guarded(request: "dict[str, Any]", descriptors: "list[int]", guard: "dict[str, Any]") -> None:
    """Fork the kernel from its guard, and end as the guard; return in the kernel."""
    status = descriptors[0]
    kernel = None
    try:
        os.setsid()
        os.write(status, f"guard {os.getpid()}\n".encode())
        guard["watch"](status)
        kernel = guard["start"](status)
        if kernel != 0:
            gc.disable()
            for descriptor in descriptors[1:]:
                os.close(descriptor)
            os._exit(guard["supervise"](kernel, status, request["folder"]))
    finally:
        if kernel != 0:
            os._exit(1)
    for number, descriptor in enumerate(descriptors[1:]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)


def _become(request: "dict[str, Any]") -> None:
    """Be what a fresh interpreter is that was started with these arguments."""
    argv = request["argv"]
    arguments = argv[argv.index("-m") + 2 :]
    os.chdir(request["cwd"])
    _show(request)
    if hasattr(sys, "orig_argv"):  # since Python 3.10
        sys.orig_argv[:] = argv
    sys.argv[:] = ["-m", *arguments]
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, os.getcwd())
    main = types.ModuleType("__main__")
    vars(main).update(
        __loader__=importlib.machinery.BuiltinImporter, __builtins__=builtins, __annotations__={}
    )
    sys.modules["__main__"] = main
    born = vars(logging).get("_startTime")  # in nanoseconds since Python 3.13
    vars(logging)["_startTime"] = time.time_ns() if isinstance(born, int) else time.time()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:  # preloaded: its global generator was seeded then
        numpy.seed()
    gc.unfreeze()
    # The guard is to be watched; ipykernel has read the environment when it was imported. The
    # launcher takes the instance that is there.
    kernelapp.IPKernelApp.instance(parent_handle=os.getppid())
    for name in _OWN:
        del sys.modules[name]


def _show(request: "dict[str, Any]") -> None:
    """Be seen with the kernel's own mark and command line (proc(5), `environ`, `cmdline`)."""
    mark, value = request["mark"]
    os.environ[mark] = value
    _overwrite("environment", f"{mark}={'0' * len(value)}\0", f"{mark}={value}\0")
    command = "".join(f"{argument}\0" for argument in request["argv"])
    _overwrite("arguments", None, command)


def _overwrite(which: str, old: "str | None", new: str) -> None:
    """Put a text in the place of another one as long, in the memory that proc(5) shows."""
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = map(int, fields[_STAT[which] : _STAT[which] + 2])
    text = os.fsencode(new)
    offset = 0
    if old is not None:
        offset = ctypes.string_at(start, end - start).find(os.fsencode(old))
        end = start + offset + len(text)
    if offset >= 0 and start + offset + len(text) == end:
        ctypes.memmove(start + offset, text, len(text))


def _wait_for_request() -> None:
    """Serve; return in a kernel, with everything put right."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    control = socket.socket(fileno=int(globals()["CONTROL"]))
    control.set_inheritable(False)
    _become(_serve(control, _executed("guard")))


_wait_for_request()
vars(runpy)["_run_module_as_main"]("ipykernel_launcher")  # what `-m` calls
