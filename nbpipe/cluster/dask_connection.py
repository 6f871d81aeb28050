"""The way to a Dask cluster: what an address of `--cluster` means, TLS, Dask Gateway.

    dask                              a cluster of this machine, made for the run
    tcp://HOST:PORT, tls://…, ws://…  a scheduler; Dask's own configuration says with which files
    gateway+https://HOST[/PATH]       a new cluster of a Dask Gateway, stopped at the end
    gateway+https://HOST[/PATH]#NAME  one of its clusters that runs, left running
    gateway://[#NAME]                 the Gateway that Dask's configuration names

TLS is configured as for Dask itself: `distributed.comm.tls` in its files, or
DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on. So is who may use a Gateway (`gateway.auth`).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbpipe.distribution import pip_install
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAY = "gateway"
_TIMEOUT = 30
"""Seconds for the first answer of a scheduler."""
_HINTS = {
    "tls": "Dask's own configuration names the files: DASK_DISTRIBUTED__COMM__TLS__CA_FILE,"
    " …__CLIENT__CERT and …__CLIENT__KEY, or distributed.comm.tls in ~/.config/dask.",
    "tcp": "Start one (dask scheduler), or name its address as it prints it.",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """A client of a Dask cluster."""

    address: str
    """As it was given."""
    client: Any
    close: Callable[[], None]
    """Leaves the cluster, and ends it where it was made for this run."""

    @property
    def local(self) -> bool:
        """Whether the cluster is this process's own, on this machine."""
        return self.address == "dask"


def connect(address: str, *, local: int) -> Connection:
    """Return the connection that an address of `--cluster` means.

    Args:
        address: As above.
        local: How many workers a cluster that is made gets.

    Raises:
        UsageError: Dask is not installed, or nothing answers there.
    """
    dask, distributed = _dask(address)
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    try:
        if address.partition(":")[0].partition("+")[0] == GATEWAY:
            return _by_gateway(address, local)
        if address == "dask":
            cluster = distributed.LocalCluster(
                n_workers=local, threads_per_worker=1, processes=True, dashboard_address=None
            )
            client = distributed.Client(cluster, timeout=_TIMEOUT)
            return Connection(address, client, lambda: (client.close(), cluster.close())[0])
        client = distributed.Client(address, timeout=_TIMEOUT)
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        kind = "tls" if address.startswith("tls:") else "tcp"
        raise UsageError(
            f"--cluster {address}: no Dask scheduler answers there: {error}", hint=_HINTS[kind]
        ) from error
    return Connection(address, client, client.close)


def _dask(address: str) -> tuple[Any, Any]:
    try:
        import dask  # noqa: PLC0415  (an extra)
        import distributed  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"--cluster {address}: Dask is not installed", hint=pip_install("dask")
        ) from error
    return dask, distributed


def _by_gateway(address: str, local: int) -> Connection:
    """Connect to a cluster of a Gateway, or start one."""
    try:
        import dask_gateway  # noqa: PLC0415  (an extra of its own)
    except ImportError as error:
        raise UsageError(
            f"--cluster {address}: the client of Dask Gateway is not installed",
            hint="pip install dask-gateway",
        ) from error
    where, _, name = address.partition("#")
    try:
        gateway = dask_gateway.Gateway(address=gateway_url(where))
        cluster = (
            gateway.connect(name, shutdown_on_close=False)
            if name
            else gateway.new_cluster(shutdown_on_close=True)
        )
    except Exception as error:  # its own kinds, aiohttp's and Dask's
        raise UsageError(
            f"--cluster {address}: Dask Gateway: {type(error).__name__}: {error}",
            hint="`dask_gateway.Gateway(ADDRESS).list_clusters()` must work with the same"
            " configuration (gateway.auth.type, JUPYTERHUB_API_TOKEN).",
        ) from error
    if not name:
        cluster.scale(local)
    client = cluster.get_client()

    def close() -> None:
        client.close()
        if not name:
            cluster.shutdown()
        with contextlib.suppress(Exception):
            cluster.close()

    return Connection(address, client, close)


def gateway_url(address: str) -> str | None:
    """Return the URL of a Gateway; None: as Dask's configuration says."""
    scheme, _, rest = address.partition("://")
    if not rest:
        return None
    protocol = scheme.partition("+")[2] or "https"
    return f"{protocol}://{rest}"
