"""Workers as tasks of a Dask cluster (the extra `dask`), or of one that is made on this machine.

Each Dask task holds one worker, in a process of its own that dies with it. When Dask, as it does,
runs a task of a dead worker again, the new one takes only what nobody has taken: whether a
notebook runs a second time is decided by `cluster` alone.

The tasks are published in the scheduler, which keeps them where the client dies; the next client
finds them by that name. Workers that do not see the run's folder are `dask_apart`'s.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from nbpipe._version import __version__
from nbpipe.batch.stop import PARENT
from nbpipe.cluster import dask_probe, exchange
from nbpipe.cluster.dask_connection import connect
from nbpipe.errors import UsageError
from nbpipe.reference import store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.cluster.dask_connection import Connection
    from nbpipe.cluster.exchange import Exchange
    from nbpipe.cluster.takeover import Workers
    from nbpipe.model import Task

KIND = "dask"
_PATIENCE = 60.0
_FIRST = 600.0
"""Seconds for the first worker of a cluster that grows when there is work."""


class DaskWorkers:
    """Workers in a Dask cluster, all of which see the run's folder.

    Args:
        connection: The cluster.
        count: How many at most; None: as many as the cluster has threads.
    """

    def __init__(self, connection: Connection, count: int | None) -> None:
        self._connection = connection
        self._client = connection.client
        self.count = count or max(sum(self._client.nthreads().values()), 1)
        self._name = ""
        self._futures: list[Any] = []
        self._none = "none was started"

    def start(self, shared: Exchange, portions: int) -> None:
        """Submit workers (see `Workers`)."""
        self._name = f"nbpipe-test-{secrets.token_hex(6)}"
        where = {"kind": KIND, "address": self._connection.address, "name": self._name}
        store.write_json(shared.folder / exchange.WORKERS, where)
        self._futures = [
            self._client.submit(work, str(shared.folder), pure=False, retries=0, key=None)
            for _ in range(min(self.count, portions))
        ]
        if not self._connection.local:
            self._client.publish_dataset(self._futures, name=self._name)

    def find(self, where: Mapping[str, Any]) -> None:
        """Follow workers that another client started; a scheduler that restarted has none."""
        self._name = where["name"]
        self._none = "the client that started it was killed"
        with contextlib.suppress(KeyError):
            self._futures = list(self._client.get_dataset(self._name))

    def lost(self) -> str | None:
        """Return how the workers ended, once all have (see `Workers`)."""
        if not self._futures:
            return self._none
        if not all(future.done() for future in self._futures):
            return None
        errors = {
            type(future.exception()).__name__
            for future in self._futures
            if future.status == "error"
        }
        return ", ".join(sorted(errors)) or "completed"

    def stop(self, *, ended: int) -> None:
        """Wait for the workers to end, then leave the cluster (see `Workers`)."""
        deadline = time.monotonic() + _PATIENCE
        waiting = ended < len(self._futures)
        while waiting and time.monotonic() < deadline and self.lost() is None:
            time.sleep(0.1)
        with contextlib.suppress(Exception):
            self._client.cancel(self._futures, force=True)
            if not self._connection.local:
                self._client.unpublish_dataset(self._name)
        self._connection.close()


class OwnDaskIsGone:
    """Workers of a Dask cluster that was the dead client's own, and dies with it."""

    count = 0

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def start(self, shared: Exchange, portions: int) -> None:
        """Start none (see `Workers`)."""
        raise UsageError(
            f"{shared.folder}: {portions} portions for a cluster that is gone",
            hint="Name another one with --cluster.",
        )

    def lost(self) -> str | None:
        """Return how they ended, once their processes have (see `Workers`)."""
        import psutil  # noqa: PLC0415

        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if self._folder in words and exchange.WORKER in words:
                return None
        return "its Dask cluster ended"

    def stop(self, *, ended: int) -> None:
        """Leave them to their end (see `Workers`)."""


def workers_at(  # noqa: PLR0913  (keywords)
    address: str,
    count: int | None,
    *,
    local: int,
    tasks: tuple[Task, ...],
    root: Path,
    folder: Path,
) -> Workers:
    """Return workers of the Dask cluster at an address, fit for what is to run.

    Args:
        address: See `dask_connection`.
        count: How many at most; None: as many as the cluster has threads.
        local: How many a cluster that is made gets.
        tasks: What is to run.
        root: The collection's.
        folder: Of the run; workers see it, or get everything by Dask.

    Raises:
        UsageError: Nothing answers there, or the workers cannot run these notebooks.
    """
    connection = connect(address, local=local)
    try:
        if connection.local or _look(connection, tasks, folder):
            return DaskWorkers(connection, count)
        from nbpipe.cluster.dask_apart import ApartWorkers  # noqa: PLC0415

        return ApartWorkers(connection, count, root=root, tasks=tasks)
    except BaseException:
        connection.close()
        raise


