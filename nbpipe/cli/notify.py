"""`nbpipe notify`: people told of what has changed, by mail, a webhook or a command."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import click

from nbpipe.cli import options, service
from nbpipe.config.variables import named
from nbpipe.errors import ExitCode, NbpipeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbpipe.config import Config
    from nbpipe.config.settings import CollectionSettings, NotifySettings, Settings
    from nbpipe.model import Run
    from nbpipe.notify.channels import Channel
    from nbpipe.notify.events import Event, Occasion
    from nbpipe.notify.memory import Memory

_LOOK_SECONDS = 10.0
_log = logging.getLogger(__name__)
_HINT = "Set [notify.email] to, [notify] webhook or [notify] command."


@click.command(
    name="notify",
    epilog="""\b
Examples:
  nbpipe notify --test                     does a message arrive?
  nbpipe notify                            what the latest run changed, unless already reported
  nbpipe notify 20260131T1200 --show       the same as Markdown; nothing is sent
  nbpipe notify --publishing --config /etc/nbpipe/nbpipe.toml""",
)
@click.argument("run", default="latest")
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

    `nbpipe test` does it by itself where [notify] is configured. Each change is sent once on
    each channel; what could not be sent is sent the next time.
    """
    if test and (publishing or show):
        raise UsageError("--test: sends a message of its own", hint="Give it alone.")
    config = options.load_config(config_file)
    if test:
        return _test(config.settings)
    if publishing:
        return _publishing(config, show=show)
    events, occasion = _changes(config, run)
    if show:
        return _show(events, occasion)
    return _tell(config, events, occasion)


def after(config: Config, run: Run) -> None:
    """Tell what a run has changed, where that is configured; warnings at most."""
    settings = config.settings.notify
    if not (settings.email.to or settings.webhook or settings.command):
        return
    try:
        events, occasion = _changes(config, run.id)
        _, problems = _deliver(config, events, occasion)
    except NbpipeError as error:
        problems = [str(error)]
    except Exception as error:  # noqa: BLE001  (a run never fails because of a message)
        problems = [f"a mistake, please report it: {type(error).__name__}: {error}"]
    for problem in problems:
        click.echo(f"nbpipe: warning: not sent: {problem}", err=True)


def _changes(config: Config, name: str) -> tuple[list[Event], Occasion]:
    from nbpipe import history  # noqa: PLC0415  (slow)
    from nbpipe.notify import changes, delivery  # noqa: PLC0415  (slow)
    from nbpipe.notify.events import Occasion  # noqa: PLC0415  (slow)

    settings = config.settings
    with history.open_history(settings.history, config.root) as past:
        run = past.run(name)
        events = changes.of_run(
            past, run, still_after=settings.notify.still_after, flaky=settings.test.flaky
        )
    occasion = Occasion(
        about=run.root, host=run.host, commit=run.commit, next=f"nbpipe show {run.id}"
    )
    return delivery.wanted(events, settings.notify.on), occasion


def _show(events: Sequence[Event], occasion: Occasion) -> int:
    from nbpipe.notify import message_texts  # noqa: PLC0415  (slow)

    if events:
        click.echo(f"## {message_texts.subject(events)}\n")
        click.echo(message_texts.markdown(events, occasion), nl=False)
    return ExitCode.OK


def _tell(config: Config, events: Sequence[Event], occasion: Occasion) -> int:
    if not _channels(config.settings):
        raise UsageError("[notify] has no recipients configured", hint=_HINT)
    return _said(*_deliver(config, events, occasion))


def _deliver(config: Config, events: Sequence[Event], occasion: Occasion) -> tuple[int, list[str]]:
    from nbpipe.history import identity  # noqa: PLC0415
    from nbpipe.notify import delivery, memory  # noqa: PLC0415  (slow)

    key = identity.keys(config.root, name=config.settings.history.collection)[0]
    return delivery.tell(
        lambda _: events,
        occasion,
        _channels(config.settings),
        file=memory.default(key),
        now=time.time(),
    )


def _publishing(config: Config, *, show: bool) -> int:
    from nbpipe.notify.memory import Memory  # noqa: PLC0415  (slow)

    source = config.file or config.root
    every = service.some(config.settings, source)
    if show:
        events = _troubles(every, config.settings.notify, Memory())
        return _show(events, _service(source))
    if not _channels(config.settings):
        raise UsageError("[notify] has no recipients configured", hint=_HINT)
    return _said(*_tell_troubles(config.settings, source))


@contextlib.contextmanager
def watched(settings: Settings, source: Path) -> Iterator[None]:
    """Tell of the configured collections while a service runs, where that is configured."""
    if not _channels(settings):
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(settings, source, stop), name="notify", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(settings.notify.timeout)


def _watch(settings: Settings, source: Path, stop: threading.Event) -> None:
    logged: set[str] = set()
    while not stop.wait(_LOOK_SECONDS):
        try:
            _, problems = _tell_troubles(settings, source)
        except Exception as error:  # noqa: BLE001  (a service never ends because of a message)
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            if problem not in logged:  # once, not every ten seconds
                _log.warning("not sent: %s", " ".join(problem.split()))
        logged = set(problems)


def _tell_troubles(settings: Settings, source: Path) -> tuple[int, list[str]]:
    from nbpipe.notify import delivery, memory  # noqa: PLC0415  (slow)

    every = settings.collection
    return delivery.tell(
        lambda past: _troubles(every, settings.notify, past),
        _service(source),
        _channels(settings),
        file=memory.default("publishing:" + ":".join(f"{each.root}/{each.name}" for each in every)),
        now=time.time(),
    )


def _troubles(
    every: Sequence[CollectionSettings], settings: NotifySettings, past: Memory
) -> list[Event]:
    from nbpipe.notify import delivery, mirror_changes  # noqa: PLC0415  (slow)
    from nbpipe.publishing.reconcile import Reconciler  # noqa: PLC0415  (slow)

    health = [Reconciler(each).health() for each in every]
    events = mirror_changes.of_collections(health, told=past.open_troubles())
    return delivery.wanted(events, settings.on)


def _service(source: Path) -> Occasion:
    from nbpipe.notify.events import Occasion  # noqa: PLC0415  (slow)

    host = socket.gethostname()
    return Occasion(about=str(source), host=host, next=f"nbpipe release list --config {source}")


def _test(settings: Settings) -> int:
    from nbpipe.notify.events import Event, Occasion  # noqa: PLC0415  (slow)

    channels = _channels(settings)
    if not channels:
        raise UsageError("[notify] has no recipients configured", hint=_HINT)
    host = socket.gethostname()
    event = Event(kind="test", subject="nbpipe", detail="This is how it will look.", key="test")
    code = ExitCode.OK
    for channel in channels:
        try:
            channel.send([event], Occasion(about=f"{options.here()}", host=host))
        except NbpipeError as error:
            click.echo(f"nbpipe: not sent: {error}", err=True)
            code = ExitCode.FAILED
        else:
            click.echo(f"{channel.name}: sent")
    return code


def _channels(settings: Settings) -> list[Channel]:
    from nbpipe.notify import channels  # noqa: PLC0415  (slow)

    return channels.channels(settings.notify, os.environ, hidden=named(settings))


def _said(told: int, problems: Sequence[str]) -> int:
    changes = "1 change" if told == 1 else f"{told:,} changes"
    click.echo(f"sent: {changes}" if told else "nothing new to send")
    for problem in problems:
        click.echo(f"nbpipe: not sent: {problem}", err=True)
    return ExitCode.FAILED if problems else ExitCode.OK
