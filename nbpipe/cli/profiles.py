"""`nbpipe profiles`: the sizes of jobs, as people know them from a hub's menu."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from nbpipe.cli import options
from nbpipe.errors import ExitCode
from nbpipe.reference import profile_texts, profiles

if TYPE_CHECKING:
    from pathlib import Path


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
    known = profiles.known(options.load_config(config_file))
    with options.while_read():
        if as_json:
            click.echo(json.dumps(profile_texts.document(known), indent=2))
        else:
            click.echo("\n".join(profile_texts.lines(known)))
    return ExitCode.OK
