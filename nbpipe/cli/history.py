"""`nbpipe history`: past runs, and how notebooks do over time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from nbpipe import history
from nbpipe.cli import completion, options
from nbpipe.history import texts

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.history import History, PastResult


@click.command(
    name="history",
    epilog="""\b
Examples:
  nbpipe history                       the last runs, and the notebooks that need a look
  nbpipe history notebooks/a.ipynb     its last results
  nbpipe history --all -n 100          every notebook, over the last 100 runs""",
)
@click.argument("notebook", required=False, shell_complete=completion.paths)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Number of most recent runs to look at.",
)
@click.option("--all", "every", is_flag=True, help="List every notebook, not only unsteady ones.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@options.shared
def command(
    notebook: str | None, *, number: int, every: bool, as_json: bool, config_file: Path | None
) -> None:
    """Show past runs, or the past of NOTEBOOK (as reports name it, or its file).

    Flakiness is the share of successive results between which a notebook changed from passing to
    failing or back.
    """
    config = options.load_config(config_file)
    with history.open_history(config.settings.history, config.root) as past:
        if notebook is None:
            _show_all(past, number, every=every, as_json=as_json)
        else:
            path = _path(notebook, config.root)
            _show_one(path, past.notebook(path, number), past.where, as_json=as_json)


def _path(notebook: str, root: Path) -> str:
    """Return a notebook's path as reports name it."""
    file = options.here() / notebook
    if not file.exists():
        return notebook  # gone, and still remembered by its name
    real, base = file.resolve(), root.resolve()
    return real.relative_to(base).as_posix() if real.is_relative_to(base) else str(real)


def _show_one(path: str, results: list[PastResult], where: str, *, as_json: bool) -> None:
    if not results:
        raise history.HistoryError(
            f"{where}: no result of {path} is known",
            hint="`nbpipe history --all` lists the notebooks that are.",
        )
    if as_json:
        click.echo(json.dumps(texts.notebook_document(path, results), indent=1))
    else:
        click.echo("\n".join(texts.notebook_lines(path, results)))


def _show_all(past: History, number: int, *, every: bool, as_json: bool) -> None:
    runs, by_path = past.runs(number), past.outcomes(number)
    if as_json:
        click.echo(json.dumps(texts.overview_document(runs, by_path), indent=1))
    elif runs:
        click.echo("\n".join(texts.overview_lines(runs, by_path, every=every)))
    else:
        click.echo(f"{past.where}: no run of this collection yet")
