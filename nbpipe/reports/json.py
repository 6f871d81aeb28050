"""The JSON report: a run for programs, in a format that is versioned and has a schema.

Versions of the format (`"format"`); a new key is no new version, a changed or removed one is:

1. 2026-01-31: the first. Beyond the keys of the contract: `run.interrupted`, `run.output_dir`
   (what `executed` and `log` are relative to), and per notebook `log`, `memory`, `notes` and,
   where there is more than one failure or all were asked for (`--all-errors`), `failures`.
   Later, per failure: `source` and `line`. `run.threads`, and per notebook `threads`, `home` and
   `shadowed`; where there was more than one attempt, `attempts_made`; `cell_seconds`,
   `environment`, and of its past `earlier`, `packages`, `passed`. `run.folder`: the collection's in
   its repository.

The schema is report.schema.json beside this file (JSON Schema, draft 2020-12).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TextIO, cast

from nbpipe.model import Outcome
from nbpipe.reports import links
from nbpipe.system.text import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.model import Attempt, Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.reporter import Reporter

FORMAT = 1


@dataclass(frozen=True, slots=True)
class JsonReporter:
    """Writes the JSON report."""

    kind: str = "json"

    def report(self, run: Run, stream: TextIO) -> None:
        """Write the report, notebook by notebook: a run may be large."""
        report = document(run)
        notebooks, excluded = report.pop("notebooks"), report.pop("excluded")
        stream.write("{\n")
        stream.writelines(f' "{key}": {_text(value)},\n' for key, value in report.items())
        stream.write(f' "notebooks": {_lines(notebooks)},\n')
        stream.write(f' "excluded": {_lines(excluded)}\n}}\n')


def reporter(console: ConsoleReporter) -> Reporter[Run]:  # noqa: ARG001  (alike for each kind)
    """Return the reporter of this kind."""
    return JsonReporter()


def document(run: Run) -> dict[str, Any]:
    """Return the report as the values that JSON knows."""
    return {
        "format": FORMAT,
        "run": {
            "id": run.id,
            "started": _time(run.started),
            "seconds": round(run.seconds, 3),
            "commit": run.commit,
            "folder": links.folder(run),
            "host": run.host,
            "version": run.version,
            "python": run.python,
            "jobs": run.jobs,
            "threads": run.threads,
            "interrupted": run.interrupted,
            "output_dir": encodable(str(run.output_dir)),
        },
        "summary": {
            "total": len(run.results),
            **{outcome.value: run.count(outcome) for outcome in Outcome},
        },
        "notebooks": [_notebook(result) for result in run.results],
        "excluded": [
            {"path": encodable(each.path), "reason": encodable(each.reason)}
            for each in run.excluded
        ],
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the report."""
    text = files("nbpipe.reports").joinpath("report.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def _notebook(result: Result) -> dict[str, Any]:
    first = result.failure
    notebook: dict[str, Any] = {
        "path": encodable(result.path),
        "outcome": result.outcome.value,
        "reason": result.reason and encodable(result.reason),
        "kernel": encodable(result.kernel),
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "cells": {"total": result.cells_total, "executed": result.cells_executed},
        "cell_seconds": [asdict(each) for each in result.cell_times],
        "failure": _failure(result, first) if first else None,
        "executed": result.executed and encodable(result.executed),
        "log": result.log and encodable(result.log),
        "memory": result.memory,
        "threads": result.task.cores,
        "home": _encodable(result.home),
        "shadowed": [encodable(name) for name in result.shadowed],
        "notes": [encodable(note) for note in result.notes],
    }
    if result.packages:
        notebook["environment"] = {"packages": _encodable(result.packages)}
    if result.past is not None:
        notebook["past"] = asdict(result.past)
    if result.retried:
        notebook["attempts_made"] = [_attempt(result, each) for each in result.retried]
    if len(result.failures) > 1 or (first and result.task.all_errors):
        notebook["failures"] = [_failure(result, failure) for failure in result.failures]
    return notebook


def _encodable(versions: Mapping[str, str]) -> dict[str, str]:
    return {encodable(name): encodable(each) for name, each in versions.items()}


def _attempt(result: Result, attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome.value,
        "started": attempt.started and _time(attempt.started),
        "seconds": round(attempt.seconds, 3),
        "failure": _failure(result, attempt.failure) if attempt.failure else None,
        "executed": attempt.executed and encodable(attempt.executed),
        "log": attempt.log and encodable(attempt.log),
        "memory": attempt.memory,
    }


def _failure(result: Result, failure: Failure) -> dict[str, Any]:
    return {
        "category": failure.category.value,
        "cell": failure.cell,
        "cell_id": failure.cell_id and encodable(failure.cell_id),
        "name": encodable(failure.name),
        "message": encodable(failure.message),
        "traceback": encodable(failure.traceback),
        "signature": encodable(failure.signature),
        "source": encodable(failure.source),
        "line": links.failing_line_in_file(result, failure),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lines(values: list[dict[str, Any]]) -> str:
    """Return a list with one value per line: small enough to read, and `grep` works."""
    if not values:
        return "[]"
    return "[\n" + ",\n".join(f"  {_text(value)}" for value in values) + "\n ]"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
