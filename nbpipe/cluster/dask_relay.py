"""In a Dask worker that does not see the run's folder: a worker of its own, fed by Dask.

The collection comes once as an archive, and is unpacked in the Dask worker's own folder. There,
each thread of it keeps one process (`worker`) that shares a folder with nobody but this one, to
which a portion is added whenever Dask hands one out. Results, executed copies and logs go back as
the task's result. A process that gets nothing more for a while, since the client is gone, ends.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe._version import __version__
from nbpipe.batch.stop import PARENT
from nbpipe.cluster import exchange, wire
from nbpipe.cluster.exchange import RESULT, Exchange, Logs
from nbpipe.reference import store

if TYPE_CHECKING:
    from nbpipe.cluster.exchange import Round
    from nbpipe.model import Task

RESULTS = "results"
"""In the archive that goes back: records of results; all else are files of the output folder."""
_LOOK = 0.05
_IDLE = 300.0
"""Seconds after which a process that gets nothing more is ended."""
_END = 30.0
"""Seconds for a process to end by itself."""

_LOCK = threading.Lock()
_PLACES: dict[str, Path] = {}
"""Run -> the folder with its collection."""
_RELAYS: dict[tuple[str, int], _Relay] = {}
"""Run and thread -> its process."""


def execute(run: str, archive: bytes, job: dict[str, Any], portion: bytes) -> bytes:
    """Run a portion in this thread's process; return the archive of what came of it.

    Args:
        run: The run's name, the same for all portions.
        archive: The collection.
        job: How to work: `slots`, `fork`, `preload`, and the collection's `root` at the client.
        portion: Tasks, with the client's paths.

    Raises:
        RuntimeError: The process ended.
    """
    with _LOCK:
        place = _place(run, archive)
        key = run, threading.get_ident()
        relay = _RELAYS.get(key)
        if relay is None or not relay.alive:
            relay = _RELAYS[key] = _Relay(place, job)
    return relay.execute(portion)


def halt(run: str, *, kill: bool) -> None:
    """Have the processes of a run start nothing more; interrupt what they run, if wanted."""
    for (name, _), relay in [*_RELAYS.items()]:
        if name == run:
            relay.halt(kill=kill)


def end(run: str) -> None:
    """End the processes of a run, and remove what came for it."""
    with _LOCK:
        mine = [key for key in _RELAYS if key[0] == run]
        relays = [_RELAYS.pop(key) for key in mine]
        place = _PLACES.pop(run, None)
    for relay in relays:
        relay.end()
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)


def _place(run: str, archive: bytes) -> Path:
    """Return the folder of a run in this process, with its collection."""
    if run not in _PLACES:
        from distributed import get_worker  # noqa: PLC0415  (an extra)

        place = Path(tempfile.mkdtemp(prefix="nbpipe-", dir=get_worker().local_directory))
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(place / "collection", filter="tar")
        _PLACES[run] = place
        threading.Thread(target=_watch, args=(run,), daemon=True).start()
    return _PLACES[run]


def _watch(run: str) -> None:
    """End a run that nobody wants anything of any more."""
    while run in _PLACES:
        time.sleep(_IDLE / 10)
        relays = [relay for (name, _), relay in [*_RELAYS.items()] if name == run]
        if relays and all(relay.idle_seconds() > _IDLE for relay in relays):
            end(run)


class _Relay:
    """One process that runs notebooks, in a folder that it shares with this process alone."""

    def __init__(self, place: Path, job: dict[str, Any]) -> None:
        self._root, self._there = Path(job["root"]), place / "collection"
        self._folder = Path(tempfile.mkdtemp(prefix="worker-", dir=place))
        self._out = self._folder / "out"
        self._out.mkdir()
        shared = Exchange(self._folder / "shared")
        shared.make()
        own = {"format": exchange.FORMAT, "kind": "worker", "version": __version__}
        how = {**own, "slots": 1, "lanes": 1, "growing": True, "output_dir": str(self._out)}
        more = {"fork": job["fork"], "preload": job["preload"], "traced": None}
        store.write_json(shared.folder / exchange.JOB, {**how, **more})
        self._round: Round = shared.new_round(())
        self._logs = Logs(shared.logs)
        self._busy = False
        self._used = time.monotonic()
        with (self._folder / "worker.out").open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", exchange.WORKER, str(shared.folder)],
                env={**os.environ, PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def idle_seconds(self) -> float:
        """Return for how long it has had nothing to do."""
        return 0.0 if self._busy else time.monotonic() - self._used

    def execute(self, portion: bytes) -> bytes:
        """Run a portion to its end; return the archive of what came of it."""
        self._busy = True
        try:
            tasks = [self._moved(task) for task in wire.decode_tasks(portion)]
            self._round.add(wire.encode(tasks))
            return self._packed(self._results({task.path for task in tasks}))
        finally:
            self._busy, self._used = False, time.monotonic()

    def halt(self, *, kill: bool) -> None:
        """Start nothing more, and interrupt what runs, if wanted."""
        self._round.drain()
        if kill:
            self._round.stop()

    def end(self) -> None:
        """End the process."""
        self.halt(kill=True)
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _moved(self, task: Task) -> Task:
        """Return the task with the paths of this machine."""
        return replace(task, file=self._there / task.file.relative_to(self._root))

    def _results(self, paths: set[str]) -> list[bytes]:
        """Wait until all these notebooks have their results; return those."""
        found: list[bytes] = []
        while paths:
            ended = not self.alive
            for _, report in self._logs.fresh():
                if report.kind == RESULT:
                    found.append(bytes(report.value))
                    paths.discard(wire.decode_result(found[-1]).path)
            if paths and self._round.draining:
                return found  # what was not started has no result
            if paths and ended:
                words = (self._folder / "worker.out").read_text(errors="replace")[-500:]
                raise RuntimeError(f"the worker ended with code {self._process.poll()}: {words}")
            time.sleep(_LOOK)
        return found

    def _packed(self, results: list[bytes]) -> bytes:
        """Return results and the files that they name as one archive; the files are removed."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
            whole = b"".join(map(exchange.record, results))
            info = tarfile.TarInfo(RESULTS)
            info.size = len(whole)
            tar.addfile(info, io.BytesIO(whole))
            for result in map(wire.decode_result, results):
                for name in result.files:
                    if (self._out / name).is_file():
                        tar.add(self._out / name, arcname=f"files/{name}")
                        (self._out / name).unlink()
        return stream.getvalue()
