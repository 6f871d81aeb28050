"""Options that the commands about published collections share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe.cli.options import debug_option
from nbpipe.config import SERVICE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command of a service has."""
    return debug_option(_config_option(command))


_config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help=f"Read this configuration file instead of {SERVICE_FILE}.",
)
collection_option = click.option(
    "--collection",
    "collection",
    metavar="NAME",
    help="Name of the collection, if several are configured.",
)
