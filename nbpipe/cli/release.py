"""`nbpipe release`: look at published releases, go back to one, prove them, clear them away."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from nbpipe.cli import service
from nbpipe.config.service import collection as configured
from nbpipe.config.service import environ
from nbpipe.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.publishing.publisher import Publisher


@click.group(name="release", epilog="Example: nbpipe release list --collection notebooks-latest")
def release() -> None:
    """Inspect published releases, choose the current one, verify, clean up."""


@release.command(name="list", epilog="Example: nbpipe release list")
@service.collection_option
@service.config_option
def list_(collection: str | None, file: Path | None) -> None:
    """List the releases on disk, the current one first."""
    from nbpipe.publishing.releases import operations, texts  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        for each in operations.releases(publisher):
            click.echo(texts.line(each))


@release.command(epilog="Example: nbpipe release show current")
@click.argument("commit", default="current")
@service.collection_option
@service.config_option
def show(commit: str, collection: str | None, file: Path | None) -> None:
    """Show release COMMIT (or its first digits) and what it changed."""
    from nbpipe.publishing.releases import operations, texts  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        found, changes = operations.show(publisher, commit)
    click.echo("\n".join(texts.lines(found, changes)))


@release.command(epilog="Example: nbpipe release rollback --reason 'plots are broken'")
@click.argument("commit", required=False)
@click.option("--reason", default="", help="Reason, recorded in the journal.")
@service.collection_option
@service.config_option
def rollback(commit: str | None, *, reason: str, collection: str | None, file: Path | None) -> None:
    """Roll back to COMMIT (default: the release before) until `unpin`."""
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        now = operations.rollback(publisher, commit, reason=reason)
        name = publisher.settings.name
    click.echo(f"{name}: current is {now[:12]}, pinned; `nbpipe release unpin` follows the branch")


@release.command(epilog="Example: nbpipe release unpin")
@service.collection_option
@service.config_option
def unpin(collection: str | None, file: Path | None) -> None:
    """Follow the branch again after a rollback."""
    from nbpipe.publishing.reconcile import Reconciler  # noqa: PLC0415  (slow)
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)
    from nbpipe.publishing.releases.journal import Trigger  # noqa: PLC0415  (slow)

    settings = configured(file, collection)
    worker = Reconciler(settings, environ=environ(file, settings))
    name = worker.settings.name
    if not operations.unpin(worker.publisher):
        click.echo(f"{name}: nothing was pinned")
    outcome = worker.reconcile_once(Trigger.UNPIN)
    worker.publisher.close()
    click.echo(f"{name}: {outcome.result.value}, current is {(outcome.current or 'nothing')[:12]}")
    if outcome.error:
        click.echo(f"error: {outcome.error}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)


@release.command(epilog="Example: nbpipe release verify --no-repair")
@click.argument("commit", required=False)
@click.option(
    "--repair/--no-repair",
    default=True,
    show_default=True,
    help="Rebuild damaged releases from the cache.",
)
@service.collection_option
@service.config_option
def verify(commit: str | None, *, repair: bool, collection: str | None, file: Path | None) -> None:
    """Check the files of COMMIT, or of all releases, against their blobs.

    Exit code 1: a release is damaged and was not repaired.
    """
    from nbpipe.publishing.releases import operations, texts  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        verdicts = operations.verify(publisher, commit, repair=repair)
    for verdict in verdicts:
        for damage in texts.damages(verdict):
            click.echo(damage, err=True)
        click.echo(texts.verdict_line(verdict))
    if any(verdict.damages and not verdict.repaired for verdict in verdicts):
        raise click.exceptions.Exit(ExitCode.FAILED)


@release.command(epilog="Example: nbpipe release gc --dry-run")
@click.option("--dry-run", is_flag=True, help="Only show which releases would be removed.")
@service.collection_option
@service.config_option
def gc(*, dry_run: bool, collection: str | None, file: Path | None) -> None:
    """Remove releases that `keep` does not keep."""
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        gone = operations.gc(publisher, dry_run=dry_run)
    for commit in gone:
        click.echo(f"{'would remove' if dry_run else 'removed'} {commit[:12]}")
    if not gone:
        click.echo("nothing to remove")


@contextmanager
def _publisher(collection: str | None, file: Path | None) -> Iterator[Publisher]:
    import time  # noqa: PLC0415  (only here)

    from nbpipe.publishing.publisher import Publisher  # noqa: PLC0415  (slow)
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    settings = configured(file, collection)
    publisher = Publisher(settings, environ=environ(file, settings), now=time.time)
    try:
        operations.require(publisher)
        yield publisher
    finally:
        publisher.close()


command = release
