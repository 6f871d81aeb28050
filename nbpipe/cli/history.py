"""`nbpipe history`: past runs, and how notebooks do over time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from nbpipe import history
from nbpipe.cli import options
from nbpipe.history.statistics import STRIP_LEGEND
from nbpipe.system.text import first_line, plain_name
from nbpipe.system.units import duration
from nbpipe.system.units import memory as in_memory

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.history import History, PastResult, PastRun

_STRIP = 30
"""Outcomes that a line has room for."""


@click.command(
    name="history",
    epilog="""\b
Examples:
  nbpipe history                       the last runs, and the notebooks that need a look
  nbpipe history notebooks/a.ipynb     its last results
  nbpipe history --all -n 100          every notebook, over the last 100 runs""",
)
@click.argument("notebook", required=False)
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

    Flakiness is how often a notebook changed between passing and failing, of how often it could
    have.
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
        told = {"path": path, **_statistics(results), "results": [_result(r) for r in results]}
        click.echo(json.dumps(told, indent=1))
        return
    click.echo(plain_name(path))
    click.echo(f"  {_line(results)}")
    click.echo(f"  {STRIP_LEGEND}")
    for each in results:
        failure = each.failures[0] if each.failures else None
        why = f"{failure.category}: {failure.signature}" if failure else each.reason or ""
        memory = "" if each.memory is None else in_memory(each.memory)
        line = f"  {each.run:22}  {each.outcome:7}  {duration(each.seconds):>10}  {memory:>9}  "
        click.echo((line + first_line(why, 100)).rstrip())


def _show_all(past: History, number: int, *, every: bool, as_json: bool) -> None:
    runs, by_path = past.runs(number), past.outcomes(number)
    if as_json:
        notebooks = [{"path": path, **_statistics(found)} for path, found in by_path.items()]
        told = {"runs": [_run(run) for run in runs], "notebooks": notebooks}
        click.echo(json.dumps(told, indent=1))
        return
    if not runs:
        click.echo(f"{past.where}: no run of this collection yet")
        return
    counts = {run.id: dict.fromkeys(("passed", "failed", "flaky", "skipped"), 0) for run in runs}
    for found in by_path.values():
        for each in found:
            counts[each.run][str(each.outcome)] += 1
    for run in runs:
        click.echo(f"{run.id:22}  {_end(run):>12}  {_counted(counts[run.id])}")
    shown = {path: found for path, found in by_path.items() if every or _is_unsteady(found)}
    if not shown:
        return
    click.echo(f"\n{STRIP_LEGEND}")
    for path, found in sorted(shown.items()):
        click.echo(f"  {plain_name(path)}")
        click.echo(f"    {_line(found)}")


def _is_unsteady(results: list[PastResult]) -> bool:
    """Tell whether a notebook needs a look: it failed last, or its outcome changes."""
    return results[0].outcome == "failed" or history.statistics(results).flakiness > 0


def _line(results: list[PastResult]) -> str:
    numbers = history.statistics(results)
    parts = [numbers.strip[-_STRIP:], f"flakiness {numbers.flakiness:.0%}"]
    if numbers.median_seconds is not None and numbers.last_seconds is not None:
        median, last = duration(numbers.median_seconds), duration(numbers.last_seconds)
        parts += [f"median {median}", f"last {last}"]
    if numbers.last_memory is not None:
        parts.append(f"memory {in_memory(numbers.last_memory)}")
    return "   ".join(parts)


def _end(run: PastRun) -> str:
    if run.interrupted:
        return "interrupted"
    return "no end" if run.seconds is None else duration(run.seconds)


def _counted(counts: dict[str, int]) -> str:
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items() if number)
    return told or "no results"


def _statistics(results: list[PastResult]) -> dict[str, Any]:
    numbers = history.statistics(results)
    return {
        "runs": numbers.runs,
        "strip": numbers.strip,
        "flakiness": round(numbers.flakiness, 4),
        "median_seconds": numbers.median_seconds,
        "last_seconds": numbers.last_seconds,
        "last_memory": numbers.last_memory,
    }


def _result(result: PastResult) -> dict[str, Any]:
    failure = result.failures[0] if result.failures else None
    return {
        "run": result.run,
        "started": f"{result.started:%Y-%m-%dT%H:%M:%SZ}",
        "outcome": result.outcome,
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
        "memory": result.memory,
        "category": failure and failure.category,
        "signature": failure and failure.signature,
    }


def _run(run: PastRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "started": f"{run.started:%Y-%m-%dT%H:%M:%SZ}",
        "seconds": run.seconds,
        "interrupted": run.interrupted,
        "commit": run.commit,
        "host": run.host,
    }
