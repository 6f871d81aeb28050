"""Workers of a Dask cluster that do not see the run's folder: Dask carries everything.

The collection goes there once, as an archive; then one portion after the other, as many at once as
the cluster has threads. What comes back is written into the run's folder as a worker writes it, so
that `cluster` sees no difference. What happens in a Dask worker stands in `dask_relay`.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import socket
import tarfile
import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe._version import __version__
from nbpipe.batch import tree
from nbpipe.cluster import dask_relay, exchange, wire
from nbpipe.cluster.exchange import END, HELLO, RESULT, STARTED, Cursor, Log
from nbpipe.errors import UsageError
from nbpipe.reference import store
from nbpipe.system import units
from nbpipe.system.units import count as counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.cluster.dask_connection import Connection
    from nbpipe.cluster.exchange import Exchange, Round
    from nbpipe.model import Task

KIND = "dask-apart"
_MOST_BYTES = 1_000_000_000
"""Of a collection that is sent to every worker."""
_LOOK = 0.1
_PATIENCE = 60.0


class ApartWorkers:
    """Workers in a Dask cluster that get everything by Dask.

    Args:
        connection: The cluster.
        count: How many notebooks at once at most; None: as many as the cluster has threads.
        root: The collection's.
        tasks: What is to run.

    Raises:
        UsageError: The collection cannot be sent.
    """

    def __init__(
        self, connection: Connection, count: int | None, *, root: Path, tasks: Sequence[Task]
    ) -> None:
        self._connection = connection
        self._client = connection.client
        self.count = count or max(sum(self._client.nthreads().values()), 1)
        self._root, self._archive = _packed(root, tasks)
        self._sent: Any = None
        self._name = ""
        self._running: dict[Any, list[Task]] = {}
        self._thread: threading.Thread | None = None
        self._error = ""
        self._halted = 0
        """How far the workers were told to end: 1, start nothing more; 2, interrupt what runs."""

    def start(self, shared: Exchange, portions: int) -> None:
        """Send the collection, and hand out what is in the newest round (see `Workers`)."""
        if self._name:
            end_relays(self._client, self._name)
        self._name = f"nbpipe-test-{secrets.token_hex(6)}"
        where = {"kind": KIND, "address": self._connection.address, "name": self._name}
        store.write_json(shared.folder / exchange.WORKERS, where)
        place = shared.last_round()
        if place is None:
            raise UsageError(f"{shared.folder}: no plan for {portions} portions", hint="Try again.")
        self._error, self._halted = "", 0
        self._sent = self._client.scatter(self._archive, broadcast=True, hash=False)
        log = Log(shared.logs / f"dask-{secrets.token_hex(6)}")
        job = store.read_json(shared.folder / exchange.JOB)
        self._thread = threading.Thread(target=self._serve, args=(place, log, job), daemon=True)
        self._thread.start()

    def lost(self) -> str | None:
        """Return why nothing more is handed out (see `Workers`)."""
        if self._thread is None:
            return "none was started"
        return None if self._thread.is_alive() else self._error or "completed"

    def stop(self, *, ended: int) -> None:  # noqa: ARG002  (the thread's end tells)
        """End what still runs, and leave the cluster (see `Workers`)."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        with contextlib.suppress(Exception):
            end_relays(self._client, self._name)
        self._connection.close()

    def _serve(self, place: Round, log: Log, job: dict[str, Any]) -> None:
        """Hand out all portions; write what comes back."""
        terms = {key: job[key] for key in ("fork", "preload")} | {"root": str(self._root)}
        output_dir = Path(job["output_dir"])
        self._say(log, HELLO, _hello(place, job))
        try:
            portions, _ = place.portions()
            cursor = Cursor(place, len(portions))
            while self._submit(cursor, portions, terms, log) or self._running:
                self._collect(output_dir, log)
                self._halt(place)
                time.sleep(_LOOK if self._running else 0)
        except Exception as error:  # noqa: BLE001  (the end of a thread: `lost` tells it)
            self._error = f"{type(error).__name__}: {error}"
        if not self._error:
            self._say(log, END, {"reason": None})

    def _submit(
        self, cursor: Cursor, portions: list[bytes], terms: dict[str, Any], log: Log
    ) -> bool:
        """Fill the cluster's threads; return whether something was handed out."""
        some = False
        while not (self._halted or self._error) and len(self._running) < self.count:
            index = cursor.take()
            if index is None:
                break
            tasks = wire.decode_tasks(portions[index])
            for task in tasks:
                self._say(log, STARTED, {"path": task.path, "cell": 0, "cells": 0, "attempt": 1})
            future = self._client.submit(
                dask_relay.execute,
                *(self._name, self._sent, terms, portions[index]),
                pure=False,
                retries=0,
            )
            self._running[future] = tasks
            some = True
        return some

    def _collect(self, output_dir: Path, log: Log) -> None:
        """Write the results of what has ended; an error of one worker ends it all."""
        for future in [each for each in self._running if each.done()]:
            del self._running[future]
            if future.status == "finished":
                results = _unpacked(future.result(), output_dir)
                log.append([exchange.report(RESULT, each) for each in results], safe=True)
            else:
                self._error = type(future.exception()).__name__

    def _halt(self, place: Round) -> None:
        """Pass the client's wish to end on to the workers."""
        wanted = 2 if place.stopped else int(place.draining)
        if wanted > self._halted:
            self._halted = wanted
            self._client.run(dask_relay.halt, self._name, kill=wanted > 1)

    def _say(self, log: Log, kind: str, value: dict[str, Any]) -> None:
        log.append([exchange.report(kind, msgspec.json.encode(value))], safe=False)


def end_relays(client: Any, name: str) -> None:  # noqa: ANN401  (Dask's)
    """End what a run has at the workers of a cluster."""
    client.run(dask_relay.end, name)


def _hello(place: Round, job: dict[str, Any]) -> dict[str, Any]:
    own = {"version": __version__, "host": socket.gethostname(), "round": place.number}
    return {**own, "output_dir": job["output_dir"]}


def _packed(root: Path, tasks: Sequence[Task]) -> tuple[Path, bytes]:
    """Return the top of the collection, and the archive of it.

    Raises:
        UsageError: It is too large, or a notebook is not in it.
    """
    top, paths, _ = tree.files_of(root)
    for task in tasks:
        if not task.file.is_relative_to(top):
            raise UsageError(
                f"{task.file}: lies outside of {top}, which alone is sent to workers that do not"
                " share this file system",
                hint="Use workers that see the folder, or run it in its own collection.",
            )
    own = {task.file.relative_to(top) for task in tasks}
    every = sorted({*paths, *own})
    total = sum((top / each).lstat().st_size for each in every if (top / each).exists())
    if total > _MOST_BYTES:
        raise UsageError(
            f"{top}: {counted(len(every), 'file')} with {units.data(total)} would be sent to every"
            " worker, as they do not share this file system",
            hint="Keep large data where the workers find them, or use a shared file system.",
        )
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        for each in every:
            with contextlib.suppress(FileNotFoundError):
                tar.add(top / each, arcname=each.as_posix(), recursive=False)
    return top, stream.getvalue()


def _unpacked(data: bytes, output_dir: Path) -> list[bytes]:
    """Write the files of an answer into the output folder; return its results."""
    results: list[bytes] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            content = stream.read() if stream else b""
            if member.name == dask_relay.RESULTS:
                results, _ = exchange.split(content)
                continue
            inside = PurePosixPath(member.name).relative_to("files")
            if ".." in inside.parts or inside.is_absolute():
                continue
            target = output_dir / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return results
