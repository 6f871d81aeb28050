"""`nbpipe show`: one past run, its numbers and its failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from nbpipe import history
from nbpipe.cli import completion, options
from nbpipe.history import run_texts

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    name="show",
    epilog="""\b
Examples:
  nbpipe show                    the latest run
  nbpipe show 20260131T1200      a run by the beginning of its id (`nbpipe history` lists them)""",
)
@click.argument("run", default=history.LATEST, shell_complete=completion.runs)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@options.shared
def command(run: str, *, as_json: bool, config_file: Path | None) -> None:
    """Show run RUN (the latest): its summary and its failures."""
    config = options.load_config(config_file)
    with history.open_history(config.settings.history, config.root) as past:
        found = past.run(run)
        results = past.results(found)
    if as_json:
        click.echo(json.dumps(run_texts.document(found, results), indent=1))
    else:
        click.echo("\n".join(run_texts.lines(found, results)))
