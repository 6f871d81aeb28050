"""What the commands about published collections share: their configuration, and which one."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe.cli.options import debug_option
from nbpipe.config import SERVICE_FILE, load, variables
from nbpipe.errors import ConfigError, UsageError
from nbpipe.system.text import plain, plain_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.config.settings import CollectionSettings, Settings


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
    help="Which collection, where the configuration has several.",
)


class OneLine(logging.Formatter):
    """One printable line per record, whatever a server, a commit or a request made it say.

    A traceback stands below, indented, so that no line of it looks like a record.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's)
        """Return the record's line."""
        return plain_name(" ".join(super().formatMessage(record).split()))

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  (logging's)
        """Return a traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  (logging's)
        """Return a stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in plain(text).splitlines())


def log_to_stderr(form: str) -> None:
    """Have everything of importance logged to standard error, in that form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def collections(file: Path | None, name: str | None = None) -> tuple[CollectionSettings, ...]:
    """Return the configured collections, or the one of that name.

    Raises:
        ConfigError: The file has problems, or no collection.
        UsageError: There is no such collection.
    """
    source = file or Path(SERVICE_FILE)
    every = some(load(source.parent, file=source).settings, source)
    if name is None:
        return every
    chosen = tuple(each for each in every if each.name == name)
    if not chosen:
        known = ", ".join(each.name for each in every)
        raise UsageError(f"{source}: unknown collection {name}", hint=f"There are: {known}")
    return chosen


def environ(file: Path | None, one: CollectionSettings) -> dict[str, str]:
    """Return the environment for the work on one collection: without the others' secrets."""
    source = file or Path(SERVICE_FILE)
    every = variables.named(load(source.parent, file=source).settings)
    return variables.without(os.environ, every, but=one)


def some(settings: Settings, source: Path) -> tuple[CollectionSettings, ...]:
    """Return the collections that were read from `source`.

    Raises:
        ConfigError: There is none.
    """
    if not settings.collection:
        raise ConfigError(
            f"{source}: no [[collection]] is configured", hint="Add one: name, origin and root."
        )
    return settings.collection


def collection(file: Path | None, name: str | None) -> CollectionSettings:
    """Return the one collection that is meant.

    Raises:
        ConfigError: The file has problems.
        UsageError: There is none, or several and no name.
    """
    chosen = collections(file, name)
    if len(chosen) > 1:
        known = ", ".join(each.name for each in chosen)
        raise UsageError(
            f"{file or SERVICE_FILE}: there are several collections: {known}",
            hint="Say which with --collection NAME.",
        )
    return chosen[0]
