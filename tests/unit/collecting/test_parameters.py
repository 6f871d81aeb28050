"""Parameters that can be injected, and those that are refused before anything runs."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbpipe.collecting.tasks import injectable
from nbpipe.errors import UsageError


class Color(str, enum.Enum):  # noqa: UP042  (whose str() is not its value)
    RED = "red"


@pytest.mark.parametrize(
    ("value", "injected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("é", "é"),
        ([1, (2, "x")], [1, [2, "x"]]),
        ({"a": {"b": None}}, {"a": {"b": None}}),
        ({2020: "x"}, {"2020": "x"}),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00+00:00"),
        (Path("a/b"), "a/b"),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (Color.RED, "red"),
    ],
)
def test_what_json_holds_is_injected(value: object, injected: object) -> None:
    made = injectable({"alpha": value}, where="here")["alpha"]
    assert made == injected
    assert type(made) is type(injected)


LOOP: list[Any] = []
LOOP.append({"again": LOOP})
DEEP: list[Any] = []
for _ in range(60):
    DEEP = [DEEP]
MANY: list[Any] = [0] * 10
for _ in range(6):
    MANY = [MANY] * 10


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1, 2}, "alpha is of the type set"),
        (b"x", "alpha is of the type bytes"),
        (1j, "alpha is of the type complex"),
        ({"a": [1, {2}]}, "alpha.a[1] is of the type set"),
        ({1: "x", "b": "y"}, "alpha has keys that are not text (int, str)"),
        ({None: 1}, "alpha has keys that are not text (NoneType)"),
        ({(1, 2): 1}, "alpha has keys that are not text (tuple)"),
        (LOOP, "alpha[0].again holds itself"),
        (DEEP, "it is nested more than 50 deep"),
        (MANY, "it holds more than 1,000,000 values"),
        ("\ud83d", "alpha is not valid Unicode text"),
        ({"\udcff": 1}, "alpha is not valid Unicode text"),
    ],
)
def test_what_it_does_not_hold_is_refused_with_its_place(value: object, why: str) -> None:
    with pytest.raises(UsageError) as raised:
        injectable({"alpha": value}, where="params.yml")
    told = str(raised.value).partition("\n")[0]
    assert told == f"params.yml: parameter 'alpha' cannot be injected: {why}"


@pytest.mark.parametrize("name", ["a b", "1a", "", "a-b", "x;y", "\udcff"])
def test_a_name_is_a_variables(name: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a variable"):
        injectable({name: 1}, where="here")


def test_one_value_in_two_places_is_no_loop() -> None:
    shared = [1]
    assert injectable({"a": [shared, shared]}, where="here") == {"a": [[1], [1]]}
