"""`nbpipe release`: look at published releases, go back to one, prove them, clear them away."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from nbpipe.cli import service
from nbpipe.errors import ExitCode
from nbpipe.system import units
from nbpipe.system.text import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from nbpipe.publishing.publisher import Publisher
    from nbpipe.publishing.releases.operations import Release

_SHOWN = 20
"""Changed files that `show` lists of each kind."""


@click.group(name="release", epilog="Example: nbpipe release list --collection notebooks-latest")
def release() -> None:
    """Inspect published releases, choose the current one, verify, clean up."""


@release.command(name="list", epilog="Example: nbpipe release list")
@service.collection_option
@service.config_option
def list_(collection: str | None, file: Path | None) -> None:
    """List the releases on disk, the current one first."""
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        for each in operations.releases(publisher):
            click.echo(_line(each))


@release.command(epilog="Example: nbpipe release show current")
@click.argument("commit", default="current")
@service.collection_option
@service.config_option
def show(commit: str, collection: str | None, file: Path | None) -> None:
    """Show release COMMIT (its first letters do): who, what, and what changed."""
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        found, changes = operations.show(publisher, commit)
    click.echo(_line(found))
    click.echo(f"  commit   {found.commit}")
    click.echo(f"  author   {plain_name(found.author)}, {found.date}")
    click.echo(f"  files    {found.files:,}, {units.data(found.size)}")
    click.echo(f"  path     {found.path}")
    if found.executed:
        run = f"{plain_name(found.run)}, {plain_name(found.ran)}"
        click.echo(f"  outputs  of {found.executed:,} notebooks, from the gate's run {run}")
    for warning in found.warnings:
        click.echo(f"  warning  {plain_name(warning)}")
    click.echo(f"  against  {(changes.before or 'nothing')[:12]}")
    for mark, paths in (
        ("+", changes.added),
        ("~", changes.changed),
        ("-", changes.removed),
        ("only run again:", changes.rerun),
    ):
        for path in paths[:_SHOWN]:
            click.echo(f"  {mark} {plain_name(path)}")
        if len(paths) > _SHOWN:
            click.echo(f"  {mark} and {len(paths) - _SHOWN:,} more")


@release.command(epilog="Example: nbpipe release rollback --reason 'plots are broken'")
@click.argument("commit", required=False)
@click.option("--reason", default="", help="Written to the journal.")
@service.collection_option
@service.config_option
def rollback(commit: str | None, *, reason: str, collection: str | None, file: Path | None) -> None:
    """Go back to release COMMIT (to the one before) and hold it until `unpin`."""
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        now = operations.rollback(publisher, commit, reason=reason)
        name = publisher.settings.name
    click.echo(f"{name}: current is {now[:12]}, pinned; `nbpipe release unpin` follows the branch")


@release.command(epilog="Example: nbpipe release unpin")
@service.collection_option
@service.config_option
def unpin(collection: str | None, file: Path | None) -> None:
    """Follow the branch again after a rollback, from now on."""
    from nbpipe.publishing.reconcile import Reconciler  # noqa: PLC0415  (slow)
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)
    from nbpipe.publishing.releases.journal import Trigger  # noqa: PLC0415  (slow)

    settings = service.collection(file, collection)
    worker = Reconciler(settings, environ=service.environ(file, settings))
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
    """Check every file of COMMIT (of all releases) against its blob.

    Ends with 1 where a release was damaged and is not repaired.
    """
    from nbpipe.publishing.releases import operations  # noqa: PLC0415  (slow)

    with _publisher(collection, file) as publisher:
        verdicts = operations.verify(publisher, commit, repair=repair)
    for verdict in verdicts:
        for damage in verdict.damages:
            click.echo(f"{verdict.commit[:12]}: {plain_name(str(damage))}", err=True)
        word = "intact" if not verdict.damages else "repaired" if verdict.repaired else "damaged"
        click.echo(f"{verdict.commit[:12]}: {word}")
    if any(verdict.damages and not verdict.repaired for verdict in verdicts):
        raise click.exceptions.Exit(ExitCode.FAILED)


@release.command(epilog="Example: nbpipe release gc --dry-run")
@click.option("--dry-run", is_flag=True, help="Only show which releases would be removed.")
@service.collection_option
@service.config_option
def gc(*, dry_run: bool, collection: str | None, file: Path | None) -> None:
    """Remove releases that are neither young nor among the newest (`keep`)."""
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

    settings = service.collection(file, collection)
    publisher = Publisher(settings, environ=service.environ(file, settings), now=time.time)
    try:
        operations.require(publisher)
        yield publisher
    finally:
        publisher.close()


def _line(each: Release) -> str:
    words = [word for word, true in (("current", each.current), ("pinned", each.pinned)) if true]
    words += ["forced"] if each.forced else []
    state = ",".join(words) or "-"
    return f"{each.commit[:12]}  {_when(each.published)}  {state:14}  {plain_name(each.subject)}"


def _when(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "-" * 20


command = release
