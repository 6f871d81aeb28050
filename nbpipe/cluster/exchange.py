"""The folder that workers of `nbpipe test --cluster` share with whoever started them.

    job.json                 how to work: output folder, slots, forking; format and version
    workers.json             where the workers are, so that another client finds them again
    client.lock              held by the client that follows this run
    rounds/N/plan            one record per portion: notebooks that stay together, first one first
    rounds/N/claims/INDEX/   made by the worker that took the portion; a folder is made by one only
    rounds/N/drain           appears when nothing more is to be started
    rounds/N/stop            appears when everything is to end
    logs/WORKER              what one worker has to report, appended by it alone

What a look costs does not depend on the number of notebooks: a client lists `logs` and reads each
log from where it stopped, and workers claim in the order of the plan, so that what is claimed is
always its beginning, and the first portion that is free is found by a search in steps that double.

A record is one line: length, checksum (CRC-32) and JSON. A line that is cut short, or whose pages
a network file system has not delivered yet, fails one of the two and is read again later; a worker
that dies while it writes loses that record and nothing before it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from nbpipe.errors import UsageError
from nbpipe.system import locks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WORKER = "nbpipe.cluster.worker"
"""The module that a worker runs: `python -m nbpipe.cluster.worker FOLDER`."""
FORMAT = 2
"""Of everything in the folder; another version's is refused."""
JOB, WORKERS, LOCK = "job.json", "workers.json", "client.lock"
_ROUNDS, _LOGS = "rounds", "logs"
_PLAN, _CLAIMS, _DRAIN, _STOP = "plan", "claims", "drain", "stop"
_HEAD = len("00000000 00000000 ")
_HEX = 16


HELLO, STARTED, MOVED, RESULT, END = "hello", "started", "moved", "result", "end"
"""What a worker reports."""


class DamagedError(ValueError):
    """A file holds a record that is not whole."""


class Report(msgspec.Struct, frozen=True):
    """One thing that a worker reports."""

    kind: str
    value: msgspec.Raw
    """Its JSON."""


def report(kind: str, value: bytes) -> bytes:
    """Return the JSON of a report."""
    return b'{"kind":"%b","value":%b}' % (kind.encode(), value)


def record(value: bytes) -> bytes:
    """Return the line for one JSON text, which must not contain a line break."""
    return b"%08x %08x %b\n" % (len(value), zlib.crc32(value), value)


def split(data: bytes) -> tuple[list[bytes], int]:
    """Return the JSON texts of the whole records at the beginning, and how many bytes they take."""
    found: list[bytes] = []
    place = 0
    while True:
        end = data.find(b"\n", place)
        value = data[place + _HEAD : end]
        if end < 0 or not _whole(data[place : place + _HEAD], value):
            return found, place
        found.append(value)
        place = end + 1


def _whole(head: bytes, value: bytes) -> bool:
    try:
        length, checksum = int(head[:8], _HEX), int(head[9:17], _HEX)
    except ValueError:
        return False
    return len(value) == length and zlib.crc32(value) == checksum


@dataclass(frozen=True, slots=True)
class Round:
    """One plan for workers; what a round's workers did not finish is in the next one."""

    folder: Path

    @property
    def number(self) -> int:
        """Its place among the rounds, from 1."""
        return int(self.folder.name)

    def write(self, portions: Iterable[bytes]) -> None:
        """Make the round: it is there whole, or not at all."""
        fresh = self.folder.with_name(f".{self.folder.name}")
        (fresh / _CLAIMS).mkdir(parents=True)
        with (fresh / _PLAN).open("wb") as stream:
            stream.writelines(record(each) for each in portions)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.rename(self.folder)

    def add(self, portion: bytes) -> None:
        """Add a portion at the end; its workers must be waiting for more."""
        with (self.folder / _PLAN).open("ab") as stream:
            stream.write(record(portion))

    def portions(self) -> tuple[list[bytes], int]:
        """Return all portions, and the place in the plan's file where they end.

        Raises:
            DamagedError: The file ends in the middle of a portion.
        """
        found, end = self.added(0)
        if end < (self.folder / _PLAN).stat().st_size:
            raise DamagedError(f"{self.folder / _PLAN}: damaged at byte {end}")
        return found, end

    def added(self, begin: int) -> tuple[list[bytes], int]:
        """Return the whole portions from a place in the plan's file on, and where they end."""
        with (self.folder / _PLAN).open("rb") as stream:
            stream.seek(begin)
            found, used = split(stream.read())
        return found, begin + used

    def claim(self, index: int) -> bool:
        """Take a portion; return whether nobody else has.

        Making a folder is the one thing that every network file system lets a single client do.
        """
        try:
            (self.folder / _CLAIMS / f"{index:06}").mkdir()
        except FileExistsError:
            return False
        return True

    def is_claimed(self, index: int) -> bool:
        """Return whether somebody has taken a portion; an answer that is late says no."""
        return (self.folder / _CLAIMS / f"{index:06}").exists()

    def drain(self) -> None:
        """Have workers start nothing more."""
        (self.folder / _DRAIN).touch()

    def stop(self) -> None:
        """Have workers interrupt what they run, and end."""
        (self.folder / _STOP).touch()

    @property
    def draining(self) -> bool:
        """Whether nothing more is to be started."""
        return (self.folder / _DRAIN).exists()

    @property
    def stopped(self) -> bool:
        """Whether everything is to end."""
        return (self.folder / _STOP).exists()


