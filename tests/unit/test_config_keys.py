"""The documentation of the configuration is made of its source, and is complete."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Annotated, Any, Literal

import msgspec
import pytest

from nbpipe.config.dump import toml
from nbpipe.config.keys import Key, keys, type_in_words
from nbpipe.config.settings import Count, Megabytes, Name, Override, Seconds, Table, TestSettings


def test_every_key_says_what_it_means() -> None:
    assert [key.name for key in keys() if not key.meaning] == []


def test_every_key_of_the_settings_is_described() -> None:
    described = [(key.table, key.name) for key in keys() if "test" in key.table]
    expected = [("[test]", name) for name in TestSettings.__struct_encode_fields__]
    expected.remove(("[test]", "overrides"))
    expected += [("[[test.overrides]]", name) for name in Override.__struct_encode_fields__]
    assert described == expected


def test_a_key_has_its_type_its_default_and_its_meaning() -> None:
    (timeout,) = (key for key in keys() if (key.table, key.name) == ("[test]", "timeout"))
    assert timeout == Key(
        table="[test]",
        name="timeout",
        type="number, more than 0",
        meaning="Seconds for one cell.",
        required=False,
        default=600.0,
    )


def test_a_key_that_must_be_there_is_required() -> None:
    required = [(key.table, key.name) for key in keys() if key.required]
    collection = [("[[collection]]", name) for name in ("name", "origin", "root")]
    reference = [
        *(("[[reference.NAME.files]]", "paths"), ("[[reference.NAME.columns]]", "names")),
        ("[[reference.NAME.performance]]", "measure"),
        *(("[[reference.NAME.expected]]", name) for name in ("paths", "until", "reason")),
    ]
    assert required == [("[[test.overrides]]", "paths"), *reference, *collection]


def test_every_key_has_a_meaning() -> None:
    assert [(key.table, key.name) for key in keys() if not key.meaning] == []


class Inner(Table, frozen=True):
    """A table in a table."""

    depth: int
    """How deep."""
    plain: str = ""


class Outer(Table, frozen=True):
    """The table around it."""

    inner_table: Inner
    """Not a key of its own."""
    a_list: tuple[str, ...] = ()
    """The first line.

    The second one.
    """


def test_tables_in_tables_follow_their_table() -> None:
    assert [(key.table, key.name, key.meaning) for key in keys(Outer)] == [
        ("", "a-list", "The first line. The second one."),
        ("[inner-table]", "depth", "How deep."),
        ("[inner-table]", "plain", ""),
    ]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (Name | None, "text, not empty"),
        (Seconds, "number, more than 0"),
        (Megabytes | None, "number, more than 0"),
        (Count, "whole number, at least 0"),
        (tuple[str, ...], "list of text"),
        (dict[str, Any], "table: name = value"),
        (Literal["a", "b"] | None, '"a" or "b"'),
        (Annotated[int, msgspec.Meta(ge=1, le=9)], "whole number, at least 1 and at most 9"),
    ],
)
def test_types_are_told_in_words(kind: object, words: str) -> None:
    assert type_in_words(kind) == words


@pytest.mark.parametrize(
    "value",
    [
        True,
        3,
        600.0,
        1e300,
        'quo"te\\ and é\n\t\x1b\x7f',
        [1, "a", [True]],
        {"plain-key": 1, "odd key": {"": "é"}},
        dt.date(2026, 1, 31),
    ],
)
def test_a_value_is_written_so_that_toml_reads_it_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}")["x"] == value
