"""The keys of the configuration file: their types and meanings, read from the settings' source.

What `settings` says about a field *is* the documentation, so it cannot get stale. No key is known
by its name here.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from nbpipe.config.settings import Settings, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    date: "date",
    Any: "value",
}
_BOUNDS = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "min_length": "not empty",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file."""

    table: str
    """As its header is written: `[test]`, `[[test.overrides]]`; empty at the top."""
    name: str
    type: str
    """For people."""
    meaning: str
    required: bool
    default: Any


def keys(kind: type[Table] = Settings, table: str = "", where: str = "") -> Iterator[Key]:
    """Yield every key of a table, then those of the tables in it."""
    meanings = _meanings(kind)
    inner: list[tuple[type[Table], str, str]] = []
    for field in msgspec.structs.fields(kind):
        dotted = f"{where}.{field.encode_name}" if where else field.encode_name
        if nested := table_in(field.type):
            is_list = get_origin(field.type) is tuple
            if get_origin(field.type) is dict:
                dotted = f"{dotted}.NAME"
            inner.append((nested, f"[[{dotted}]]" if is_list else f"[{dotted}]", dotted))
            continue
        yield Key(
            table,
            field.encode_name,
            type_in_words(field.type),
            meanings.get(field.name, ""),
            field.required,
            default(field),
        )
    for nested, header, dotted in inner:
        yield from keys(nested, header, dotted)


def table_in(kind: Any) -> type[Table] | None:  # noqa: ANN401  (a type of any form)
    """Return the table that a field holds, alone, in a list or by names; None for a value."""
    element = kind
    if (origin := get_origin(kind)) in {tuple, dict}:
        element = get_args(kind)[0 if origin is tuple else 1]
    return element if isinstance(element, type) and issubclass(element, Table) else None


def default(field: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401
    """Return a field's default, None for one that has none."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def type_in_words(kind: Any) -> str:  # noqa: ANN401
    """Return what is accepted, in TOML's words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return f"{type_in_words(arguments[0])}{_bounds(kind.__metadata__)}"
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in arguments)
    if origin in {Union, UnionType}:
        return " or ".join(type_in_words(each) for each in arguments if each is not type(None))
    if origin is tuple:
        return f"list of {type_in_words(arguments[0])}"
    if origin is dict:
        return f"table: name = {type_in_words(arguments[1])}"
    return _WORDS.get(kind, str(kind))


def _bounds(metadata: tuple[Any, ...]) -> str:
    limits = [
        words.format(value)
        for meta in metadata
        for name, words in _BOUNDS.items()
        if (value := getattr(meta, name, None)) is not None
    ]
    return f", {' and '.join(limits)}" if limits else ""


def _meanings(kind: type[Table]) -> dict[str, str]:
    """Return the docstrings of a class's attributes: the text that follows each of them."""
    tree = ast.parse(inspect.getsource(kind))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    meanings = {}
    for field, after in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            meanings[field.target.id] = " ".join(after.value.value.split())
    return meanings
