"""`nbpipe show`: one past run, its numbers and its failures."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from nbpipe import history
from nbpipe.cli import options
from nbpipe.system.text import plain, plain_name
from nbpipe.system.units import count, duration
from nbpipe.system.units import memory as in_memory

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.history import PastResult, PastRun

_TRACEBACK_LINES = 12
_OUTCOMES = ("passed", "failed", "flaky", "skipped")


@click.command(
    name="show",
    epilog="""\b
Examples:
  nbpipe show                    the latest run
  nbpipe show 20260131T1200      a run by the beginning of its id (`nbpipe history` lists them)""",
)
@click.argument("run", default=history.LATEST)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@options.shared
def command(run: str, *, as_json: bool, config_file: Path | None) -> None:
    """Show run RUN (the latest): its summary and its failures."""
    config = options.load_config(config_file)
    with history.open_history(config.settings.history, config.root) as past:
        found = past.run(run)
        results = past.results(found)
    if as_json:
        click.echo(json.dumps(document(found, results), indent=1))
    else:
        _show(found, results)


def document(run: PastRun, results: list[PastResult]) -> dict[str, Any]:
    """Return a run for programs: the JSON report's words, where it has the same things."""
    told = dataclasses.asdict(run) | {"started": f"{run.started:%Y-%m-%dT%H:%M:%SZ}"}
    counts = Counter(each.outcome for each in results if each.complete)
    return {
        "format": 1,
        "run": told,
        "summary": {
            "total": len(results),
            **{outcome: counts[outcome] for outcome in _OUTCOMES},
            "missing": sum(not each.complete for each in results),
        },
        "notebooks": [_notebook(each) for each in results],
    }


def _notebook(result: PastResult) -> dict[str, Any]:
    failures = [dataclasses.asdict(failure) for failure in result.failures]
    return {
        "path": result.path,
        "outcome": result.outcome,
        "complete": result.complete,
        "reason": result.reason,
        "kernel": result.kernel,
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "memory": result.memory,
        "failure": failures[0] if failures else None,
        "failures": failures,
    }


def _show(run: PastRun, results: list[PastResult]) -> None:
    click.echo(f"run {run.id} of {run.started:%Y-%m-%d %H:%M:%S} UTC on {plain_name(run.host)}")
    click.echo(f"  root     {plain_name(run.root)}")
    click.echo(f"  commit   {run.commit or 'none'}")
    click.echo(f"  nbpipe   {run.version}, Python {run.python}, {count(run.jobs, 'job')}")
    click.echo(f"  copies   {plain_name(run.output_dir)}")
    measured = [each for each in results if each.memory is not None]
    if measured:
        most = max(measured, key=lambda each: each.memory or 0)
        click.echo(f"  memory   at most {in_memory(most.memory or 0)}, by {plain_name(most.path)}")
    for result in results:
        if result.complete and result.failures:
            _show_failure(result)
    missing = [each for each in results if not each.complete]
    if missing:
        click.echo(f"\n{count(len(missing), 'notebook')} without a result (--resume {run.id}):")
        for each in missing:
            reason = f"  {plain(each.reason)}" if each.reason else ""
            click.echo(f"  {plain_name(each.path)}{reason}")
    click.echo(f"\n{_totals(run, results)}")


def _show_failure(result: PastResult) -> None:
    click.echo(f"\n{str(result.outcome).upper()}  {plain_name(result.path)}  ({result.kernel})")
    for failure in result.failures:
        where = "outside of its cells" if failure.cell is None else f"in cells[{failure.cell}]"
        click.echo(f"  {failure.category} {where}: {plain(failure.signature)}")
        text = failure.traceback.strip() or failure.message
        for line in plain(text).strip("\n").split("\n")[-_TRACEBACK_LINES:]:
            click.echo(f"    | {line}")


def _totals(run: PastRun, results: list[PastResult]) -> str:
    counts = Counter(each.outcome for each in results if each.complete)
    told = [f"{counts[outcome]:,} {outcome}" for outcome in _OUTCOMES if counts[outcome]]
    took = "its end was not recorded" if run.seconds is None else f"in {duration(run.seconds)}"
    start = "interrupted: " if run.interrupted else ""
    return f"{start}{', '.join(told) or 'no results'} {took}"
