"""The process between the runner and one kernel: a small init that leaves nothing behind.

Run as a script (`python -I -S guard.py STATUS_FD FOLDER FILES COMMAND…`), or inside a fork server
(see `forkserver`), with the standard library only; it is never imported by the
runner. It starts the kernel in a session of its own and then

- is the kernel's parent, so that a notebook which kills its parent's group does not reach the
  runner;
- adopts every process that the notebook starts, also one that detaches itself
  (PR_SET_CHILD_SUBREAPER), and kills them all when the kernel ends;
- dies with the runner, and the kernel with it: a killed runner leaves no kernel;
- removes FOLDER, which holds the kernel's sockets and keys;
- gives the kernel the soft limit FILES of open files, which the runner may have raised (0: as is);
- tells the runner on a pipe, without being asked, which process the kernel is, how it ended, and
  how much memory all of this took at its peak (see `Memory`).

Linux only; see prctl(2). A kernel's own Python may run this: 3.8 is enough. Written by hand:
jupyter_client's LocalProvisioner signals one process group, which a process that made a session of
its own has left; psutil finds children by their parents, and a daemon's has ended.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_HANDLED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO}

_LOOK_SECONDS = 0.5
_TRACKER_SECONDS = 2.0
_LOOK_SHARE = 50
"""The pause between two looks at the memory is at least so many times what a look takes."""


class Memory:
    """The peak memory of everything that the guard has started, in bytes.

    The system itself keeps the peak of each process (getrusage(2), `ru_maxrss`), which costs
    nothing and is told when it ends; that is all for a kernel without children. For a kernel with
    children their sum counts: it is looked at now and then, as proportional set size (proc(5),
    `smaps_rollup`), in which what processes share counts once.
    """

    def __init__(self) -> None:
        self.peak = 0
        self.pause = _LOOK_SECONDS

    def ended(self, usage: "resource.struct_rusage") -> None:
        """Take note of a process that has ended."""
        self.peak = max(self.peak, usage.ru_maxrss * 1024)

    def look(self) -> None:
        """Take note of what is in use now."""
        begun = time.perf_counter()
        processes = _descendants()
        if len(processes) > 1:
            self.peak = max(self.peak, sum(map(_memory, processes)))
        self.pause = max(_LOOK_SECONDS, _LOOK_SHARE * (time.perf_counter() - begun))


def main(arguments: "list[str]") -> int:
    """Run the command until it ends or the runner does; return the guard's exit code."""
    status_fd, folder, files, command = int(arguments[0]), arguments[1], arguments[2], arguments[3:]
    runner = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != runner:  # it died before it could be noticed
        return 1
    os.set_inheritable(status_fd, False)  # noqa: FBT003
    kernel = start(status_fd)
    if kernel == 0:
        _limit(int(files))
        _execute(command, status_fd)
    return supervise(kernel, status_fd, folder)


def start(status_fd: int) -> int:
    """Fork; return the kernel's process id in the guard, 0 in what is to become the kernel."""
    prctl = ctypes.CDLL(None).prctl
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    guard = os.getpid()
    try:
        kernel = os.fork()
    except OSError as error:  # no more processes, no memory
        _say(status_fd, f"failed {error.errno} {error.strerror}")
        os._exit(1)
    if kernel != 0:
        _say(status_fd, f"started {kernel}")
        return kernel
    os.setsid()
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != guard:
        os._exit(127)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    if "JPY_PARENT_PID" in os.environ:  # ipykernel looks whether this is still its parent
        os.environ["JPY_PARENT_PID"] = str(guard)
    return 0


def supervise(kernel: int, status_fd: int, folder: str) -> int:
    """Wait for the kernel's end, and see to what is left of it; return the exit code."""
    memory = Memory()
    _wait(kernel, status_fd, memory)
    _kill_descendants(memory)
    _remove(folder)
    _say(status_fd, f"ended {memory.peak}")
    return 0


