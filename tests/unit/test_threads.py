"""How many threads the libraries of a notebook get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbpipe.execution.kernels import capacity
from nbpipe.model import Task


def share(wanted: Any = "auto", **given: Any) -> int | None:  # noqa: ANN401
    values = {"slots": 1, "at_once": 4, "cores": 8, "environ": {}, **given}
    return capacity.share(wanted, **values)


def task(name: str, **fields: Any) -> Task:  # noqa: ANN401
    return Task(path=name, file=Path("/", name), why="", kernel="python3", **fields)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 2),
        ({"slots": 2}, 4),
        ({"slots": 9}, 8),
        ({"at_once": 3}, 2),
        ({"at_once": 20}, 1),
        ({"at_once": 1}, None),
        ({"wanted": "off"}, None),
        ({"wanted": 5}, 5),
        ({"wanted": 5, "at_once": 1}, 5),
        ({"environ": {"SLURM_JOB_ID": "1"}}, None),
        ({"environ": {"PBS_JOBID": "1.server"}}, None),
        ({"environ": {"LSB_JOBID": ""}}, 2),
        ({"environ": {"SLURM_JOB_ID": "1"}, "wanted": 5}, 5),
    ],
)
def test_a_slot_gets_its_share_of_the_cores(given: dict[str, Any], expected: int | None) -> None:
    assert share(**given) == expected


def test_no_more_slots_share_than_are_in_use() -> None:
    tasks = (task("a"), task("b", slots=2), task("c", skip="not today"))
    found = capacity.shared(tasks, jobs=8, cores=6, environ={})
    assert [each.cores for each in found] == [2, 4, 2]
    alone = capacity.shared((task("a"), task("c", skip="no")), jobs=8, cores=6, environ={})
    assert alone[0].cores is None


def test_a_variable_that_is_set_is_left_alone() -> None:
    found = capacity.variables(2, {"RAYON_NUM_THREADS": "7"}, {"MKL_NUM_THREADS": "3"})
    assert found == dict.fromkeys(
        set(capacity.VARIABLES) - {"RAYON_NUM_THREADS", "MKL_NUM_THREADS"}, "2"
    )
    assert capacity.variables(None, {}, {}) == {}


def test_what_follows_a_variable_that_is_set_follows_it() -> None:
    found = capacity.variables(2, {"OMP_NUM_THREADS": "7"}, {})
    assert "OPENBLAS_NUM_THREADS" not in found
    assert found["POLARS_MAX_THREADS"] == "2"
