"""The processes that git becomes: watched while they work, ended with everything they started.

git starts others (`git-remote-https`, `ssh`, `index-pack`), all in one session and process group
whose number is the first one's. They are given up when they fall silent, not when they are slow:
the first clone of a large collection may take hours. Nothing here knows what git is asked for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self

from nbpipe.system import units

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

_GRACE = 3.0
"""Seconds for git to clean up behind itself before it is killed."""
_LOOK = 0.1
"""Seconds between two looks at whether to stop."""
_LINGER = 1.0
"""Seconds for what git has started to end after git itself."""
_TALK = 5
"""How many times the silence limit a server may talk (keep-alives) without sending an object."""
_LONGEST = 86_400.0
"""Seconds that anything may take, whatever it is doing."""
_SAME = 2.0
"""Seconds within which two processes of one number are one: the time of boot is not exact."""
_KEPT = 64 * 1024
"""Bytes of a process's complaints that are kept: the last ones."""
_WORKERS = {"index-pack", "unpack-objects", "rev-list", "http-fetch"}
"""git's own words for the processes that take objects in and look at them."""


class Pulse:
    """Whether a session of processes still does something, by what the kernel counts of it.

    Bytes read and written (`/proc/PID/io`) are a sign of life, and so is processor time of what
    works here, such as resolving deltas. ssh is left out: it exchanges keep-alives with a server
    that hangs. Where the kernel does not count bytes, processor time must do.
    """

    def __init__(self, session: int, *, silence: float, objects: bool) -> None:
        """Begin to watch.

        Args:
            session: The number of the session, which is that of its first process.
            silence: Seconds without a sign of life until it is given up.
            objects: Objects are to come: a sign of life that brings none is only words.
        """
        self._session = session
        self._silence = silence
        self._objects = objects
        self._begun = self._looked = self._alive = self._worked = time.monotonic()
        self._every = min(max(silence / 10, _LOOK), 10.0)
        self._life: frozenset[tuple[int, int, float]] = frozenset()
        self._work = self._life

    def verdict(self) -> str:
        """Return why it is given up; empty: it goes on."""
        now = time.monotonic()
        if now - self._looked < self._every:
            return ""
        self._looked = now
        life, work = self._counted()
        if life != self._life:
            self._life, self._alive = life, now
        if work != self._work:
            self._work, self._worked = work, now
        if now - self._alive >= self._silence:
            return f"nothing arrived for {self._silence:g} s"
        if self._objects and now - self._worked >= _TALK * self._silence:
            return f"it sent no object for {_TALK * self._silence:g} s"
        if now - self._begun >= _LONGEST:
            return f"it took longer than {units.in_words(int(_LONGEST))}"
        return ""

    def _counted(
        self,
    ) -> tuple[frozenset[tuple[int, int, float]], frozenset[tuple[int, int, float]]]:
        import psutil  # noqa: PLC0415  (slow)

        life, work = set(), set()
        for pid in psutil.pids():
            try:
                if os.getsid(pid) != self._session:
                    continue
                process = psutil.Process(pid)
                if not (name := process.name()).startswith("git"):
                    continue
                count = (
                    pid,
                    _bytes(process),
                    sum(process.cpu_times()[:2]) if name == "git" else 0.0,
                )
                life.add(count)
                if not _WORKERS.isdisjoint(process.cmdline()[:3]):
                    work.add(count)
            except (psutil.Error, OSError):  # it has ended between two of these lines
                continue
        return frozenset(life), frozenset(work)


def _bytes(process: psutil.Process) -> int:
    """Return how much a process has read and written; 0 where that is not counted."""
    import psutil  # noqa: PLC0415  (slow)

    try:
        found = process.io_counters()
    except (AttributeError, RuntimeError, ValueError, psutil.AccessDenied):
        return 0  # another system, or a kernel without CONFIG_TASK_IO_ACCOUNTING
    return int(found.read_chars + found.write_chars)


