"""`nbpipe notify`: people told of what has changed, by mail, a webhook or a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbpipe.cli import completion, options
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.system.units import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nbpipe.config import Config
    from nbpipe.config.settings import Settings
    from nbpipe.model import Run
    from nbpipe.notify.events import Event, Occasion


@click.command(
    name="notify",
    epilog="""\b
Examples:
  nbpipe notify --test                     does a message arrive?
  nbpipe notify                            what the latest run changed, unless already reported
  nbpipe notify 20260131T1200 --show       the same as Markdown; nothing is sent
  nbpipe notify --publishing --config /etc/nbpipe/nbpipe.toml""",
)
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option("--test", "test", is_flag=True, help="Send a test message to every channel.")
@click.option(
    "--publishing",
    is_flag=True,
    help="Report published collections that are refused, stale or well again.",
)
@click.option(
    "--show",
    is_flag=True,
    help="Print the changes as Markdown and send nothing; print nothing if nothing changed.",
)
@options.shared
def command(
    run: str, *, test: bool, publishing: bool, show: bool, config_file: Path | None
) -> int | None:
    """Notify people of what run RUN (the latest) changed: newly failing, recovered, still failing.

    `nbpipe test` does this by itself if [notify] is configured. Each change is sent once per
    channel; what could not be sent is sent the next time.
    """
    if test and (publishing or show):
        raise UsageError("--test: sends a message of its own", hint="Give it alone.")
    config = options.load_config(config_file)
    if test:
        return _test(config.settings)
    return (_publishing if publishing else _run)(config, run, show=show)


def after(config: Config, run: Run) -> None:
    """Tell what a run has changed, where that is configured; warnings at most."""
    settings = config.settings.notify
    if not (settings.email.to or settings.webhook or settings.command):
        return
    from nbpipe.notify import runs  # noqa: PLC0415  (slow)

    try:
        _, problems = runs.tell(config, *runs.changed(config, run.id))
    except NbpipeError as error:
        problems = [str(error)]
    except Exception as error:  # noqa: BLE001  (a run never fails because of a message)
        problems = [f"a mistake, please report it: {type(error).__name__}: {error}"]
    for problem in problems:
        click.echo(f"nbpipe: warning: not sent: {problem}", err=True)


def _run(config: Config, run: str, *, show: bool) -> int:
    from nbpipe.notify import recipients, runs  # noqa: PLC0415  (slow)

    events, occasion = runs.changed(config, run)
    if show:
        return _show(events, occasion)
    recipients.required(config.settings)
    return _said(*runs.tell(config, events, occasion))


def _publishing(config: Config, _: str, *, show: bool) -> int:
    from nbpipe.config.service import every  # noqa: PLC0415
    from nbpipe.notify import recipients, service  # noqa: PLC0415  (slow)

    source = config.file or config.root
    every(config.settings, source)
    if show:
        return _show(*service.troubles(config.settings, source))
    recipients.required(config.settings)
    return _said(*service.tell(config.settings, source))


def _show(events: Sequence[Event], occasion: Occasion) -> int:
    from nbpipe.notify import message_texts  # noqa: PLC0415  (slow)

    if events:
        click.echo(f"## {message_texts.subject(events)}\n")
        click.echo(message_texts.markdown(events, occasion), nl=False)
    return ExitCode.OK


def _test(settings: Settings) -> int:
    from nbpipe.notify import recipients  # noqa: PLC0415  (slow)

    code = ExitCode.OK
    for name, error in recipients.test(settings, about=str(options.here())):
        if error is None:
            click.echo(f"{name}: sent")
        else:
            click.echo(f"nbpipe: not sent: {error}", err=True)
            code = ExitCode.FAILED
    return code


def _said(told: int, problems: Sequence[str]) -> int:
    click.echo(f"sent: {count(told, 'change')}" if told else "nothing new to send")
    for problem in problems:
        click.echo(f"nbpipe: not sent: {problem}", err=True)
    return ExitCode.FAILED if problems else ExitCode.OK
