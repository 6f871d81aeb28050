"""`nbpipe config` drops nothing: every key of every table of the settings is shown, as it was read.

The samples are made from the types, so a table or key that is added later is tested, too.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest

from nbpipe import cli
from nbpipe.config import load
from nbpipe.config import settings as declared
from nbpipe.config.dump import toml
from nbpipe.config.keys import default, keys, table_in
from nbpipe.config.settings import Settings, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLES: tuple[Any, ...] = (
    *(7, 0.25, "16G", "sample", "NBP209", "3.11", "off", "junit=x.xml", "env:SAMPLE", True, False),
    *(dt.date(2026, 1, 31), {"key": "value"}, {"key": ["value"]}),
)
"""Of these one is right for each key, and not its default."""


def sample(kind: Any, usual: object = None) -> Any:  # noqa: ANN401  (a type of any form)
    """Return a value of a type, as TOML has it, that is not the default."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Table):
        return table(kind)
    if origin is tuple:
        return [sample(arguments[0])]
    if origin is dict:
        name = "a name" if accepted("a name", arguments[0]) else "a.name"
        return {name: sample(arguments[1])}
    if origin in {Annotated, Union, UnionType} and get_origin(arguments[0]) is tuple:
        return sample(arguments[0])
    fitting = (each for each in (*choices(kind), *SAMPLES) if accepted(each, kind))
    value = next((each for each in fitting if each != usual), None)
    assert value is not None, f"no sample fits {kind}; add one"
    return value


def choices(kind: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the words that a type names."""
    for inner in get_args(kind):
        if get_origin(kind) is Literal:
            yield inner
        yield from choices(inner)


def accepted(value: object, kind: Any) -> bool:  # noqa: ANN401
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def table(kind: type[Table]) -> dict[str, Any]:
    """Return a table in which every key is set, none to its default."""
    return {
        field.encode_name: sample(field.type, default(field))
        for field in msgspec.structs.fields(kind)
    }


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401
    """Yield where each value stands, through tables and lists of tables."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for each in value:
            yield from leaves(each, path)
    else:
        yield path


def rebuilt(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the file that the entries of `nbpipe config --json` describe."""
    found: dict[str, Any] = {}
    for entry in entries:
        (*path, name) = parts(entry["key"])
        inner = found
        for each in path:
            inner = inner.setdefault(each, {})
        inner[name] = entry["value"]
    return found


def parts(dotted: str) -> list[str]:
    """Return the names of a dotted key, as TOML reads them."""
    inner, names = tomllib.loads(f"{dotted} = 0"), []
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return names


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Write a configuration in which every key of every table is set; return what it says."""
    monkeypatch.chdir(tmp_path)
    tables = table(Settings)
    text = "\n".join(f"{name} = {toml(value)}" for name, value in tables.items())
    (tmp_path / "nbpipe.toml").write_text(text)
    return tables


def config_as_json(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401  (JSON)
    assert cli.run(["config", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def reachable(kind: type[Table]) -> Iterator[type[Table]]:
    """Yield every table that can stand in one."""
    for field in msgspec.structs.fields(kind):
        if inner := table_in(field.type):
            yield inner
            yield from reachable(inner)


def test_the_sample_has_every_key_of_every_table(full: dict[str, Any]) -> None:
    declarations = [each for each in vars(declared).values() if isinstance(each, type)]
    tables = {each for each in declarations if issubclass(each, Table)} - {Table, Settings}
    assert tables == {*reachable(Settings)}
    found = {path[-1] for path in leaves(full)} | {path[-2] for path in leaves(full)}
    assert {key.name for key in keys()} <= found


def test_json_holds_every_key_with_its_value(
    full: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_as_json(capsys)
    assert rebuilt(document["settings"]) == json.loads(json.dumps(full, default=str))
    assert {each["origin"] for each in document["settings"]} == {str(tmp_path / "nbpipe.toml")}


def test_json_lists_overrides_and_collections_by_themselves(
    full: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_as_json(capsys)
    assert document["overrides"] == full["test"]["overrides"]
    assert document["collections"] == full["collection"]


@pytest.mark.usefixtures("full")
def test_toml_is_read_back_as_the_same_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load(tmp_path)
    assert cli.run(["config"]) == 0
    (tmp_path / "nbpipe.toml").write_text(capsys.readouterr().out)
    after = load(tmp_path)
    assert after.settings == before.settings
    assert after.given == before.given


def test_without_a_file_every_key_that_can_be_there_is_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    entries = config_as_json(capsys)["settings"]
    tables = {key.table for key in keys() if "[[" not in key.table and "NAME" not in key.table}
    plain = [
        key for key in keys() if key.table in tables - {"[collection.keep]", "[collection.limits]"}
    ]
    expected = {f"{key.table.strip('[]')}.{key.name}" for key in plain}
    assert {each["key"] for each in entries} == expected | {"test.overrides", "collection"}
    assert {each["origin"] for each in entries} == {"default"}
