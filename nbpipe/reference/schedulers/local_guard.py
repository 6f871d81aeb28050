"""The guard of one local job: waits for its turn, starts it, holds it to its limits, ends it all.

Started as `python -m nbpipe.reference.schedulers.local_guard FOLDER`; it leaves its parent's
session once it holds the job's lock. It adopts what the job leaves behind and kills it; the job
dies with it. Imports nothing of ours but the files' own module.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from nbpipe.reference.schedulers.local_files import lock, read, write

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK = 0.1
"""Seconds between two looks at the job; its memory may overshoot for as long."""
_KILL_WAIT = 5.0
"""Seconds between asking a job to end and killing it."""
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl


class Guard:
    """One job, from waiting to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.request = read(folder / "request.json")
        self.state: dict[str, Any] = {"state": "pending"}
        self.peak = 0
        self.cpu: dict[int, float] = {}

    def tell(self, **changes: object) -> None:
        """Write down what has become of the job."""
        self.state |= changes
        write(self.folder / "state.json", self.state)

    def run(self) -> None:
        """Guard the job to its end."""
        reason = self.wait_for_others()
        locks = None if reason else self.wait_for_turn()
        if locks is None:
            self.tell(state="cancelled", reason=reason or "cancelled", ended=time.time())
            return
        try:
            process = self.start()
        except OSError as error:
            self.tell(state="failed", reason=str(error), exit_code=127, ended=time.time())
            return
        self.watch(process)

    def cancelled(self) -> bool:
        """Return whether somebody asked for an end."""
        return (self.folder / "cancel").exists()

    def wait_for_others(self) -> str:
        """Wait for the jobs before this one; return why it can never start, or ""."""
        waiting = list(self.request["after"])
        while waiting:
            if self.cancelled():
                return "cancelled"
            other = self.folder.parent / waiting[0]
            state = read(other / "state.json").get("state")
            if state == "completed":
                waiting.pop(0)
            elif state not in {"pending", "running"} or not _guarded(other):
                if read(other / "state.json").get("state") != "completed":
                    return f"dependency never satisfied: {waiting[0]}"
            else:
                self.pause("Dependency")
        return ""

    def wait_for_turn(self) -> list[int] | None:
        """Return the locks of as many cores as wanted; None where it was cancelled meanwhile.

        Who has the turn gets the next cores that are free, so that a job of many cores is not
        passed by jobs of few.
        """
        request = self.request
        base = self.folder.name.partition("_")[0]
        array = self.take(f"array-{base}", request["at_once"], 1) if request["at_once"] else []
        turn = None if array is None else self.take("turn", 1, 1)
        cores = None if turn is None else self.take("core", request["slots"], request["cores"])
        if array is None or turn is None or cores is None:
            return None
        os.close(turn[0])
        return [*array, *cores]

    def take(self, what: str, of: int, many: int) -> list[int] | None:
        """Return `many` locks of the `of` there are; None where the job was cancelled meanwhile."""
        names = [self.folder.parent / f".{what}.{number}" for number in range(of)]
        taken: dict[Path, int] = {}
        while True:
            for name in names:
                if len(taken) == many:
                    return [*taken.values()]
                if name not in taken and (descriptor := lock(name)) is not None:
                    taken[name] = descriptor
            if len(taken) == many:
                return [*taken.values()]
            if self.cancelled():
                return None
            self.pause("Resources")

    def pause(self, reason: str) -> None:
        """Say why the job waits, and wait."""
        if self.state.get("reason") != reason:
            self.tell(reason=reason)
        time.sleep(_LOOK)

    def start(self) -> psutil.Popen:
        """Start the job in a session of its own."""
        request = self.request
        environ = dict(os.environ)
        environ["NBPIPE_JOB_ID"] = self.folder.name
        if request["index"]:
            environ["NBPIPE_TASK_INDEX"] = str(request["index"])
        with Path(request["stdout"]).open("ab") as out, Path(request["stderr"]).open("ab") as err:
            process = psutil.Popen(
                request["command"],
                cwd=request["folder"],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_die_with_guard,
            )
        self.tell(state="running", reason="", started=time.time())
        return process

    def watch(self, process: psutil.Popen) -> None:
        """Hold the job to its limits until it ends; write down how it did."""
        started = self.state["started"]
        verdict, warned = "", False
        while (code := process.poll()) is None:
            took = time.time() - started
            limit, grace, memory = (self.request[key] for key in ("walltime", "grace", "memory"))
            self.measure()
            if memory and self.peak > memory:
                verdict = "out-of-memory"
                _signal_all(signal.SIGKILL)
            # In this order: a job that is over its memory must go at once, a cancelled one was a
            # person's wish even where its time is over, too, and the warning is for the living.
            elif self.cancelled() or (limit and took > limit):
                verdict = "cancelled" if self.cancelled() else "timeout"
                self.end(process)
            elif grace and took > grace and not warned:
                warned = True
                process.send_signal(signal.SIGTERM)
            time.sleep(_LOOK)
        self.measure()
        _signal_all(signal.SIGKILL)
        state = verdict or ("completed" if code == 0 else "failed")
        self.tell(
            state=state,
            reason=state,
            exit_code=max(code, 0),
            signal=-code if code < 0 else None,
            peak_memory=self.peak or None,
            cpu_seconds=self.used(),
            ended=time.time(),
        )

    def end(self, process: psutil.Popen) -> None:
        """Ask the job to end; kill it if it does not."""
        _signal_all(signal.SIGTERM)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(_KILL_WAIT)
        _signal_all(signal.SIGKILL)

    def measure(self) -> None:
        """Note the memory of the job's processes together."""
        total = 0
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        self.peak = max(self.peak, total)

    def used(self) -> float:
        """Return the processor seconds of everything that has ended below this process."""
        while True:  # adopted processes, which nobody else waits for
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0 and not psutil.Process().children():
                    break
                time.sleep(_LOOK / 10)
            except ChildProcessError:
                break
        times = os.times()
        return times.children_user + times.children_system


def _guarded(folder: Path) -> bool:
    """Return whether another job has a living guard."""
    try:
        descriptor = lock(folder / "guard.lock")
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _signal_all(number: int) -> None:
    """Send a signal to everything below this process."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _die_with_guard() -> None:
    _PRCTL(_SET_PDEATHSIG, signal.SIGKILL)


def _detach(folder: Path, guard: Callable[[], None]) -> None:
    """Go on in a process of its own session; the first one ends when the other has the lock."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) == b"1" else 1)
    os.close(reading)
    os.setsid()
    _PRCTL(_SET_CHILD_SUBREAPER, 1)
    if lock(folder / "guard.lock") is None:
        os._exit(1)
    write(folder / "state.json", {"state": "pending"})
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.dup2(os.open(folder / "guard.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    os.write(writing, b"1")
    os.close(writing)
    guard()


def main(folder: Path) -> None:
    """Guard the job in that folder, in the background."""
    os.chdir("/")
    _detach(folder, Guard(folder).run)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
