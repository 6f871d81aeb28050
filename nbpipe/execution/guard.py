"""The process between the runner and one kernel: a small init that leaves nothing behind.

Run as a script (`python -I -S guard.py STATUS_FD FOLDER COMMAND…`), or inside a fork server (see
`nbpipe.execution.forkserver`), with the standard library only; it is never imported by the
runner. It starts the kernel in a session of its own and then

- is the kernel's parent, so that a notebook which kills its parent's group does not reach the
  runner;
- adopts every process that the notebook starts, also one that detaches itself
  (PR_SET_CHILD_SUBREAPER), and kills them all when the kernel ends;
- dies with the runner, and the kernel with it: a killed runner leaves no kernel;
- removes FOLDER, which holds the kernel's sockets and keys;
- tells the runner on a pipe, without being asked, which process the kernel is and how it ended.

Linux only; see prctl(2). A kernel's own Python may run this: 3.9 is enough.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_HANDLED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO}


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the runner does; return the guard's exit code."""
    status_fd, folder, command = int(arguments[0]), arguments[1], arguments[2:]
    runner = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != runner:  # it died before it could be noticed
        return 1
    os.set_inheritable(status_fd, False)  # noqa: FBT003
    kernel = start(status_fd)
    if kernel == 0:
        _execute(command, status_fd)
    return supervise(kernel, status_fd, folder)


def start(status_fd: int) -> int:
    """Fork; return the kernel's process id in the guard, 0 in what is to become the kernel."""
    prctl = ctypes.CDLL(None).prctl
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    guard = os.getpid()
    kernel = os.fork()
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
    _wait(kernel, status_fd)
    _kill_descendants()
    _remove(folder)
    _say(status_fd, "ended")
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


def _execute(command: list[str], status_fd: int) -> None:
    """Turn this child into the kernel; never return."""
    try:
        os.execvp(command[0], command)  # noqa: S606  (no shell wanted)
    except OSError as error:
        _say(status_fd, f"failed {error.errno} {error.strerror}")
    finally:
        os._exit(127)


def _wait(kernel: int, status_fd: int) -> None:
    """Return when the kernel has ended, or when the guard is told to end."""
    while True:
        told = signal.sigwait(_HANDLED)
        if told == signal.SIGIO and not _abandoned(status_fd):
            continue  # the runner has read something
        if told != signal.SIGCHLD:
            return
        with contextlib.suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if process == kernel:
                    _say(status_fd, f"exited {os.waitstatus_to_exitcode(status)}")
                    return
                if process == 0:
                    break


def _kill_descendants() -> None:
    """Kill children until there are none: the killed ones' children become ours."""
    while True:
        killed = 0
        for process in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
                killed += 1
        if not killed:  # what is left belongs to another user (sudo)
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _remove(folder: str) -> None:
    """Remove a folder of files, as far as it goes."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            os.unlink(f"{folder}/{name}")  # noqa: PTH108
        os.rmdir(folder)  # noqa: PTH106


def _children() -> list[int]:
    """Return the process ids of this process's children (proc(5), `stat`: field 4)."""
    own = os.getpid()
    children = []
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib is slow to import)
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
            if int(stat.read().rpartition(b")")[2].split()[1]) == own:
                children.append(int(name))
    return children


def _say(status_fd: int, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(status_fd, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