def earlier_workers(where: Mapping[str, Any], folder: Path) -> Workers:
    """Return the workers that another client wrote down.

    Raises:
        UsageError: Nothing answers where they are: they may work or not.
    """
    if where["address"] == "dask":
        return OwnDaskIsGone(folder)
    address = where["address"]
    if address.startswith("gateway") and "#" not in address:  # it was that client's own
        return OwnDaskIsGone(folder)
    connection = connect(address, local=0)
    if where["kind"] != KIND:
        from nbpipe.cluster.dask_apart import end_relays  # noqa: PLC0415

        end_relays(connection.client, where["name"])
    workers = DaskWorkers(connection, None)
    workers.find(where)
    return workers


def _look(connection: Connection, tasks: tuple[Task, ...], folder: Path) -> bool:
    """Return whether all workers see the run's folder; refuse those that cannot run its tasks."""
    kernels = tuple(sorted({task.kernel for task in tasks if task.failure is None}))
    token, notebook = folder / ".token", str(tasks[0].file) if tasks else ""
    token.write_text(secrets.token_hex(8), encoding="utf-8")
    try:
        answers = _probed(connection, (str(token), notebook, kernels))
        text = token.read_text(encoding="utf-8")
        sees = [each["notebook"] and each["token"] == text for each in answers.values()]
    finally:
        token.unlink(missing_ok=True)
    shared = all(sees)
    here = dask_probe.probe("", "", kernels)
    for address, answer in answers.items():
        _refuse_unfit(connection.address, address, answer, here, shared=shared)
    return shared


def _probed(
    connection: Connection, question: tuple[str, str, tuple[str, ...]]
) -> dict[str, dict[str, Any]]:
    """Return what each worker is; of a cluster without any, what the first one is that comes."""
    import cloudpickle  # noqa: PLC0415  (Dask's)

    client = connection.client
    cloudpickle.register_pickle_by_value(dask_probe)
    try:
        if not client.nthreads():
            task = client.submit(dask_probe.probe, *question, pure=False)
            task.result(timeout=_FIRST)
        _refuse_other_python(connection)
        return dict(client.run(dask_probe.probe, *question))
    except UsageError:
        raise
    except Exception as error:  # what a worker raises comes here as it is
        raise UsageError(
            f"--cluster {connection.address}: the workers do not answer a simple question:"
            f" {type(error).__name__}: {error}",
            hint="Start them from an environment like this one, with nbpipe installed.",
        ) from error
    finally:
        cloudpickle.unregister_pickle_by_value(dask_probe)


def _refuse_other_python(connection: Connection) -> None:
    """Refuse workers to which not even a function can be sent."""
    here = ".".join(platform.python_version_tuple()[:2])
    for address, facts in connection.client.get_versions()["workers"].items():
        there = ".".join(str(facts["host"]["python"]).split(".")[:2])
        if there != here:
            raise UsageError(
                f"--cluster {connection.address}: the worker {address} runs Python {there};"
                f" this is Python {here}",
                hint="Start the workers from an environment with the same version of Python.",
            )


def _refuse_unfit(
    cluster: str, address: str, answer: dict[str, Any], here: dict[str, Any], *, shared: bool
) -> None:
    where = f"--cluster {cluster}: the worker {address} on {answer['host']}"
    if answer["version"] != __version__:
        found = f"nbpipe {answer['version']}" if answer["version"] else "no usable nbpipe"
        detail = f" ({answer['problem']})" if answer["problem"] else ""
        raise UsageError(
            f"{where} has {found} in {answer['interpreter']}{detail}; this is nbpipe {__version__}",
            hint="Start the workers from this environment, or from one with the same version.",
        )
    for name, program in here["kernels"].items():
        there = answer["kernels"].get(name)
        if there is None:
            raise UsageError(
                f"{where} does not have the kernel {name!r}",
                hint="Install its kernelspec there, or choose another kernel with --kernel-map.",
            )
        if shared and there != program:
            raise UsageError(
                f"{where} starts the kernel {name!r} from {there}; here it is {program}",
                hint="Start the workers from this environment: notebooks would run in another one.",
            )


def work(folder: str) -> int:
    """Run one worker to its end, in a process that does not outlive this one."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", exchange.WORKER, folder],
        env={**os.environ, PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode
