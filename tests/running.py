"""A run that is still going on: signals are sent to it, and what it leaves is looked at."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ondisk import Collection, Ended

_IN_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"


def until(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds; fail when it never does."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


@dataclass
class Traces:
    """Private folders for whatever a run makes outside of the output directory."""

    folder: Path
    collection: Collection

    def __post_init__(self) -> None:
        for name in ("tmp", "runtime"):
            (self.folder / name).mkdir()
        self.collection.environ |= {
            "TMPDIR": str(self.folder / "tmp"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
        }

    def processes(self) -> list[psutil.Process]:
        """Return what runs with these folders: the runner, guards, kernels, their children."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                own = process.environ().get("TMPDIR") == str(self.folder / "tmp")
                if own and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def files(self) -> list[str]:
        """Return sockets, connection files and copies that are not whole."""
        partial = self.collection.output_dir.rglob("*.partial")
        return sorted(map(str, [*self.folder.glob("*/**/*"), *partial]))


@contextmanager
def traces(collection: Collection) -> Iterator[Traces]:
    """Give the runs of a collection folders of their own; short, as sockets have short names."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        made = Traces(Path(folder), collection)
        try:
            yield made
        finally:
            for process in made.processes():
                with suppress(psutil.Error):
                    process.kill()


@dataclass
class Running:
    """`nbpipe test` in a session of its own."""

    collection: Collection
    process: subprocess.Popen[bytes]
    terminal: int | None = None
    """The keyboard's and screen's end of its terminal."""
    _told: list[bytes] = field(default_factory=list)
    _readers: list[threading.Thread] = field(default_factory=list)

    def read(self, descriptor: int) -> None:
        """Collect what it writes, from now on."""
        reader = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._readers.append(reader)
        reader.start()

    def _read(self, descriptor: int) -> None:
        with suppress(OSError):  # how the end of a terminal looks
            while data := os.read(descriptor, 65536):
                self._told.append(data)

    @property
    def told(self) -> str:
        """What it has written so far, to standard output and error."""
        return b"".join(self._told).decode(errors="replace")

    def wait_for(self, *flags: str) -> None:
        """Return when the notebooks have made these files in the collection."""
        for flag in flags:
            path = self.collection.root / flag
            until(lambda path=path: path.exists() or self._over(), f"{flag}\n{self.told}")  # type: ignore[misc]
            assert path.exists(), f"ended without {flag}: {self.told}"

    def _over(self) -> bool:
        return self.process.poll() is not None

    def wait_to_say(self, text: str) -> None:
        """Return when it has written this."""
        until(lambda: text in self.told, f"{text}\n{self.told}")

    def type(self, keys: bytes) -> None:
        """Press keys at its terminal."""
        assert self.terminal is not None
        os.write(self.terminal, keys)

    def interrupt(self, how: str) -> None:
        """Send SIGINT as `kill` does, as a terminal does (a Ctrl-C), or to the whole group."""
        if how == "Ctrl-C":
            self.type(b"\x03")
        elif how == "group":
            os.killpg(self.process.pid, signal.SIGINT)
        else:
            self.process.send_signal(signal.Signals[how])

    def ended(self) -> Ended:
        """Wait for its end; standard output and error are in `out`, as they came."""
        code = self.process.wait(timeout=120)
        for reader in self._readers:
            reader.join(timeout=60)
        return self.collection.ended(code, self.told)


@contextmanager
def running(collection: Collection, *arguments: str, terminal: bool = False) -> Iterator[Running]:
    """Start `nbpipe test`; what still runs in the end is killed."""
    environ = os.environ | collection.environ
    command = collection.command(*arguments)
    if terminal:
        keyboard, screen = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, *command],
            cwd=collection.root,
            env=environ,
            stdin=screen,
        )
        os.close(screen)
        run = Running(collection, process, terminal=keyboard)
        run.read(keyboard)
    else:
        process = subprocess.Popen(
            command,
            cwd=collection.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        run = Running(collection, process)
        run.read(process.stdout.fileno())
    try:
        yield run
    finally:
        process.kill()
        process.wait()
        for reader in run._readers:
            reader.join(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
        if run.terminal is not None:
            os.close(run.terminal)