class Supervised:
    """A process under way, the first of its session; when it is left, nothing of it is.

    Its complaints are read while it works, and the last of them kept.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        pulse: Pulse,
        stop: threading.Event,
        heard: int | None = None,
    ) -> None:
        """Take a process that was just started, with pipes.

        Args:
            process: In a session of its own.
            pulse: When it is given up.
            stop: Set by whoever wants everything to end.
            heard: The reading end of a pipe for what the other side says. Where there is another
                side, nothing of it outlives this process either, however that ends.
        """
        self.process = process
        self.given_up = ""
        """Why it was ended before its time."""
        self.stopped = False
        """It was ended because of `stop`."""
        self._pulse = pulse
        self._stop = stop
        self._over = threading.Event()
        self._guard = None
        if heard is not None:
            try:
                self._guard = _guard(process.pid)
            except OSError:  # the system has no process left
                end(process)
                os.close(heard)
                raise
        self._said, self._heard = bytearray(), bytearray()
        pipes = [(process.stderr, self._said)]
        if heard is not None:
            pipes.append((open(heard, "rb"), self._heard))  # noqa: PTH123, SIM115  (its reader closes it)
        self._threads = [
            threading.Thread(target=_keep, args=pipe, name="git says", daemon=True)
            for pipe in pipes
        ]
        self._threads.append(threading.Thread(target=self._watch, name="git watch", daemon=True))

    def __enter__(self) -> Self:
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # the system has no thread left
            end(self.process)
            if self._guard is not None:
                _release(self._guard)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._threads[-1].join()
        end(self.process)
        if self._guard is not None:
            _release(self._guard)
            self._guard = None
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def tell(self, text: bytes) -> None:
        """Write all of its standard input."""
        if (stdin := self.process.stdin) is not None:
            with suppress(BrokenPipeError):
                stdin.write(text)
                stdin.close()

    def read(self, size: int = -1) -> bytes:
        """Return some of its standard output, or all of it; nothing at its end."""
        stdout = self.process.stdout
        return stdout.read(size) if stdout is not None else b""

    def wait(self) -> int:
        """Wait for its end, with its output read to the end before; return the exit code."""
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.__exit__()
        return self.process.wait()

    @property
    def said(self) -> str:
        """What it complained of, once it has ended."""
        return self._said.decode("utf-8", "replace").strip()

    @property
    def heard(self) -> str:
        """What the other side said, once it has ended."""
        return self._heard.decode("utf-8", "replace").strip()

    def _watch(self) -> None:
        ended = None
        while not self._over.wait(_LOOK):
            if _has_ended(self.process):
                ended = ended or time.monotonic()
                if time.monotonic() - ended > _LINGER:
                    _signal(self.process, signal.SIGKILL)
                continue
            if self._stop.is_set():
                self.stopped = True
            elif not (verdict := self._pulse.verdict()):
                continue
            else:
                self.given_up = verdict
            _halt(self.process)


def _keep(stream: IO[bytes], kept: bytearray) -> None:
    """Read to the end, and keep the last of it."""
    with stream:
        while chunk := stream.read1(_KEPT):  # type: ignore[attr-defined]
            kept += chunk
            del kept[:-_KEPT]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether it has, without taking its number from it: that is the group's, too."""
    if process.returncode is not None:
        return True
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, process.pid, flags) is not None


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _halt(process: subprocess.Popen[bytes]) -> None:
    """Make it end, first in its own way."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _has_ended(process):
            return
        _signal(process, number)
        limit = time.monotonic() + _GRACE
        while not _has_ended(process) and time.monotonic() < limit:
            time.sleep(0.01)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may be there still, with everything that it started."""
    if process.returncode is not None:
        return
    _halt(process)
    # Not waited for yet, so the group's number cannot be another's. The others may live still.
    _signal(process, signal.SIGKILL)
    process.wait()


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Start what kills that group when this process ends without a word, as by `kill -9`.

    The other end of its pipe is here alone. PR_SET_PDEATHSIG would reach git, but not its children.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _ || kill -9 "-$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _release(guard: subprocess.Popen[bytes]) -> None:
    with suppress(BrokenPipeError):
        guard.communicate(b"\n")


def note(file: Path, pid: int) -> None:
    """Remember a child that would survive a kill of this process and of its guard."""
    import psutil  # noqa: PLC0415  (slow)

    try:
        file.write_text(f"{pid} {_began(psutil.Process(pid))}", "ascii")
    except psutil.NoSuchProcess:
        return


def _began(process: psutil.Process) -> float:
    """Return the seconds from boot until a process began: a clock that is set changes nothing."""
    import psutil  # noqa: PLC0415  (slow)

    boot = psutil.boot_time()
    return process.create_time() - boot


def end_orphan(file: Path) -> None:
    """End the fetch of a process that was killed; the lock says that its owner is dead."""
    try:
        pid, created = file.read_text("ascii").split()
    except (FileNotFoundError, ValueError):
        return
    import psutil  # noqa: PLC0415  (slow)

    try:
        process = psutil.Process(int(pid))
        # The same number may be another process by now.
        if abs(_began(process) - float(created)) < _SAME:
            os.killpg(int(pid), signal.SIGKILL)
            process.wait(_GRACE)
    except (psutil.Error, ProcessLookupError, PermissionError, ValueError):
        pass
    file.unlink(missing_ok=True)