def watch(status_fd: int) -> None:
    """Have SIGIO sent when the runner, the only reader of the pipe, is gone (fcntl(2), O_ASYNC).

    For a guard that is not the runner's child and does not get a signal at its death.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    fcntl.fcntl(status_fd, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(status_fd, fcntl.F_GETFL)
    fcntl.fcntl(status_fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    if _abandoned(status_fd):  # before it was watched
        os._exit(1)


def _abandoned(status_fd: int) -> bool:
    """Return whether nobody reads the pipe any more."""
    poll = select.poll()
    poll.register(status_fd, 0)
    return bool(poll.poll(0))


def _limit(files: int) -> None:
    """Set the soft limit of open files."""
    if files:
        import resource  # noqa: PLC0415  (rarely needed, and not by a fork server)

        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _execute(command: "list[str]", status_fd: int) -> None:
    """Turn this child into the kernel; never return."""
    try:
        os.execvp(command[0], command)  # noqa: S606  (no shell wanted)
    except OSError as error:
        _say(status_fd, f"failed {error.errno} {error.strerror}")
    finally:
        os._exit(127)


def _wait(kernel: int, status_fd: int, memory: Memory) -> None:
    """Return when the kernel has ended, or when the guard is told to end."""
    while True:
        told = signal.sigtimedwait(_HANDLED, memory.pause)
        if told is None:
            memory.look()
            continue
        if told.si_signo == signal.SIGIO and not _abandoned(status_fd):
            continue  # the runner has read something
        if told.si_signo != signal.SIGCHLD:
            return
        if _reap(kernel, status_fd, memory):
            return


def _reap(kernel: int, status_fd: int, memory: Memory) -> bool:
    """Take note of all children that have ended; return whether the kernel is one of them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status, usage = os.wait4(-1, os.WNOHANG)
            if process == 0:
                return False
            memory.ended(usage)
            if process == kernel:
                _say(status_fd, f"exited {_exit_code(status)}")
                return True
    return False


def _exit_code(status: int) -> int:
    """Return what a wait status means, as `os.waitstatus_to_exitcode` (since Python 3.9)."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _kill_descendants(memory: Memory) -> None:
    """Kill children until there are none: the killed ones' children become ours.

    What cleans up after others ends by itself when they have ended, and gets a moment for that:
    multiprocessing's resource tracker frees the machine's memory that was shared.
    """
    until = time.monotonic() + _TRACKER_SECONDS
    while _has_children(memory):
        killed = 0
        children = _children()
        trackers = {each for each in children if _is_tracker(each)}
        if trackers and time.monotonic() > until:
            trackers.clear()
        for process in children:
            if process in trackers:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
                killed += 1
        if trackers and not killed:
            signal.sigtimedwait({signal.SIGCHLD}, _LOOK_SECONDS / 10)
            continue
        if not killed:  # what is left belongs to another user (sudo)
            return
        with contextlib.suppress(ChildProcessError):
            memory.ended(os.wait4(-1, 0)[2])


def _is_tracker(process: int) -> bool:
    """Return whether a process is, by its name or its signals, a resource tracker (proc(5)).

    Those of multiprocessing and of loky ignore SIGINT and SIGTERM once they have started.
    """
    with contextlib.suppress(OSError):
        with open(f"/proc/{process}/cmdline", "rb") as command:  # noqa: PTH123
            if b"resource_tracker" in command.read():
                return True
        with open(f"/proc/{process}/status", "rb") as status:  # noqa: PTH123
            ignored = [int(line.split()[1], 16) for line in status if line.startswith(b"SigIgn:")]
        wanted = (1 << signal.SIGINT - 1) | (1 << signal.SIGTERM - 1)
        return bool(ignored) and ignored[0] & wanted == wanted
    return False


def _has_children(memory: Memory) -> bool:
    """Return whether there are any; a look at all processes takes longer than a kernel's end."""
    with contextlib.suppress(ChildProcessError):
        process, _, usage = os.wait4(-1, os.WNOHANG)
        if process:
            memory.ended(usage)
        return True
    return False


def _remove(folder: str) -> None:
    """Remove a folder of files, as far as it goes."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            os.unlink(f"{folder}/{name}")  # noqa: PTH108
        os.rmdir(folder)  # noqa: PTH106


def _children() -> "list[int]":
    """Return the process ids of this process's children (proc(5), `children`: one thread's)."""
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children", "rb") as children:  # noqa: PTH123
            return [int(each) for each in children.read().split()]
    except OSError:  # a system that was built without it
        return _by_parent().get(own, [])


def _descendants() -> "list[int]":
    """Return the process ids of this process's children, their children, and so on."""
    by_parent = _by_parent()
    found = list(by_parent.get(os.getpid(), []))
    for process in found:  # it grows
        found += by_parent.get(process, [])
    return found


def _by_parent() -> "dict[int, list[int]]":
    """Return all processes, by their parent's id (proc(5), `stat`: field 4)."""
    by_parent: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib is slow to import)
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
            parent = int(stat.read().rpartition(b")")[2].split()[1])
            by_parent.setdefault(parent, []).append(int(name))
    return by_parent


def _memory(process: int) -> int:
    """Return a process's proportional set size in bytes; 0 where it is not ours to see."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/smaps_rollup", "rb") as rollup:  # noqa: PTH123
        for line in rollup:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _say(status_fd: int, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(status_fd, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
