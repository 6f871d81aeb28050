"""`nbpipe publish`: have the mirror hold what the origin's branch holds, now or for ever."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from nbpipe.cli import completion, service
from nbpipe.config import service as configured
from nbpipe.errors import ExitCode, UsageError
from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.watch import ended_by_sigterm, until_signal
from nbpipe.system.logs import log_to_stderr
from nbpipe.system.text import plain, plain_name

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.publishing.reconcile import Outcome, Reconciler


def _commit(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9a-fA-F]{7,40}", value):
        raise click.BadParameter("it takes a commit: at least 7 digits of its id")
    return value.lower() if value else None


@click.command(
    name="publish",
    epilog="Example: nbpipe publish notebooks-latest --config /etc/nbpipe/nbpipe.toml",
)
@click.argument("name", required=False, shell_complete=completion.collections)
@click.option(
    "--watch",
    is_flag=True,
    help="Run continuously: poll, and follow the beacons that `serve` left.",
)
@click.option("--again", is_flag=True, help="Retry a commit that was refused before.")
@click.option(
    "--accept-loss",
    metavar="COMMIT",
    callback=_commit,
    help="Publish this commit although it lacks more of the files than `max-loss` allows.",
)
@service.config_option
def publish(
    name: str | None, *, watch: bool, again: bool, accept_loss: str | None, file: Path | None
) -> None:
    """Update the mirror of collection NAME (default: all) from its origin, once or continuously.

    Exit code 0: every mirror holds its branch's head (or a pinned release); 1: one could not be
    published and keeps its last release. SIGTERM ends it as Ctrl-C does (exit code 2), including
    a fetch or a gate in progress.
    """
    from nbpipe.publishing.reconcile import Reconciler  # noqa: PLC0415  (slow)

    if watch and accept_loss:
        raise UsageError("--accept-loss is for one commit now, not for --watch")
    workers = [
        Reconciler(settings, environ=configured.environ(file, settings))
        for settings in configured.collections(file, name)
    ]
    if watch:
        from nbpipe.notify import service as notices  # noqa: PLC0415  (slow)

        config, source = configured.read(file)
        with notices.watched(config.settings, source):
            log_to_stderr("%(asctime)s %(levelname)s %(message)s")
            until_signal(workers)
        return
    with ended_by_sigterm():
        outcomes = [_once(worker, again=again, accept_loss=accept_loss) for worker in workers]
    if accept_loss and not any((each.wanted or "").startswith(accept_loss) for each in outcomes):
        click.echo(f"warning: --accept-loss: no branch's head is {accept_loss}", err=True)
    if not all(outcome.result.good for outcome in outcomes):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _once(worker: Reconciler, *, again: bool, accept_loss: str | None) -> Outcome:
    """Reconcile once, and print what came of it."""
    outcome = worker.reconcile_once(again=again, accept_loss=accept_loss)
    worker.publisher.close()
    _tell(worker.settings.name, outcome)
    # A mirror that cannot be read is the outcome already; the next collection has its turn.
    with suppress(MirrorError):
        if note := worker.health().note:
            click.echo(f"note: {worker.settings.name}: {plain_name(note)}", err=True)
    return outcome


def _tell(name: str, outcome: Outcome) -> None:
    for warning in outcome.warnings:
        click.echo(f"warning: {name}: {plain_name(warning)}", err=True)
    if outcome.error:
        click.echo(f"error: {plain(outcome.error)}", err=True)
    commit = (outcome.current or "nothing")[:12]
    how = " (the branch was rewritten)" if outcome.forced else ""
    click.echo(f"{name}: {outcome.result.value}, current is {commit}{how}")


command = publish
