"""`nbpipe profiles`: the sizes of jobs, as people know them from a hub's menu."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from nbpipe.cli import options
from nbpipe.cli.elsewhere import known_profiles
from nbpipe.errors import ExitCode
from nbpipe.reference import profiles
from nbpipe.reference.schedulers import registry
from nbpipe.system.text import plain

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.profiles import Profile

FORMAT = 1


@click.command(
    name="profiles",
    epilog="""\b
Examples:
  nbpipe profiles            what `--profile` can name here
  nbpipe profiles --json     the same, for programs""",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@options.shared
def command(*, config_file: Path | None, as_json: bool) -> int:
    """List the profiles: named sizes of jobs, and what may be changed in them.

    They come from the site's own file (/etc/nbpipe/nbpipe.toml, or what NBPIPE_SITE names), the
    user's (nbpipe.toml in the folder of settings, such as ~/.config/nbpipe), and the project's.
    The site's file alone may set `setup` and `extra`; what it does not `allow` stays as it is.
    """
    known = known_profiles(options.load_config(config_file))
    with options.while_read():
        if as_json:
            document = {"format": FORMAT, "profiles": [_described(each) for each in known]}
            click.echo(json.dumps(document, indent=2))
        else:
            _show([*known])
    return ExitCode.OK


def _show(known: list[Profile]) -> None:
    width = max(len(profile.name) for profile in known)
    schedulers = registry.names()
    for profile in known:
        scheduler = f"({profile.scheduler})"
        if profile.scheduler not in schedulers:
            scheduler = f"({profile.scheduler}: no such scheduler; known: {', '.join(schedulers)})"
        click.echo(f"{profile.name:{width}}  {plain(profile.label)}  {scheduler}")
        if wishes := _wishes(profile):
            click.echo(f"{'':{width}}    {plain(wishes)}")
        if profile.source is not None:
            changeable = profiles.allowed(profile)
            click.echo(f"{'':{width}}    may be changed: {changeable}")


def _wishes(profile: Profile) -> str:
    """Return what else a profile asks for: `qos interactive, OMP_NUM_THREADS=1`."""
    keys = ("qos", "constraint", "reservation")
    told = [f"{key} {value}" for key in keys if (value := getattr(profile, key)) is not None]
    told += [f"{name}={value}" for name, value in profile.variables.items()]
    return ", ".join(told)


def _described(profile: Profile) -> dict[str, Any]:
    """Return a profile for programs; memory in bytes, time in seconds."""
    return {
        "name": profile.name,
        "title": profile.title,
        "label": profile.label,
        "scheduler": profile.scheduler,
        "cores": profile.cores,
        "memory": profile.memory,
        "memory_per_core": profile.memory_per_core,
        "walltime": profile.walltime,
        "queue": profile.queue,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "reservation": profile.reservation,
        "variables": dict(profile.variables),
        "nodes": profile.nodes,
        "gpus": profile.gpus,
        "allow": None if profile.allow is None else dict(profile.allow),
        "source": str(profile.source) if profile.source else None,
    }
