"""Which of a service's collections are meant, and what their work may see of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.config import variables
from nbpipe.config.files import SERVICE_FILE, load
from nbpipe.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.config.files import Config
    from nbpipe.config.settings import CollectionSettings, Settings


def read(file: Path | None) -> tuple[Config, Path]:
    """Return a service's configuration and the file that it stands in: this one, or the site's.

    Raises:
        ConfigError: It cannot be read, or has problems.
    """
    source = file or Path(SERVICE_FILE)
    return load(source.parent, file=source), source


def every(settings: Settings, source: Path) -> tuple[CollectionSettings, ...]:
    """Return the collections that were read from `source`.

    Raises:
        ConfigError: No collection is configured.
    """
    if not settings.collection:
        raise ConfigError(
            f"{source}: no [[collection]] is configured", hint="Add one: name, origin and root."
        )
    return settings.collection


def chosen(
    settings: Settings, source: Path, names: Sequence[str]
) -> tuple[CollectionSettings, ...]:
    """Return the collections of those names; all of them where none is named.

    Raises:
        UsageError: One of the names is unknown.
    """
    known = [each.name for each in settings.collection]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"{source}: unknown collection {', '.join(unknown)}",
            hint=f"There are: {', '.join(known) or 'none'}.",
        )
    return tuple(each for each in settings.collection if not names or each.name in names)


def collections(file: Path | None, name: str | None = None) -> tuple[CollectionSettings, ...]:
    """Return the configured collections, or the one of that name.

    Raises:
        ConfigError: The file has problems, or no collection.
        UsageError: The collection does not exist.
    """
    config, source = read(file)
    every(config.settings, source)
    return chosen(config.settings, source, (name,) if name is not None else ())


def collection(file: Path | None, name: str | None) -> CollectionSettings:
    """Return the one collection that is meant.

    Raises:
        ConfigError: The file has problems, or no collection.
        UsageError: There is no such collection, or several and no name.
    """
    found = collections(file, name)
    if len(found) > 1:
        known = ", ".join(each.name for each in found)
        raise UsageError(
            f"{file or SERVICE_FILE}: there are several collections: {known}",
            hint="Say which with --collection NAME.",
        )
    return found[0]


def environ(file: Path | None, one: CollectionSettings) -> dict[str, str]:
    """Return the environment for the work on one collection: without the others' secrets."""
    config, _ = read(file)
    return variables.without(os.environ, variables.named(config.settings), but=one)
