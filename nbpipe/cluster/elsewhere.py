"""From `--cluster PROFILE|ADDRESS` to what runs its notebooks; what an earlier client left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.reference import profiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.cluster.takeover import LeftBehind, Workers
    from nbpipe.config import Config
    from nbpipe.execution.schedule import Listener
    from nbpipe.history import PastRun
    from nbpipe.model import Task
    from nbpipe.runner import Executor, Order

_LOCAL_WORKERS = 4
"""Of a profile, where `-n` does not say: an array that no scheduler minds."""


def executor(  # noqa: PLR0913  (keywords)
    cluster: str,
    config: Config,
    order: Order,
    *,
    jobs: int | None,
    resumed: PastRun | None = None,
    keep: bool = False,
) -> Callable[[tuple[Task, ...], Listener], Executor]:
    """Return what makes the executor of `--cluster PROFILE|ADDRESS`.

    Args:
        cluster: A profile's name, `dask`, or the address of a Dask scheduler (`tcp://…`).
        config: Where profiles are looked up.
        order: What is to run.
        jobs: Notebooks at once (`-n`); None: as the cluster gives.
        resumed: The run whose results are taken up, where its client left some.
        keep: Whether some of them are not wanted now, and have to stay.

    Raises:
        UsageError: There is no such profile, or nothing answers at the address.
    """
    from nbpipe.cluster import takeover  # noqa: PLC0415  (slow)
    from nbpipe.cluster.run import Cluster, Terms  # noqa: PLC0415

    left = _left_behind(resumed, keep=keep) if resumed else None
    if left is not None:
        takeover.link(left, order.output_dir, order.run_id)
    workers, slots = _workers(cluster, config, order, jobs)
    terms = Terms(
        slots=slots,
        fork=config.settings.test.fork,
        preload=config.settings.test.preload,
        maxfail=order.maxfail,
        traced=order.plan.root if order.trace and order.recorder else None,
    )

    def make(tasks: tuple[Task, ...], listener: Listener) -> Executor:
        return Cluster(
            tasks,
            folder=takeover.folder_of(order.output_dir, order.run_id),
            output_dir=order.output_dir,
            listener=listener,
            workers=workers,
            terms=terms,
            left=left,
        )

    return make


def refuse_left_behind(resumed: PastRun) -> None:
    """Refuse to run here what the workers of a run may be running elsewhere.

    Raises:
        UsageError: The run was one of `--cluster`, and its client is gone.
    """
    from nbpipe.cluster import takeover  # noqa: PLC0415

    if (found := takeover.find(Path(resumed.output_dir), resumed.id)) is not None:
        raise UsageError(
            f"run {resumed.id} was one of --cluster, whose workers may still be running, and have"
            " left results",
            hint="Add --cluster PROFILE to follow them and take up their results; or end them, and"
            f" remove {found[0].folder} to run everything here.",
        )


def _left_behind(resumed: PastRun, *, keep: bool) -> LeftBehind | None:
    """Return what the client of a run left, with the workers that may still be at work.

    Raises:
        UsageError: It cannot be taken up.
        SchedulerOutage: Nobody knows whether workers are at work.
    """
    from nbpipe.cluster import array_workers, takeover  # noqa: PLC0415

    found = takeover.find(Path(resumed.output_dir), resumed.id)
    if found is None:
        return None
    shared, where = found
    workers: Workers
    if where.get("kind") == array_workers.KIND:
        from nbpipe.reference.profiles import Profile  # noqa: PLC0415
        from nbpipe.reference.schedulers import registry  # noqa: PLC0415

        profile = Profile(name="taken up", scheduler=where["scheduler"])
        workers = array_workers.ArrayWorkers(registry.scheduler(profile.scheduler), profile, 0)
        workers.find(where)
    else:
        from nbpipe.cluster.dask_workers import earlier_workers  # noqa: PLC0415

        workers = earlier_workers(where, shared.folder)
    return takeover.LeftBehind(run=resumed.id, shared=shared, workers=workers, keep=keep)


def _workers(cluster: str, config: Config, order: Order, jobs: int | None) -> tuple[Workers, int]:
    """Return the workers, and how many notebooks each of them runs at once."""
    if cluster == "dask" or "://" in cluster:
        from nbpipe.cluster.dask_workers import workers_at  # noqa: PLC0415
        from nbpipe.system import machine  # noqa: PLC0415

        workers = workers_at(
            cluster,
            jobs,
            local=jobs or machine.cores(),
            tasks=order.plan.tasks,
            root=order.plan.root,
            folder=order.output_dir,
        )
        return workers, 1
    from nbpipe.cluster.array_workers import ArrayWorkers  # noqa: PLC0415
    from nbpipe.reference.schedulers import registry  # noqa: PLC0415

    profile = profiles.known(config).get(cluster)
    slots = profile.cores
    count = _LOCAL_WORKERS if jobs is None else max(1, -(-jobs // slots))
    return ArrayWorkers(registry.scheduler(profile.scheduler), profile, count), slots
