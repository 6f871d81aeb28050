"""Which settings of a task make a new fingerprint."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from nbpipe.impact import fingerprint
from nbpipe.model import Limits, Prerun, Task

TASK = Task(
    path="a.ipynb",
    file=Path("/c/a.ipynb"),
    why="",
    kernel="python3",
    language="python",
    prerun=(Prerun(name="p.py", language="python", source="1"),),
)

OTHER: dict[type, dict[str, Any]] = {
    Task: {
        "kernel": "ir",
        "language": "r",
        "limits": Limits(shutdown="immediate"),
        "parameters": {"x": 1},
        "prerun": (Prerun(name="p.py", language="python", source="2"),),
        "all_errors": True,
        "allow_errors": True,
        "threads": 4,
        "environ": {"PYTHONNOUSERSITE": "1"},
        "hidden": ("TOKEN",),
    },
    Limits: {"shutdown": "immediate"},
    Prerun: {"language": "r", "source": "2"},
}
"""Every field that can change what a notebook does, with another value."""


def digest(task: Task = TASK, argv: tuple[str, ...] = ("python", "-m", "x"), **own: str) -> str:
    return fingerprint.settings(task, argv, own)


@pytest.mark.parametrize("kind", [Task, Limits, Prerun])
def test_of_every_field_it_is_decided_whether_it_counts(kind: type) -> None:
    """A new one: add it above, or to `WITHOUT_EFFECT` where it cannot change a result."""
    names = {each.name for each in fields(kind)}
    assert names == OTHER[kind].keys() | fingerprint.WITHOUT_EFFECT[kind]
    assert not OTHER[kind].keys() & fingerprint.WITHOUT_EFFECT[kind]


def counted(kind: type) -> set[type]:
    """Return every dataclass of which something counts in a task, however deep."""
    hints = get_type_hints(kind)
    found = {kind}
    for name in hints.keys() - fingerprint.WITHOUT_EFFECT.get(kind, frozenset()):
        for inner in (hints[name], *get_args(hints[name])):
            if is_dataclass(inner) and isinstance(inner, type):
                found |= counted(inner)
    return found


def test_of_every_dataclass_in_a_task_it_is_decided_what_counts() -> None:
    """A new one: say what of it counts, in `OTHER` and `WITHOUT_EFFECT`."""
    assert counted(Task) == OTHER.keys() == fingerprint.WITHOUT_EFFECT.keys()


@pytest.mark.parametrize("name", OTHER[Task])
def test_what_counts_makes_another_digest(name: str) -> None:
    assert digest(replace(TASK, **{name: OTHER[Task][name]})) != digest()


@pytest.mark.parametrize("name", OTHER[Prerun])
def test_what_counts_of_code_that_runs_first_does_too(name: str) -> None:
    other = replace(TASK.prerun[0], **{name: OTHER[Prerun][name]})
    assert digest(replace(TASK, prerun=(other,))) != digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "b.ipynb", "file": Path("/d/b.ipynb"), "why": "x", "notes": ("n",)},
        {"retries": 3, "slots": 2, "groups": ("g",), "memory": 5, "turn": "long", "cores": 2},
        {"limits": Limits(cell_seconds=1, notebook_seconds=2, grace_seconds=3, output_bytes=4)},
        {"prerun": (Prerun(name="q.py", language="python", source="1"),)},
        {"user_site": "on"},
    ],
)
def test_what_cannot_change_a_result_makes_none(changes: dict[str, Any]) -> None:
    assert digest(replace(TASK, **changes)) == digest()


def test_the_kernelspec_counts_but_for_where_its_interpreter_lies() -> None:
    assert digest(argv=("/opt/python", "-m", "x")) == digest()
    assert digest(argv=("python", "-m", "y")) != digest()
    assert digest(A="1") != digest()
