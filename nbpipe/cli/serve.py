"""`nbpipe serve`: the webhook receiver, the reconcile workers and the pages, until a signal."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from nbpipe.cli import service
from nbpipe.config.service import chosen
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

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

    The pages require a token: that of `[webhook] token`, or one that is made at the first start;
    the log says where it is. Runs until SIGTERM or SIGINT, which also end a fetch or a gate in
    progress; the exit code is then 0.
    """
    from nbpipe.notify.service import watched  # noqa: PLC0415  (slow)
    from webhook import service as served  # noqa: PLC0415  (slow)

    config, source = served.configuration(file)
    settings = config.settings
    if not settings.collection:
        served.require_history(config, source)
        if names or no_worker:
            option = "--collection" if names else "--no-worker"
            raise UsageError(
                f"{option}: {source} has no [[collection]]",
                hint="Without a collection only results are shown; leave the option out.",
            )
    with watched(settings, source) if settings.collection else nullcontext():
        served.run(
            settings,
            config.root,
            chosen(settings, source, names),
            served.address(settings, host, port, os.environ),
            embedded=not no_worker,
            proxies=proxies,
        )


command = serve
