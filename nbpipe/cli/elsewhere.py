"""What commands that run on other machines share: the known profiles, and `--cluster`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nbpipe import config as configuration
from nbpipe.reference import profiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbpipe.batch.cluster import Workers
    from nbpipe.config import Config
    from nbpipe.execution.schedule import Listener
    from nbpipe.model import Task
    from nbpipe.reference.profiles import Profiles
    from nbpipe.runner import Executor, Order

_LOCAL_WORKERS = 4
"""Of a profile, where `-n` does not say: an array that no scheduler minds."""


def known_profiles(config: Config) -> Profiles:
    """Return the profiles of the site's, the user's and this collection's configuration.

    Raises:
        ConfigError: One of the files has problems.
    """
    import platformdirs  # noqa: PLC0415

    folder = platformdirs.user_config_path("nbpipe")
    return profiles.load(
        site=configuration.site(os.environ), user=configuration.user(folder), project=config
    )


def executor(
    cluster: str, config: Config, order: Order, *, jobs: int | None
) -> Callable[[tuple[Task, ...], Listener], Executor]:
    """Return what makes the executor of `--cluster PROFILE|ADDRESS`.

    Args:
        cluster: A profile's name, `dask`, or the address of a Dask scheduler (`tcp://…`).
        config: Where profiles are looked up.
        order: What is to run.
        jobs: Notebooks at once (`-n`); None: as the cluster gives.

    Raises:
        UsageError: There is no such profile, or nothing answers at the address.
    """
    from nbpipe.batch.cluster import Cluster  # noqa: PLC0415  (slow)

    workers, slots = _workers(cluster, config, jobs)
    folder: Path = order.output_dir / f".cluster-{order.run_id}"

    def make(tasks: tuple[Task, ...], listener: Listener) -> Executor:
        return Cluster(
            tasks,
            folder=folder,
            output_dir=order.output_dir,
            listener=listener,
            workers=workers,
            slots=slots,
            fork=config.settings.test.fork,
            preload=config.settings.test.preload,
            maxfail=order.maxfail,
            traced=order.plan.root if order.trace and order.recorder else None,
        )

    return make


def _workers(cluster: str, config: Config, jobs: int | None) -> tuple[Workers, int]:
    """Return the workers, and how many notebooks each of them runs at once."""
    if cluster == "dask" or "://" in cluster:
        from nbpipe.batch.dask_workers import DaskWorkers  # noqa: PLC0415
        from nbpipe.system import machine  # noqa: PLC0415

        return DaskWorkers(cluster, jobs, local=jobs or machine.cores()), 1
    from nbpipe.batch.array_workers import ArrayWorkers  # noqa: PLC0415
    from nbpipe.reference.schedulers import registry  # noqa: PLC0415

    profile = known_profiles(config).get(cluster)
    slots = profile.cores
    count = _LOCAL_WORKERS if jobs is None else max(1, -(-jobs // slots))
    return ArrayWorkers(registry.scheduler(profile.scheduler), profile, count), slots
