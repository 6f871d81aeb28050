"""`nbpipe space sync|list|check`: parse, call, print."""

from __future__ import annotations

import json
import random as randomness
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe.cli import service
from nbpipe.config import SERVICE_FILE, load
from nbpipe.errors import ExitCode
from nbpipe.system.text import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbpipe.publishing.spaces.check import Checked, Sample
    from nbpipe.publishing.spaces.space import Space
    from nbpipe.publishing.spaces.sync import Spaces

QUIET = frozenset({"present"})
"""States that are counted but not listed one by one by `space sync`."""

NO_HOME = "no home matches the patterns in spaces.homes"
NO_SPACE = "no home to check; `nbpipe space list` says which there are and why any is skipped"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(name="space", epilog="Example: nbpipe space check --all")
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
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--remove", is_flag=True, help="Take it out of every home again.")
@json_option
def sync(*, file: Path | None, dry_run: bool, remove: bool, as_json: bool) -> int:
    """Make the mirror appear in every home that [spaces] names; what was there is kept.

    Run it as root, as often as you like: what is right is left alone. Exit code 1 where a home
    could not be done.
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
    _print(found, as_json=as_json, listed=False, named=len(every) > 1)
    return _failed(space.state == "failed" for space in found)


@command.command(name="list", epilog="Example: nbpipe space list --json")
@service.config_option
@json_option
def list_(*, file: Path | None, as_json: bool) -> int:
    """Say how every home stands; nothing is changed."""
    every = _every(file)
    found = [space for places in every for space in places.survey()]
    _print(found, as_json=as_json, listed=True, named=len(every) > 1)
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
@click.option("--seed", type=int, help="Draw the same homes and files again.")
@json_option
def check(*, file: Path | None, every: bool, sample: int, seed: int | None, as_json: bool) -> int:
    """Prove it as the users themselves: the link, the content, and that every write fails.

    Exit code 1 where a link is wrong, content differs, a write succeeds, or there is no home to
    prove it for.
    """
    from nbpipe.publishing.spaces import check  # noqa: PLC0415  (only this command needs it)

    random = randomness.Random(seed)  # noqa: S311  (a sample, no secret)
    count = None if every else sample
    checked = []
    for places in _every(file):
        drawn = check.draw(places, random=random)
        results = list(check.check(places, drawn, count=count, random=random))
        checked.append((places.mirror.name, drawn, results))
    if as_json:
        click.echo(json.dumps(_check_table(checked), indent=1))
    else:
        for _, drawn, results in checked:
            for line in _check_lines(drawn, results):
                click.echo(line)
    return _failed(
        wrong
        for _, drawn, results in checked
        for wrong in (not results, bool(drawn.problems), *(not each.right for each in results))
    )


def _every(file: Path | None) -> tuple[Spaces, ...]:
    from nbpipe.publishing.spaces.sync import Spaces  # noqa: PLC0415  (help needs none of it)

    source = file or Path(SERVICE_FILE)
    return Spaces.every(load(source.parent, file=source))


def _failed(wrong: Iterable[bool]) -> int:
    return ExitCode.FAILED if any(wrong) else ExitCode.OK


def _print(found: list[Space], *, as_json: bool, listed: bool, named: bool) -> None:
    """Print homes line by line, then how many there are of each state.

    Args:
        found: The spaces.
        as_json: As one JSON document.
        listed: Those that are right as well.
        named: With the mirror's name in the home, as there are several.
    """
    if as_json:
        homes = [_space_table(space) for space in found]
        click.echo(json.dumps({"format": 1, "homes": homes}, indent=1))
        return
    for space in found:
        if listed or space.state not in QUIET:
            click.echo(_line(space, named=named))
    counts = Counter(str(space.state) for space in found)
    said = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    click.echo(said or NO_HOME)


def _line(space: Space, *, named: bool) -> str:
    detail = f"  ({space.detail})" if space.detail else ""
    place = f"{space.home}/{space.name}" if named else space.home
    return f"{space.state:8}  {plain_name(place)}{plain_name(detail)}"


def _space_table(space: Space) -> dict[str, str]:
    return {
        "home": space.home,
        "user": space.user,
        "name": space.name,
        "state": str(space.state),
        "detail": space.detail,
    }


def _check_lines(sample: Sample, results: list[Checked]) -> list[str]:
    """Return every attempt of every user: the proof is in them."""
    lines = [f"release {sample.commit}, {len(sample.files)} files read by every user"]
    if not sample.known:
        lines.append("  no manifest of this release: its files are only compared with themselves")
    lines += [f"  WRONG {plain_name(problem)}" for problem in sample.problems]
    for result in results:
        space = result.space
        lines.append(f"{'ok' if result.right else 'WRONG'}  {plain_name(space.home)}  {space.user}")
        if result.proof is None:
            lines.append(f"    the link: {space.state} {plain_name(space.detail)}".rstrip())
            continue
        lines += [f"    WRONG {plain_name(problem)}" for problem in result.proof.problems]
        for attempt in result.proof.attempts:
            outcome = f"refused ({attempt.error})" if attempt.refused else "WRONG: "
            if not attempt.refused:
                outcome += f"ended with {attempt.error}" if attempt.error else "IT SUCCEEDED"
            lines.append(f"    {attempt.what}: {plain_name(attempt.path)}: {outcome}")
    wrong = sum(not result.right for result in results)
    lines.append(f"{len(results)} spaces checked, {wrong} wrong" if results else NO_SPACE)
    return lines


def _check_table(checked: list[tuple[str, Sample, list[Checked]]]) -> dict[str, Any]:
    collections = [
        {
            "name": name,
            "release": sample.commit,
            "manifest": sample.known,
            "problems": list(sample.problems),
        }
        for name, sample, _ in checked
    ]
    first = {key: value for key, value in collections[0].items() if key != "name"}
    return {
        "format": 1,
        **(first if len(collections) == 1 else {}),
        "collections": collections,
        "spaces": [
            {
                **_space_table(result.space),
                "right": result.right,
                "problems": list(result.proof.problems) if result.proof else [],
                "attempts": [
                    {"what": a.what, "path": a.path, "error": a.error, "refused": a.refused}
                    for a in (result.proof.attempts if result.proof else ())
                ],
            }
            for _, _, results in checked
            for result in results
        ],
    }
