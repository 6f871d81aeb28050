"""`nbpipe space sync|list|check`: parse, call, print."""

from __future__ import annotations

import json
import random as randomness
from datetime import date
from typing import TYPE_CHECKING

import click

from nbpipe.cli import service
from nbpipe.config.service import read
from nbpipe.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbpipe.publishing.spaces.space import Space
    from nbpipe.publishing.spaces.sync import Spaces

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(name="space")
def command() -> None:
    """Make the mirror appear in every user's home, and prove it read-only.

    \b
    Example:
      nbpipe space sync --dry-run
      nbpipe space sync
      nbpipe space check --all
    """  # noqa: D301  (\b is click's own)


@command.command(epilog="Example: nbpipe space sync --dry-run")
@service.config_option
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--remove", is_flag=True, help="Remove the mirror from every home.")
@json_option
def sync(*, file: Path | None, dry_run: bool, remove: bool, as_json: bool) -> int:
    """Make the mirror appear in the homes that [spaces] names.

    Run it as root, as often as you like: what is right is left alone, and what else is there is
    kept. Exit code 1: a home could not be updated.
    """
    if dry_run and remove:
        raise click.UsageError("--dry-run and --remove: choose one of them")
    every, today = _every(file), date.today()  # noqa: DTZ011  (a name for people here)
    found: list[Space] = []
    for places in every:
        if remove:
            done = list(places.remove(today))
        else:
            done = list(places.preview(today) if dry_run else places.sync(today))
            if done and not places.mirror.joinpath("current").is_dir():
                click.echo(
                    f"warning: {places.mirror}: nothing is published here yet, the links lead "
                    f"nowhere\n  `nbpipe publish {places.mirror.name}` makes the mirror.",
                    err=True,
                )
        found += done
    _print(found, as_json=as_json, every=False, named=len(every) > 1)
    return _failed(space.state == "failed" for space in found)


@command.command(name="list", epilog="Example: nbpipe space list --json")
@service.config_option
@json_option
def list_(*, file: Path | None, as_json: bool) -> int:
    """Show the state of every home; change nothing."""
    every = _every(file)
    found = [space for places in every for space in places.survey()]
    _print(found, as_json=as_json, every=True, named=len(every) > 1)
    return ExitCode.OK


@command.command(epilog="Example: nbpipe space check --sample 20")
@service.config_option
@click.option("--all", "every", is_flag=True, help="Check every home.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Number of homes to check, drawn at random.",
)
@click.option("--seed", type=int, help="Seed, to draw the same homes and files again.")
@json_option
def check(*, file: Path | None, every: bool, sample: int, seed: int | None, as_json: bool) -> int:
    """Check as each user that link and content are right and writes fail.

    Exit code 1 if a link is wrong, content differs, a write succeeds, or no home was checked.
    """
    from nbpipe.publishing.spaces import check, texts  # noqa: PLC0415  (only this command needs it)

    random = randomness.Random(seed)  # noqa: S311  (a sample, no secret)
    count = None if every else sample
    checked = []
    for places in _every(file):
        drawn = check.draw(places, random=random)
        results = list(check.check(places, drawn, count=count, random=random))
        checked.append((places.mirror.name, drawn, results))
    if as_json:
        click.echo(json.dumps(texts.check_document(checked), indent=1))
    else:
        for _, drawn, results in checked:
            click.echo("\n".join(texts.check_lines(drawn, results)))
    return _failed(
        wrong
        for _, drawn, results in checked
        for wrong in (not results, bool(drawn.problems), *(not each.right for each in results))
    )


def _every(file: Path | None) -> tuple[Spaces, ...]:
    from nbpipe.publishing.spaces.sync import Spaces  # noqa: PLC0415  (help needs none of it)

    return Spaces.every(read(file)[0])


def _failed(wrong: Iterable[bool]) -> int:
    return ExitCode.FAILED if any(wrong) else ExitCode.OK


def _print(found: list[Space], *, as_json: bool, every: bool, named: bool) -> None:
    from nbpipe.publishing.spaces import texts  # noqa: PLC0415  (help needs none of it)

    if as_json:
        click.echo(json.dumps(texts.document(found), indent=1))
    else:
        click.echo("\n".join(texts.lines(found, every=every, named=named)))
