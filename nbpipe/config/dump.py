"""The settings that hold, each with its origin, and what every key means: as text and as values."""

from __future__ import annotations

import json
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.config import keys
from nbpipe.config.settings import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbpipe.config.files import Config

FORMAT = 1
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def describe(described: Iterable[keys.Key]) -> str:
    """Return the documentation of the file."""
    lines = [
        "The keys of nbpipe.toml; in pyproject.toml they stand below [tool.nbpipe].",
        'Times in seconds may also be text with units: "90s", "10m", "1h30m".',
    ]
    for table, group in groupby(described, key=lambda key: key.table):
        lines += ["", table]
        for key in group:
            held = "required" if key.required else f"default: {toml(key.default)}"
            lines.append(f"  {key.name}  ({key.type}; {held})")
            lines += textwrap.wrap(
                key.meaning, 90, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
    return "\n".join(lines)


def keys_document(described: Iterable[keys.Key]) -> dict[str, Any]:
    """Return the same for programs."""
    entries = [
        {
            "table": key.table.strip("[]"),
            "key": key.name,
            "type": key.type,
            "required": key.required,
            "default": key.default,
            "meaning": key.meaning,
        }
        for key in described
    ]
    return {"format": FORMAT, "keys": entries}


def show(config: Config) -> str:
    """Return the settings as TOML, each with its origin in a comment."""
    lines = [f"# root: {config.root}", f"# file: {config.file or 'none; everything is a default'}"]
    origin = config.file.name if config.file else ""
    for header, entries in _tables(config.settings, config):
        lines += ["", header]
        texts = [_assignment(name, value) for name, value, _ in entries]
        width = min(max(map(len, texts)), 50)
        for text, (_, _, given) in zip(texts, entries, strict=True):
            lines.append(f"{text:{width}}  # {origin if given else 'default'}")
    return "\n".join(lines)


def _assignment(name: str, value: object) -> str:
    return f"# {name} is not set" if value is None else f"{name} = {toml(value)}"


def document(config: Config) -> dict[str, Any]:
    """Return the settings for programs, each with its origin."""
    settings = config.settings
    return {
        "format": FORMAT,
        "root": str(config.root),
        "file": str(config.file) if config.file else None,
        "settings": list(_values(settings, config)),
        "overrides": _plain(settings.test.overrides),
        "collections": _plain(settings.collection),
    }


def _values(table: Table, config: Config, names: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yield every key below a table with its value; a list of tables is the value of one key.

    What to descend into is read from the value itself, so that no key of any type is left out.
    """
    for field in msgspec.structs.fields(table):
        value, path = getattr(table, field.name), (*names, field.encode_name)
        if isinstance(value, Table):
            yield from _values(value, config, path)
        elif _by_name(value):
            for name, each in value.items():
                yield from _values(each, config, (*path, name))
        elif not (isinstance(value, dict) and keys.table_in(field.type)):
            given = ".".join(path) in config.given
            origin = str(config.file) if given else "default"
            yield {"key": _dotted(path), "value": _plain(value), "origin": origin}


def _plain(value: Any) -> Any:  # noqa: ANN401  (whatever a key holds)
    """Return a value as JSON and TOML know it; of a table in a list only what it sets."""
    if isinstance(value, Table):
        return {name: _plain(each) for name, each, _ in _set_in(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


_Entries = list[tuple[str, Any, bool]]
"""Key, value, and whether the file sets it."""


def _tables(
    table: Table, config: Config, names: tuple[str, ...] = ()
) -> Iterator[tuple[str, _Entries]]:
    """Yield each table's header with its entries; of a list's element only what it sets."""
    entries: _Entries = []
    inner: list[tuple[tuple[str, ...], Any]] = []
    for field in msgspec.structs.fields(table):
        value, path = getattr(table, field.name), (*names, field.encode_name)
        if keys.table_in(field.type):
            inner.append((path, value))
        else:
            entries.append((field.encode_name, value, ".".join(path) in config.given))
    if entries:
        yield f"[{_dotted(names)}]", entries
    for path, value in inner:
        if isinstance(value, tuple):
            for each in value:
                yield f"[[{_dotted(path)}]]", _set_in(each)
        elif isinstance(value, dict):
            for name, each in value.items():
                yield from _tables(each, config, (*path, name))
        else:
            yield from _tables(value, config, path)


def _by_name(value: object) -> bool:
    """Return whether that is `[TABLE.NAME]` for some names."""
    return isinstance(value, dict) and any(isinstance(each, Table) for each in value.values())


def _set_in(element: Table) -> _Entries:
    return [
        (field.encode_name, getattr(element, field.name), True)
        for field in msgspec.structs.fields(element)
        if field.required or getattr(element, field.name) != keys.default(field)
    ]


def toml(value: Any) -> str:  # noqa: ANN401  (whatever TOML holds)
    """Return a value as TOML writes it; what is not set has no form there and is `none`."""
    match value:
        case None:
            text = "none"
        case Table():
            text = toml(_plain(value))
        case bool():
            text = str(value).lower()
        case str():
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            text = f"[{', '.join(map(toml, value))}]"
        case dict():
            pairs = (f"{_key(name)} = {toml(each)}" for name, each in value.items())
            text = f"{{{', '.join(pairs)}}}"
        case _:
            text = str(value)  # numbers, dates and times
    return text


def _dotted(names: tuple[str, ...]) -> str:
    return ".".join(map(_key, names))


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else json.dumps(name, ensure_ascii=False)
