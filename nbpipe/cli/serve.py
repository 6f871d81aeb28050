"""`nbpipe serve`: the webhook receiver, the reconcile workers and the pages, until a signal."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from nbpipe.cli import notify, service
from nbpipe.config import SERVICE_FILE, load
from nbpipe.config.variables import named
from nbpipe.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.config import Config
    from nbpipe.config.settings import CollectionSettings, Settings

EXAMPLE = """\b
Example:
  nbpipe serve --config /etc/nbpipe/nbpipe.toml
  curl http://127.0.0.1:8080/health
"""


@click.command(
    name="serve",
    epilog=EXAMPLE,
    # As the group has them; click keeps those of the first call, which need not come through it.
    context_settings={"help_option_names": ["-h", "--help"]},
)
@service.config_option
@click.option("--host", help="Listen on this address instead of the one in [webhook].")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on (0: any free one).")
@click.option(
    "--collection",
    "names",
    multiple=True,
    metavar="NAME",
    help="Serve only this collection; repeatable.",
)
@click.option(
    "--no-worker",
    is_flag=True,
    help="Only receive; `nbpipe publish --watch` does the work, here or on another host.",
)
@click.option(
    "--proxies",
    type=click.IntRange(0, 10),
    default=0,
    show_default=True,
    help="Number of reverse proxies in front to trust (X-Forwarded-For, -Proto, -Prefix).",
)
def serve(  # noqa: PLR0913  (one per option)
    *,
    file: Path | None,
    host: str | None,
    port: int | None,
    names: tuple[str, ...],
    no_worker: bool,
    proxies: int,
) -> None:
    """Receive webhooks and keep the mirrors up to date.

    Answers POST /webhook/NAME, GET /health, GET /metrics and pages at /: what is published, test
    results, reference runs. Without a [[collection]] it only shows the results and reference runs
    of a history. Where there is no /etc/nbpipe/nbpipe.toml, the configuration of the collection in
    the working directory is read.

    The pages ask for a token: that of `[webhook] token`, else one that is made at the first start;
    the log says where it is. Runs until SIGTERM or SIGINT, which end a fetch or a gate that is
    under way, too; then with 0.
    """
    config, source = _configuration(file)
    settings = config.settings
    if not settings.collection:
        _require_history(config, source)
        if names or no_worker:
            option = "--collection" if names else "--no-worker"
            raise UsageError(
                f"{option}: {source} has no [[collection]]",
                hint="Without a collection only results are shown; leave the option out.",
            )
    with notify.watched(settings, source) if settings.collection else nullcontext():
        _run(
            settings,
            config.root,
            chosen(settings, names),
            address(settings, host, port, os.environ),
            embedded=not no_worker,
            proxies=proxies,
        )


def _configuration(file: Path | None) -> tuple[Config, Path]:
    """Return what holds, and where it stands: the file, the site's, or that of the collection here.

    Raises:
        ConfigError: The file cannot be read, or has problems.
    """
    service_file = Path(SERVICE_FILE)
    if file is None and not os.path.lexists(service_file):
        here = load(Path.cwd())
        if here.file is not None:
            click.echo(f"Configuration: {here.file} (there is no {service_file})", err=True)
            return here, here.file
    source = file or service_file
    return replace(load(source.parent, file=source), root=source.parent), source


def _require_history(config: Config, source: Path) -> None:
    """Refuse to serve nothing at all: neither a collection nor a history.

    Raises:
        ConfigError: There is no history, and none is configured.
        HistoryError: There is one that cannot be used.
    """
    from nbpipe.history import Archive, NoHistory  # noqa: PLC0415  (slow)

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


def chosen(settings: Settings, names: Sequence[str]) -> list[CollectionSettings]:
    """Return the collections of those names; all of them where none is named.

    Raises:
        UsageError: One of the names is unknown.
    """
    known = {one.name: one for one in settings.collection}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)}: no such collection in the configuration",
            hint=f"There are: {', '.join(known) or 'none'}.",
        )
    return [one for one in settings.collection if not names or one.name in names]


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


def _run(  # noqa: PLR0913  (what the options say)
    settings: Settings,
    folder: Path,
    collections: Sequence[CollectionSettings],
    where: tuple[str, int],
    *,
    embedded: bool,
    proxies: int,
) -> None:
    from webhook.pages.past import configured  # noqa: PLC0415  (slow)
    from webhook.receiving.server import Listen, Server  # noqa: PLC0415  (slow)
    from webhook.wiring import MEGABYTE, wire  # noqa: PLC0415  (slow)

    if not collections:
        click.echo("No [[collection]]: only results and reference runs are shown.", err=True)
    service.log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
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
                click.echo(f"Listening on http://{one}:{number}", err=True)
            server.run()
    finally:  # its database, too, where nothing can listen
        wired.stop()


command = serve
