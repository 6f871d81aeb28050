"""`nbpipe config`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from nbpipe.cli import options
from nbpipe.config import dump, keys
from nbpipe.errors import ExitCode
from nbpipe.reports.terminal import Page

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    name="config",
    epilog="""\b
Examples:
  nbpipe config                        what holds for a command started here
  nbpipe config --json                 the same, for programs
  nbpipe config --keys                 every key of the file: type, meaning, default
  nbpipe config --config other.toml    whether that file is right""",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option(
    "--keys", "about_keys", is_flag=True, help="Describe every key that the file may hold."
)
@options.shared
def command(*, config_file: Path | None, as_json: bool, about_keys: bool) -> int:
    """Show the effective settings and where they come from.

    The file is nbpipe.toml, or the table [tool.nbpipe] of pyproject.toml, in the nearest folder
    upwards; that folder is the collection's root. --keys describes every key. Options of a
    command, such as `nbpipe test --timeout`, override them and are not shown here.
    """
    if about_keys:
        text = _json(dump.keys_document(keys.keys())) if as_json else dump.describe(keys.keys())
    else:
        config = options.load_config(config_file)
        text = _json(dump.document(config)) if as_json else dump.show(config)
    Page(sys.stdout, colored=False).line(text)
    return ExitCode.OK


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, default=str)
