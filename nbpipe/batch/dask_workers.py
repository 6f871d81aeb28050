"""Workers as tasks of a Dask cluster (the extra `dask`), or of one that is made on this machine.

Each Dask task holds one worker, in a process of its own that dies with it. When Dask, as it does,
runs a task of a dead worker again, the new one takes only what nobody has taken: whether a
notebook runs a second time is decided by `cluster` alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from nbpipe.batch.job import PARENT
from nbpipe.distribution import pip_install
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 60.0


class DaskWorkers:
    """Workers in a Dask cluster.

    Args:
        address: `tcp://…` of a scheduler, or `dask` for a cluster on this machine.
        count: How many at most; None: as many as the cluster has threads.
        local: How many workers a cluster on this machine gets.

    Raises:
        UsageError: Dask is not installed, or nothing answers there.
    """

    def __init__(self, address: str, count: int | None, *, local: int) -> None:
        try:
            import dask  # noqa: PLC0415  (an extra)
            import distributed  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(
                f"--cluster {address}: Dask is not installed",
                hint=pip_install("dask"),
            ) from error
        dask.config.set({"distributed.scheduler.allowed-failures": 0})
        self._cluster: Any = None
        try:
            if address == "dask":
                self._cluster = distributed.LocalCluster(
                    n_workers=local, threads_per_worker=1, processes=True, dashboard_address=None
                )
            self._client = distributed.Client(self._cluster or address, timeout=30)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"--cluster {address}: no Dask scheduler answers there: {error}",
                hint="Start one (dask scheduler), or name its address as it prints it.",
            ) from error
        threads = sum(self._client.nthreads().values())
        self._count = count or max(threads, 1)
        self._futures: list[Any] = []

    def start(self, folder: Path, portions: list[str]) -> None:
        """Submit workers (see `Workers`)."""
        count = min(self._count, len(portions))
        self._futures = [
            self._client.submit(work, str(folder), pure=False, retries=0, key=None)
            for _ in range(count)
        ]

    def lost(self) -> str | None:
        """Return how the workers ended, once all have (see `Workers`)."""
        if not self._futures:
            return "none was started"
        if not all(future.done() for future in self._futures):
            return None
        errors = {
            type(future.exception()).__name__
            for future in self._futures
            if future.status == "error"
        }
        return ", ".join(sorted(errors)) or "completed"

    def stop(self) -> None:
        """Wait for the workers to end, then leave the cluster (see `Workers`)."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self.lost() is None:
            time.sleep(0.1)
        with contextlib.suppress(Exception):
            self._client.cancel(self._futures, force=True)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def work(folder: str) -> int:
    """Run one worker to its end, in a process that does not outlive this one."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "nbpipe.batch.job", folder],
        env={**os.environ, PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode
