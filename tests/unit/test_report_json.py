from __future__ import annotations

import io
import json
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from nbpipe.model import Category, CellTime, Excluded, Failure, Outcome, Result, Run, Task
from nbpipe.reports.json import JsonReporter, document, schema

FAILURE = Failure(
    category=Category.MISSING_PACKAGE,
    name="ModuleNotFoundError",
    message="No module named 'x'",
    traceback="Traceback",
    signature="ModuleNotFoundError: No module named 'x'",
    cell=3,
    cell_id="c3",
    source="import x",
)


def task(path: str, *, all_errors: bool = False) -> Task:
    return Task(path=path, file=Path("/c/x"), why="", kernel="python3", all_errors=all_errors)


PASSED = Result(
    task=task("a.ipynb"),
    outcome=Outcome.PASSED,
    kernel="python3",
    seconds=1.23456,
    attempts=1,
    cells_total=2,
    cells_executed=2,
    executed="executed/a.ipynb",
    cell_times=(CellTime(cell=1, number=1, seconds=0.5),),
)
FAILED = Result(
    task=task("a/b.ipynb"),
    outcome=Outcome.FAILED,
    kernel="python3",
    seconds=1.2,
    attempts=1,
    cells_total=10,
    cells_executed=4,
    failures=(FAILURE,),
    executed="executed/a/b.ipynb",
    log="logs/a/b.log",
    memory=45_000_000,
    notes=("a note",),
)
FLAKY = replace(FAILED, outcome=Outcome.FLAKY, attempts=2)
SKIPPED = Result(task=task("s.ipynb"), outcome=Outcome.SKIPPED, reason="no R", kernel="ir")


def run(*results: Result) -> Run:
    return Run(
        id="r1",
        started=datetime(2026, 1, 31, 13, 0, 0, 999, tzinfo=timezone(timedelta(hours=1))),
        seconds=12.3,
        root=Path("/c"),
        output_dir=Path("/out"),
        commit=None,
        host="h",
        version="1",
        python="3.11.7",
        jobs=2,
        results=results,
        excluded=(Excluded(path="T.ipynb", reason="excluded by default: *Template.ipynb"),),
    )


def written(a_run: Run) -> Any:  # noqa: ANN401  (JSON)
    stream = io.StringIO()
    JsonReporter().report(a_run, stream)
    return json.loads(stream.getvalue().encode("utf-8"))


def problems(report: object) -> list[str]:
    return [error.message for error in Draft202012Validator(schema()).iter_errors(report)]


def test_the_report_is_the_contracts() -> None:
    report = written(run(FAILED, PASSED))
    assert report == {
        "format": 1,
        "run": {
            "id": "r1",
            "started": "2026-01-31T12:00:00Z",
            "seconds": 12.3,
            "commit": None,
            "folder": None,
            "host": "h",
            "version": "1",
            "python": "3.11.7",
            "jobs": 2,
            "threads": None,
            "interrupted": False,
            "output_dir": "/out",
        },
        "summary": {"total": 2, "passed": 1, "failed": 1, "flaky": 0, "skipped": 0},
        "notebooks": [
            {
                "path": "a/b.ipynb",
                "outcome": "failed",
                "reason": None,
                "kernel": "python3",
                "seconds": 1.2,
                "attempts": 1,
                "cells": {"total": 10, "executed": 4},
                "cell_seconds": [],
                "failure": {
                    "category": "missing-package",
                    "cell": 3,
                    "cell_id": "c3",
                    "name": "ModuleNotFoundError",
                    "message": "No module named 'x'",
                    "traceback": "Traceback",
                    "signature": "ModuleNotFoundError: No module named 'x'",
                    "source": "import x",
                    "line": None,
                },
                "executed": "executed/a/b.ipynb",
                "log": "logs/a/b.log",
                "memory": 45_000_000,
                "threads": None,
                "home": {},
                "shadowed": [],
                "notes": ["a note"],
            },
            {
                "path": "a.ipynb",
                "outcome": "passed",
                "reason": None,
                "kernel": "python3",
                "seconds": 1.235,
                "attempts": 1,
                "cells": {"total": 2, "executed": 2},
                "cell_seconds": [{"cell": 1, "number": 1, "seconds": 0.5}],
                "failure": None,
                "executed": "executed/a.ipynb",
                "log": None,
                "memory": None,
                "threads": None,
                "home": {},
                "shadowed": [],
                "notes": [],
            },
        ],
        "excluded": [{"path": "T.ipynb", "reason": "excluded by default: *Template.ipynb"}],
    }


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "results", [(), (PASSED,), (PASSED, FAILED, FLAKY, SKIPPED)], ids=["none", "one", "all kinds"]
)
def test_every_report_keeps_to_the_schema(results: tuple[Result, ...]) -> None:
    assert problems(written(run(*results))) == []


@pytest.mark.parametrize("category", list(Category))
def test_every_category_is_in_the_schema(category: Category) -> None:
    failed = replace(FAILED, failures=(replace(FAILURE, category=category),))
    assert problems(document(run(failed))) == []


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("format",), 2),
        (("more",), 1),
        (("run", "started"), "2026-01-31T13:00:00+01:00"),
        (("run", "jobs"), 0),
        (("run", "commit"), 5),
        (("summary", "errors"), 0),
        (("notebooks", 0, "outcome"), "broken"),
        (("notebooks", 0, "failure"), None),
        (("notebooks", 0, "failure", "category"), "bad luck"),
        (("notebooks", 0, "failure", "cell"), -1),
        (("notebooks", 0, "failure", "line"), 0),
        (("notebooks", 0, "failure", "more"), ""),
        (("notebooks", 0, "failures"), []),
        (("notebooks", 1, "reason"), None),
        (("notebooks", 1, "reason"), ""),
        (("notebooks", 2, "failure"), document(run(FAILED))["notebooks"][0]["failure"]),
        (("excluded", 0, "reason"), ""),
    ],
)
def test_the_schema_refuses_what_is_wrong(keys: tuple[Any, ...], value: object) -> None:
    report = deepcopy(document(run(FAILED, SKIPPED, PASSED)))
    *parents, last = keys
    target: Any = report
    for key in parents:
        target = target[key]
    target[last] = value
    assert len(problems(report)) == 1


@pytest.mark.parametrize("key", ["format", "run", "summary", "notebooks", "excluded"])
def test_the_schema_refuses_what_misses(key: str) -> None:
    report = document(run(FAILED))
    del report[key]
    assert problems(report) == [f"'{key}' is a required property"]


def test_all_failures_are_there_when_there_are_several() -> None:
    second = replace(FAILURE, cell=5)
    report = written(run(replace(FAILED, failures=(FAILURE, second))))
    notebook = report["notebooks"][0]
    assert [failure["cell"] for failure in notebook["failures"]] == [3, 5]
    assert notebook["failure"]["cell"] == 3
    assert problems(report) == []


def test_the_only_failure_is_listed_too_where_all_were_asked_for() -> None:
    asked = replace(FAILED, task=task("a.ipynb", all_errors=True))
    report = written(run(asked))
    assert [failure["cell"] for failure in report["notebooks"][0]["failures"]] == [3]
    assert problems(report) == []


def test_names_that_are_no_text_become_valid_utf8() -> None:
    odd = replace(FAILED, task=task("bad\udcff\ud83d.ipynb"), notes=("\x00\x1b[31m😀]]>%0A",))
    notebook = written(run(odd))["notebooks"][0]
    assert notebook["path"] == "bad\\udcff\\ud83d.ipynb"
    assert notebook["notes"] == ["\x00\x1b[31m😀]]>%0A"]


def test_each_notebook_is_one_line_to_search_in() -> None:
    stream = io.StringIO()
    JsonReporter().report(run(FAILED, SKIPPED), stream)
    lines = [line for line in stream.getvalue().splitlines() if '"path": ' in line]
    assert [json.loads(line.rstrip(","))["path"] for line in lines] == [
        "a/b.ipynb",
        "s.ipynb",
        "T.ipynb",
    ]
