"""A run that has ended, from its JSON report or from the history, as the reports know it.

Reading only. A JSON report may come from a stranger's pull request: everything in it is text to
be escaped, and what does not fit the format is refused as a whole.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe import history
from nbpipe.errors import UsageError
from nbpipe.model import Attempt, Category, Excluded, Failure, Outcome, Past, Result, Run, Task
from nbpipe.reports.json import FORMAT

if TYPE_CHECKING:
    from nbpipe.config import Config
    from nbpipe.history import PastFailure, PastResult, PastRun

REPORT = "report.json"
_LARGEST = 500_000_000
"""Bytes; a larger file is no report."""
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A run, and what its report says about places in files."""

    run: Run
    lines: dict[tuple[str, int | None], int]
    """(path, cell) -> the 1-based line of the notebook's file; from a JSON report."""
    folder: str | None = None
    """The collection's in its repository; None: the report does not say."""


def load(name: str, config: Config) -> Loaded:
    """Return a run by its JSON report, its output directory, or its id in the history.

    Raises:
        UsageError: There is none, or the report is not what `--report json` writes.
        HistoryError: The history has no such run, or cannot be read.
    """
    file = Path(name)
    if file.is_dir():
        file /= REPORT
        if not file.is_file():
            raise UsageError(
                f"{file}: not found", hint="Run `nbpipe test --report json`, or name the run."
            )
    if file.is_file():
        return from_report(file, config.root)
    if "/" in name or name.endswith(".json"):
        raise UsageError(f"{name}: not found", hint="Name a JSON report, or a run's id.")
    with history.open_history(config.settings.history, config.root) as past:
        found = past.run(name)
        run = _past(found, past.results(found), config.root)
        return Loaded(run=history.looked_up(run, past), lines={})


def from_report(file: Path, root: Path) -> Loaded:
    """Return the run in a JSON report.

    Raises:
        UsageError: It cannot be read, or is none.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("it is too large")  # noqa: TRY301  (told like the others)
        return _loaded(json.loads(file.read_text(encoding="utf-8")), root)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{file}: not the report of a run: {type(error).__name__}: {error}",
            hint="Name what `nbpipe test --report json=PATH` wrote.",
        ) from error


def _loaded(document: dict[str, Any], root: Path) -> Loaded:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}, this nbpipe reads {FORMAT}")
    run, notebooks = document["run"], document["notebooks"]
    lines = {
        (str(notebook["path"]), failure["cell"]): int(failure["line"])
        for notebook in notebooks
        for failure in _failures(notebook)
        if failure.get("line")
    }
    return Loaded(
        run=Run(
            id=str(run["id"]),
            started=datetime.fromisoformat(run["started"]),
            seconds=_finite(run["seconds"]),
            root=root,
            output_dir=Path(run["output_dir"]),
            commit=run["commit"] and str(run["commit"]),
            host=str(run["host"]),
            version=str(run["version"]),
            python=str(run["python"]),
            jobs=int(run["jobs"]),
            results=tuple(_result(notebook, root) for notebook in notebooks),
            excluded=tuple(
                Excluded(path=str(each["path"]), reason=str(each["reason"]))
                for each in document["excluded"]
            ),
            interrupted=bool(run["interrupted"]),
        ),
        lines=lines,
        folder=_folder(run.get("folder")),
    )


def _folder(value: object) -> str | None:
    """Return the folder within a repository; what leads out of it is not one."""
    if value is None:
        return None
    folder = str(value)
    if folder.startswith("/") or ".." in folder.split("/"):
        raise ValueError(f"{folder!r} is not a folder of the repository")
    return folder


def _failures(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    first = notebook["failure"]
    return list(notebook.get("failures") or ([first] if first else []))


def _result(notebook: dict[str, Any], root: Path) -> Result:
    return Result(
        task=_task(str(notebook["path"]), str(notebook["kernel"]), root),
        outcome=Outcome(notebook["outcome"]),
        reason=notebook["reason"] and str(notebook["reason"]),
        kernel=str(notebook["kernel"]),
        seconds=_finite(notebook["seconds"]),
        attempts=int(notebook["attempts"]),
        tries=tuple(map(_attempt, notebook.get("attempts_made", ()))),
        cells_total=int(notebook["cells"]["total"]),
        cells_executed=int(notebook["cells"]["executed"]),
        failures=tuple(map(_failure, _failures(notebook))),
        notes=tuple(map(str, notebook["notes"])),
        past=_before(notebook.get("past")),
    )


def _attempt(attempt: dict[str, Any]) -> Attempt:
    failure, memory = attempt["failure"], attempt["memory"]
    return Attempt(
        number=int(attempt["number"]),
        outcome=Outcome(attempt["outcome"]),
        started=attempt["started"] and datetime.fromisoformat(attempt["started"]),
        seconds=_finite(attempt["seconds"]),
        failures=(_failure(failure),) if failure else (),
        executed=attempt["executed"] and str(attempt["executed"]),
        log=attempt["log"] and str(attempt["log"]),
        memory=None if memory is None else int(memory),
    )


def _before(past: dict[str, Any] | None) -> Past | None:
    if past is None:
        return None
    names = [past["run"], past["commit"] or "0"]
    if not all(_PLAIN.fullmatch(name) for name in names):  # they stand in Markdown as they are
        raise ValueError(f"{names} are not a run and a commit")
    return Past(
        outcome=Outcome(past["outcome"]),
        run=past["run"],
        commit=past["commit"],
        runs=int(past["runs"]),
        row=int(past["row"]),
        flakiness=_finite(past["flakiness"]),
        seconds=None if past["seconds"] is None else _finite(past["seconds"]),
    )


def _finite(value: object) -> float:
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a number")
    return number


def _failure(failure: dict[str, Any]) -> Failure:
    return Failure(
        category=Category(failure["category"]),
        name=str(failure["name"]),
        message=str(failure["message"]),
        traceback=str(failure["traceback"]),
        signature=str(failure["signature"]),
        cell=None if failure["cell"] is None else int(failure["cell"]),
        source=str(failure.get("source") or ""),
    )


def _task(path: str, kernel: str, root: Path) -> Task:
    return Task(path=path, file=root / path, why="", kernel=kernel)


def _past(run: PastRun, results: list[PastResult], root: Path) -> Run:
    """Return a run of the history; one whose end was never recorded counts as interrupted."""
    return Run(
        id=run.id,
        started=run.started,
        seconds=run.seconds or 0.0,
        root=root,
        output_dir=Path(run.output_dir),
        commit=run.commit,
        host=run.host,
        version=run.version,
        python=run.python,
        jobs=run.jobs,
        results=tuple(_past_result(each, root) for each in results),
        excluded=(),
        interrupted=run.interrupted or run.seconds is None,
    )


def _past_result(result: PastResult, root: Path) -> Result:
    outcome = Outcome(result.outcome or Outcome.SKIPPED)
    return Result(
        task=_task(result.path, result.kernel, root),
        outcome=outcome,
        reason=result.reason or (None if result.outcome else "no result was recorded"),
        kernel=result.kernel,
        seconds=result.seconds,
        attempts=result.attempts,
        tries=result.tries,
        failures=tuple(map(_past_failure, result.failures)),
    )


def _past_failure(failure: PastFailure) -> Failure:
    return Failure(
        category=Category(failure.category),
        name=failure.name,
        message=failure.message,
        traceback=failure.traceback,
        signature=failure.signature,
        cell=failure.cell,
        cell_id=failure.cell_id,
        source=failure.source,
    )
