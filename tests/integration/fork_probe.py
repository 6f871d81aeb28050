"""What a kernel says of itself; the source of a notebook's only cell."""

# ruff: noqa: E402, PLC0415, PTH109, PTH115, PTH119, PTH123, PTH208, RUF005, S311, T201
# (a notebook: what is imported when is the point here)

import sys

modules = sorted(sys.modules)
main = sorted((name, type(value).__name__) for name, value in vars(sys.modules["__main__"]).items())

import collections
import gc
import json
import locale
import logging
import math
import multiprocessing
import os
import random
import resource
import secrets
import signal
import subprocess
import tempfile
import threading
import uuid
import warnings

import ipykernel.kernelapp

print(" ", file=sys.stderr, flush=True)  # opens a socket; so did debugpy, if imported just now


def frames() -> list[str]:
    """Return the stack, the outermost frame first."""
    found, frame = [], sys._getframe()
    while frame is not None:
        found.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        frame = frame.f_back
    return found[::-1]


def lines(path: str) -> list[str]:
    """Return a file of proc(5) by its NULs."""
    with open(path, encoding="utf-8") as stream:
        return stream.read().split("\0")


def descriptors() -> dict[str, int]:
    """Return how many descriptors there are of each kind, and what the first three are."""
    kinds = collections.Counter()
    for number in os.listdir("/proc/self/fd"):
        try:
            kind = os.readlink(f"/proc/self/fd/{number}").partition(":[")[0]
        except OSError:
            continue
        kinds[os.path.basename(kind)] += 1
        if int(number) < 3:
            kinds[f"{number} {os.path.basename(kind)}"] += 1
    return dict(kinds)


def modes() -> dict[str, object]:
    """Return what each way to start a process gives."""
    found = {"default": multiprocessing.get_start_method()}
    for way in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(way).Pool(1) as pool:
            found[way] = pool.map(math.sqrt, [4.0, 9.0])
    return found


def numpy_random() -> float:
    """Return a number from numpy's own generator; it is not everywhere."""
    try:
        import numpy as np
    except ImportError:
        return random.random()
    return float(np.random.default_rng().random())


with open("/proc/self/status", encoding="utf-8") as stream:
    status = [
        line.split() for line in stream if line.startswith(("SigB", "SigI", "SigC", "Sh", "NoNew"))
    ]
started = threading.Thread()
seen = {
    "arguments": [sys.argv, sys.orig_argv],
    "command line": [lines("/proc/self/cmdline"), lines("/proc/self/comm")],
    "descriptors": descriptors(),
    "environment": [
        (name, value)
        for name, value in os.environ.items()
        if name not in {"JPY_PARENT_PID", "NBPIPE_KERNEL"}
    ]
    + list(os.environ),
    "executable": [sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix],
    "first environment": lines("/proc/self/environ"),
    "flags": [str(sys.flags), sys._xoptions, sys.warnoptions],
    "folder": [os.getcwd(), sys.path[0]],
    "garbage": [gc.get_threshold(), gc.get_freeze_count(), gc.isenabled(), gc.get_debug()],
    "hooks": [str(sys.excepthook), str(sys.displayhook), str(sys.breakpointhook)]
    + [
        str(threading.excepthook),
        str(sys.unraisablehook),
        str(ipykernel.kernelapp.launch_new_instance),
    ],
    "importers": [list(map(str, sys.meta_path)), sorted(sys.path_importer_cache)],
    "interpreter": [sorted(dir(sys)), sys.getrecursionlimit(), sys.getswitchinterval()],
    "kernel's own threads": [thread.name for thread in threading.enumerate()],
    "limits": [
        (name, resource.getrlimit(getattr(resource, name)))
        for name in dir(resource)
        if name.startswith("RLIMIT")
    ],
    "locale": [locale.getlocale(), sys.getfilesystemencoding(), sys.getdefaultencoding()],
    "logging": [sorted(logging.root.manager.loggerDict), logging.root.level]
    + [str(logging.root.handlers), logging._startTime > 0],
    "main": main,
    "mode of files": [os.umask(0o22), os.umask(0o22)],
    "modules": modules,
    "new thread": started.name,
    "outermost frames": frames(),
    "parent": [
        os.environ["JPY_PARENT_PID"] == str(os.getppid()),
        ipykernel.kernelapp.IPKernelApp.instance().parent_handle == os.getppid(),
    ],
    "path": sys.path,
    "priority": [os.nice(0), sorted(os.sched_getaffinity(0))],
    "session": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
    "signals": [
        *((number, str(signal.getsignal(number))) for number in sorted(signal.valid_signals())),
        *status,
    ],
    "streams": [str(stream) for stream in (sys.stdin, sys.__stdin__, sys.__stdout__)]
    + [str(stream.line_buffering) for stream in (sys.__stdout__, sys.__stderr__)],
    "threads": [(type(thread).__name__, thread.daemon) for thread in threading.enumerate()],
    "warnings": list(map(str, warnings.filters)),
    "random": {
        "random": random.random(),
        "uuid": str(uuid.uuid4()),
        "tempfile": next(tempfile._get_candidate_names()),
        "secrets": secrets.token_hex(),
        "authkey": bytes(multiprocessing.current_process().authkey).hex(),
        "numpy": numpy_random(),
    },
}
seen["subprocess"] = subprocess.run(
    [sys.executable, "-c", "import sys; print(sys.stdin.read(), sys.flags)"],
    input="in", capture_output=True, text=True, check=True,
).stdout  # fmt: skip
seen["multiprocessing"] = modes()
print(json.dumps(seen, default=str))
