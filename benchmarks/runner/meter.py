"""Run one command, and write what it and everything that it started cost, as JSON.

    python -I meter.py RESULT SECONDS COMMAND…

- wall: seconds until the command itself ended.
- cpu: user and system seconds of the whole tree. Where this user may make a control group (`how` is
  cgroup), the command runs in one, and the kernel's own account is taken, which misses nothing.
  Elsewhere (`how` is rusage) this process adopts what detaches itself (PR_SET_CHILD_SUBREAPER,
  prctl(2)), waits for every process and asks getrusage(2) for its children: kernels that forked
  twice are in there, processes whose parent ignores SIGCHLD are not (wait(2)).
- peak: bytes of the tree at its largest, summed as proportional set size (proc(5), smaps_rollup),
  in which shared pages count once. Looked at every 0.2 s. A look is no part of cpu, and all of them
  take at most a fiftieth of one core.
- left: how many processes still ran 5 s after the command had ended; they are killed.

Linux only. It stands alone, with the standard library, so as to start fast and weigh little.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

_SUBREAPER = 36
_LOOK_SECONDS = 0.2
_LOOK_SHARE = 50
_LEFT_SECONDS = 5.0

_GROUPS = (
    # Folder, what lists processes, what holds the account, its key, how many make a second.
    ("/sys/fs/cgroup", "cgroup.procs", "cpu.stat", "usage_usec", 1e6),
    ("/sys/fs/cgroup/cpuacct", "tasks", "cpuacct.usage", "", 1e9),
)


def main(result: str, limit: str, *command: str) -> None:
    """Measure, write the result."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with contextlib.closing(_Group()) as group:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            preexec_fn=group.enter,  # noqa: PLW1509  (there is no other thread yet)
        )
        tree = _Tree(begun + float(limit))
        tree.start()
        code, wall = 0, 0.0
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, 0)
                if pid == process.pid:
                    wall = time.perf_counter() - begun
                    code = os.waitstatus_to_exitcode(status)
                    tree.end()
        measured = {"wall": wall, "cpu": group.seconds(), "how": group.how, "code": code}
    measured |= {"peak": tree.peak, "left": tree.left, "late": tree.late}
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(measured, file)


class _Group:
    """A control group of its own for the command, where that may be; see cgroups(7)."""

    def __init__(self) -> None:
        self.how = "rusage"
        for root, self._list, self._account, self._key, self._unit in _GROUPS:
            self._folder = f"{root}/nbpipe-benchmark-{os.getpid()}"
            with contextlib.suppress(OSError):
                os.mkdir(self._folder)  # noqa: PTH102
                if os.path.exists(f"{self._folder}/{self._account}"):  # noqa: PTH110
                    self.how = "cgroup"
                    return
                os.rmdir(self._folder)  # noqa: PTH106

    def enter(self) -> None:
        """Bring this process in."""
        if self.how == "cgroup":
            with open(f"{self._folder}/{self._list}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write("0")

    def seconds(self) -> float:
        """Return the seconds of all processes that were in it and have ended."""
        if self.how == "rusage":
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime
        with open(f"{self._folder}/{self._account}", encoding="ascii") as file:  # noqa: PTH123
            line = next(line for line in file if line.startswith(self._key))
        return int(line.split()[-1]) / self._unit

    def close(self) -> None:
        """Remove it."""
        if self.how == "cgroup":
            os.rmdir(self._folder)  # noqa: PTH106


class _Tree(threading.Thread):
    """Looks at the tree now and then, and kills what takes too long."""

    def __init__(self, limit: float) -> None:
        super().__init__(daemon=True)
        self.peak = self.left = 0
        self.late = False
        self._limit = limit
        self._ended = threading.Event()

    def end(self) -> None:
        """Let the rest of the tree have a little time, now that the command has ended."""
        self._limit = time.perf_counter() + _LEFT_SECONDS
        self._ended.set()

    def run(self) -> None:
        """Look and sleep, until this process ends."""
        while True:
            begun = time.perf_counter()
            tree = descendants()
            self.peak = max(self.peak, sum(map(memory, tree)))
            if begun > self._limit:
                self._kill(tree)
            time.sleep(max(_LOOK_SECONDS, _LOOK_SHARE * (time.perf_counter() - begun)))

    def _kill(self, tree: list[int]) -> None:
        if self._ended.is_set():
            self.left += len(tree)
        self.late = self.late or not self._ended.is_set()
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants() -> list[int]:
    """Return the process ids below this process (proc(5), `stat`: field 4 is the parent)."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
            parent = int(stat.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = list(children.get(os.getpid(), []))
    for pid in found:  # it grows
        found += children.get(pid, [])
    return found


def memory(pid: int) -> int:
    """Return a process's proportional set size in bytes, 0 when it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:  # noqa: PTH123
        for line in rollup:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
