"""One service: what it is configured by, where it listens, and its run until a signal."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nbpipe.config import SERVICE_FILE, load
from nbpipe.config import service as configured_service
from nbpipe.config.variables import named
from nbpipe.errors import ConfigError
from nbpipe.history import Archive, NoHistory
from nbpipe.system.logs import log_to_stderr
from webhook.pages.past import configured
from webhook.receiving.server import Listen, Server
from webhook.wiring import MEGABYTE, wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.config import Config
    from nbpipe.config.settings import CollectionSettings, Settings


def configuration(file: Path | None) -> tuple[Config, Path]:
    """Return what holds, and where it stands: the file, the site's, or that of the collection here.

    Raises:
        ConfigError: The file cannot be read, or has problems.
    """
    service_file = Path(SERVICE_FILE)
    if file is None and not os.path.lexists(service_file):
        here = load(Path.cwd())
        if here.file is not None:
            _say(f"Configuration: {here.file} (there is no {service_file})")
            return here, here.file
    config, source = configured_service.read(file)
    return replace(config, root=source.parent), source


def require_history(config: Config, source: Path) -> None:
    """Refuse to serve nothing at all: neither a collection nor a history.

    Raises:
        ConfigError: There is no history, and none is configured.
        HistoryError: There is one that cannot be used.
    """
    archive = Archive(config.settings.history, config.root)
    try:
        with archive.look():
            pass
    except NoHistory as error:
        if config.settings.history.url is None:
            raise ConfigError(
                f"{source}: nothing to serve: no [[collection]] is configured, and no run is "
                "recorded yet",
                hint="Add a collection (name, origin and root), or run `nbpipe test` first.",
            ) from error
    finally:
        archive.close()


def address(
    settings: Settings, host: str | None, port: int | None, environ: Mapping[str, str]
) -> tuple[str, int]:
    """Return where to listen: the options, else what JupyterHub asks a service for, else the file.

    Source: https://jupyterhub.readthedocs.io/en/stable/reference/services.html
    """
    asked = urlsplit(environ.get("JUPYTERHUB_SERVICE_URL", ""))
    return (
        host or asked.hostname or settings.webhook.host,
        next(one for one in (port, asked.port, settings.webhook.port) if one is not None),
    )


def run(  # noqa: PLR0913  (what the options say)
    settings: Settings,
    folder: Path,
    collections: Sequence[CollectionSettings],
    where: tuple[str, int],
    *,
    embedded: bool,
    proxies: int,
) -> None:
    """Receive, work and answer until a signal.

    Raises:
        ConfigError: A secret is missing, or a mirror cannot be used.
        UsageError: Nothing can listen there.
    """
    if not collections:
        _say("No [[collection]]: only results and reference runs are shown.")
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a burst is no news
    host, port = where
    wired = wire(
        collections,
        settings.webhook,
        os.environ,
        embedded=embedded,
        prefix=os.environ.get("JUPYTERHUB_SERVICE_PREFIX", ""),
        proxies=proxies,
        past=configured(settings, folder, os.environ),
        hidden=named(settings),
    )
    listen = Listen(
        host=host,
        port=port,
        threads=settings.webhook.threads,
        body_limit=int(settings.webhook.body_limit * MEGABYTE),
    )
    try:
        server = Server(wired.app, listen)
        with server.stopped_by(signal.SIGTERM, signal.SIGINT):
            wired.start()
            for one, number in server.addresses:
                _say(f"Listening on http://{one}:{number}")
            server.run()
    finally:  # its database, too, where nothing can listen
        wired.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