@dataclass(slots=True)
class Cursor:
    """Takes one portion after the other out of a round, beside other workers that do the same.

    All of them take the first one that is free. So what is taken is a beginning of the plan, and
    its end is found in steps that double, then by halves: a few questions, whatever the plan's
    length.
    """

    round: Round
    count: int
    """Portions in the plan."""
    next: int = 0
    """The first portion of which it is not known that somebody took it."""

    def take(self) -> int | None:
        """Take the first portion that is free; None: there is none left."""
        while self.next < self.count:
            index = self.next
            if self.round.claim(index):
                self.next = index + 1
                return index
            self._skip()
        return None

    @property
    def left(self) -> int:
        """Portions that are free, as far as is known here."""
        return self.count - self.next

    def _skip(self) -> None:
        """Go past what others took; `next` is known to be taken."""
        low, step = self.next, 1  # low is taken
        while low + step < self.count and self.round.is_claimed(low + step):
            low, step = low + step, step * 2
        high = min(low + step, self.count)  # free, as far as is known
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.round.is_claimed(middle) else (low, middle)
        self.next = high


@dataclass(slots=True)
class Log:
    """What one worker has to report; it alone writes there."""

    file: Path
    _size: int = 0

    def append(self, values: Iterable[bytes], *, safe: bool) -> None:
        """Write records, which outlast this worker from now on.

        Args:
            values: Their JSON.
            safe: Whether they have to outlast this machine, too.

        Raises:
            OSError: That was not possible; the log ends where it ended before.
        """
        data = b"".join(map(record, values))
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.ftruncate(descriptor, self._size)  # after what a full disk cut short
            done = 0
            while done < len(data):
                done += os.pwrite(descriptor, data[done:], self._size + done)
            if safe:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)  # close-to-open: others see it from now on
        self._size += done


@dataclass(slots=True)
class Logs:
    """Reads what all workers report, each record once."""

    folder: Path
    _read: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many workers have reported."""
        return len(self._read)

    def fresh(self) -> Iterator[tuple[str, Report]]:
        """Yield the worker and its report for all that has come since the last time.

        Raises:
            ValueError: A report is whole, and not one that this version knows.
        """
        with contextlib.suppress(FileNotFoundError):
            for file in sorted(self.folder.iterdir()):
                yield from self._of(file.name)

    def _of(self, name: str) -> Iterator[tuple[str, Report]]:
        begin = self._read.get(name, 0)
        try:
            with (self.folder / name).open("rb", buffering=0) as stream:
                if os.fstat(stream.fileno()).st_size <= begin:
                    return
                stream.seek(begin)
                data = stream.read()
        except OSError:  # ESTALE of a network file system: the next look finds it
            return
        values, used = split(data)
        self._read[name] = begin + used
        for value in values:
            yield name, msgspec.json.decode(value, type=Report)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The shared folder of one run."""

    folder: Path

    @property
    def logs(self) -> Path:
        """Where workers report."""
        return self.folder / _LOGS

    def make(self) -> None:
        """Make the folder with what has to be there before any worker."""
        (self.folder / _LOGS).mkdir(parents=True)
        (self.folder / _ROUNDS).mkdir()

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Be the one client that follows this run in here.

        Raises:
            UsageError: Another one does.
        """
        with (self.folder / LOCK).open("a+", encoding="utf-8") as lock:
            mine = True
            with contextlib.suppress(OSError):  # a file system without locks
                mine = locks.take(lock.fileno())
            if not mine:
                lock.seek(0)
                raise UsageError(
                    f"{self.folder}: another nbpipe follows this run: {lock.read().strip()}",
                    hint="Wait until it has ended, or end it.",
                )
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            yield

    def new_round(self, portions: Iterable[bytes]) -> Round:
        """Write the next plan; workers that start from now on work on it."""
        last = self.last_round()
        made = Round(self.folder / _ROUNDS / str(last.number + 1 if last else 1))
        made.write(portions)
        return made

    def last_round(self) -> Round | None:
        """Return the newest plan, None where there is none yet."""
        with contextlib.suppress(FileNotFoundError):
            names = [each.name for each in (self.folder / _ROUNDS).iterdir()]
            found = [int(each) for each in names if each.isdecimal()]
            if found:
                return Round(self.folder / _ROUNDS / str(max(found)))
        return None


def clock_offset(file: Path) -> float:
    """Return by how many seconds the clock of a file's server is ahead of this machine's.

    Args:
        file: One that was written just now.
    """
    return file.stat().st_mtime - time.time()
