"""What a shell proposes for a word: kernels, runs, profiles, reports; for notebooks, its own paths.

Each function is passed to an argument or option as `shell_complete`. Proposals are a convenience:
if the configuration has mistakes or there is no history, the list is empty and nothing is printed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from nbpipe.errors import NbpipeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import click

    from nbpipe.config import Config

_RUNS = 30


def paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell propose files and folders, with its own settings for them."""
    del ctx, param
    return [CompletionItem(incomplete, type="file")]


def reports(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Propose kinds of reports; after `KIND=`, files."""
    del ctx, param
    from nbpipe.config.tables import REPORTS  # noqa: PLC0415  (slow)

    kind, equals, path = incomplete.partition("=")
    if equals and kind in REPORTS:
        return [CompletionItem(path, type="file")]
    return _beginning(((kind, "") for kind in REPORTS if kind != "console"), incomplete)


def kernels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Propose the installed kernels."""
    del ctx, param
    from nbpipe.collecting import installed_kernels  # noqa: PLC0415  (slow)

    found = installed_kernels()
    return _beginning(((name, each.language) for name, each in found.items()), incomplete)


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Propose the newest runs of this collection."""
    del param
    with _quietly():
        from nbpipe.history import open_history  # noqa: PLC0415  (slow)

        found = _config(ctx)
        with open_history(found.settings.history, found.root) as history:
            newest = history.runs(_RUNS)
        told = ((each.id, f"{each.started:%Y-%m-%d %H:%M}") for each in newest)
        return _beginning([("latest", "the newest run"), *told], incomplete)
    return []


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Propose the profiles of the configuration."""
    del param
    with _quietly():
        names = _config(ctx).settings.profiles
        return _beginning(((name, "") for name in names), incomplete)
    return []


def collections(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Propose the collections that a service's configuration publishes."""
    del param
    with _quietly():
        from nbpipe import config  # noqa: PLC0415  (slow)

        found = ctx.params.get("config_file")
        known = config.load(Path.cwd(), file=Path(found).absolute()) if found else None
        known = known or config.site(os.environ) or _config(ctx)
        return _beginning(((one.name, "") for one in known.settings.collection), incomplete)
    return []


def reference_runs(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Propose the newest reference runs of the store."""
    del param
    with _quietly():
        from nbpipe.reference.store import Store, location  # noqa: PLC0415  (slow)

        store = Store(location(os.environ, ctx.params.get("store")))
        newest = store.runs()[-_RUNS:][::-1]
        return _beginning([("latest", ""), *((each.id, each.name) for each in newest)], incomplete)
    return []


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with contextlib.suppress(NbpipeError, OSError):
        yield


def _config(ctx: click.Context) -> Config:
    from nbpipe import config  # noqa: PLC0415  (slow)

    file = ctx.params.get("config_file")
    return config.load(Path.cwd(), file=Path(file).absolute() if file else None)


def _beginning(found: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(word, help=told or None)
        for word, told in found
        if word.startswith(incomplete)
    ]
