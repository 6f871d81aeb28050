from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.cluster import wire
from nbpipe.model import Category, Failure, Limits, Outcome, Prerun, Result, Task

TASK = Task(
    path="a/é b.ipynb",
    file=Path("/c/a/é b.ipynb"),
    why="*",
    kernel="python3",
    language="python",
    limits=Limits(cell_seconds=None, notebook_seconds=12.5),
    parameters={"n": 1, "x": [1.5, None, {"y": "z"}]},
    prerun=(Prerun(name="p.py", language="python", source="1"),),
    groups=("db",),
    notes=("a note",),
)


def test_tasks_survive_the_way() -> None:
    assert wire.decode_tasks(wire.encode([TASK, replace(TASK, path="b")])) == [
        TASK,
        replace(TASK, path="b"),
    ]


def test_a_result_survives_the_way() -> None:
    result = Result(
        task=TASK,
        outcome=Outcome.FAILED,
        kernel="python3",
        started=datetime(2026, 1, 31, 12, tzinfo=UTC),
        seconds=1.5,
        attempts=2,
        failures=(Failure(category=Category.NETWORK, name="E", message="m", cell=3),),
        executed="a/é b.ipynb",
        memory=1 << 30,
    )
    assert wire.decode_result(wire.encode(result)) == result


def paths(*groups: tuple[str, ...]) -> list[list[str]]:
    tasks = [replace(TASK, path=str(number), groups=each) for number, each in enumerate(groups)]
    return [[task.path for task in portion] for portion in wire.together(tasks)]


def test_notebooks_without_groups_may_run_apart() -> None:
    assert paths((), (), ()) == [["0"], ["1"], ["2"]]


def test_notebooks_of_one_group_stay_together() -> None:
    assert paths(("db",), (), ("db",)) == [["0", "2"], ["1"]]


def test_a_notebook_of_two_groups_joins_them() -> None:
    assert paths(("a",), ("b",), ("a", "b"), ("b",)) == [["0", "1", "2", "3"]]


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=3).map(tuple), max_size=12))
def test_every_notebook_is_in_one_portion_and_no_group_in_two(
    groups: list[tuple[str, ...]],
) -> None:
    tasks = [replace(TASK, path=str(number), groups=each) for number, each in enumerate(groups)]
    portions = wire.together(tasks)
    assert sorted(task.path for each in portions for task in each) == sorted(
        task.path for task in tasks
    )
    where: dict[str, int] = {}
    for number, portion in enumerate(portions):
        for group in {group for task in portion for group in task.groups}:
            assert where.setdefault(group, number) == number


@pytest.mark.parametrize(
    "name", [b"a.ipynb", "\u00e9.ipynb".encode(), b"b\xff/a.ipynb", b"\xc3.ipynb"]
)
def test_a_path_arrives_though_its_name_is_not_text(name: bytes) -> None:
    path = Path(os.fsdecode(name))
    text = wire.path_text(path)
    assert text.encode("utf-8")  # as JSON holds it
    assert wire.path_of(text) == path


def test_a_path_that_is_text_can_be_read_in_the_file() -> None:
    assert wire.path_text(Path("notebooks/\u00e9.ipynb")) == "notebooks/\u00e9.ipynb"
