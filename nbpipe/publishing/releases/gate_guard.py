"""The process between the service and a gate's command: a small init that leaves nothing behind.

Run as a script (`python -I -S gate_guard.py STATUS_FD COMMAND…`), with the standard library only.
It adopts every process that the command starts, also one that leaves its group and session
(PR_SET_CHILD_SUBREAPER), and kills them all when the command ends, when it is asked to (SIGTERM),
and when the service dies. On the pipe it writes `started PID`, then `exited CODE` or
`failed REASON`, and `left` where a process of another user could not be ended.

Linux only; see prctl(2).
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_HANDLED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def main(arguments: list[str]) -> int:
    """Run the command to its end, or until there is a signal; then end all that it started."""
    status, command = int(arguments[0]), arguments[1:]
    service = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != service:  # it died before it could be noticed
        return 1
    os.set_inheritable(status, False)  # noqa: FBT003
    child = _start(command, status)
    _say(status, f"started {child}")
    _wait(child, status)
    if not _end_all():
        _say(status, "left")
    return 0


def _start(command: list[str], status: int) -> int:
    """Fork; the child becomes the command."""
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guard:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            os.execvp(command[0], command)  # noqa: S606  (no shell wanted)
    except OSError as error:
        _say(status, f"failed {error.strerror}")
    finally:
        os._exit(127)


def _wait(child: int, status: int) -> None:
    """Return when the command has ended, or when the guard is asked to end."""
    while signal.sigwait(_HANDLED) == signal.SIGCHLD:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    _say(status, f"exited {os.waitstatus_to_exitcode(ended[1])}")
                    return


def _end_all() -> bool:
    """Kill children until there are none: the killed ones' children become ours."""
    with contextlib.suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            killed = False
            for process in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
                    killed = True
            if not killed:  # what is left belongs to another user (sudo)
                return False
            os.waitpid(-1, 0)
    return True


def _children() -> list[int]:
    """Return the process ids of this process's children (proc(5), `stat`: field 4)."""
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib is slow to import)
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                if int(stat.read().rpartition(b")")[2].split()[1]) == own:
                    found.append(int(name))
    return found


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(AttributeError):  # no Linux
        ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


def _say(status: int, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(status, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
