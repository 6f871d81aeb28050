"""What can be injected into a notebook as a parameter, and what cannot, said before anything runs.

A parameter goes into the code of a cell and into the metadata of the executed copy, which is
JSON. A date becomes text, as with papermill; so do paths and keys that are all whole numbers.
"""

from __future__ import annotations

import re
from datetime import date, time
from numbers import Integral, Real
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"[^\W\d][\w.]*")
"""The name of a variable, in any language."""

_DEEP = 50
_MANY = 1_000_000


class _UnfitError(Exception):
    """Why a value cannot be injected."""


def injectable(parameters: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return parameters as a notebook can hold them.

    Args:
        parameters: Of the command line, YAML, TOML or Python.
        where: Who gives them, for the error.

    Raises:
        UsageError: A name is not a variable's, or a value is not text, a number, a boolean, null,
            or a list or mapping of such; or it holds itself.
    """
    made = {}
    for name, value in parameters.items():
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{where}: parameter {name!r} is not the name of a variable",
                hint="Start with a letter; letters, digits and _ may follow.",
            )
        try:
            made[name] = _Taking().take(value, name, ())
        except _UnfitError as error:
            raise UsageError(
                f"{where}: parameter {name!r} cannot be injected: {error}",
                hint="Use text, numbers, true, false and null, and lists and mappings of them.",
            ) from error
    return made


class _Taking:
    """Takes one parameter, and counts what is in it: an alias of YAML can stand for millions."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, value: Any, place: str, inside: tuple[int, ...]) -> Any:  # noqa: ANN401
        """Return a value as JSON can hold it.

        Args:
            value: Whatever somebody gave.
            place: Where it stands, for the error.
            inside: The lists and mappings around it, each by its identity.
        """
        self._count += 1
        if self._count > _MANY:
            raise _UnfitError(f"it holds more than {_MANY:,} values")
        if not isinstance(value, dict | list | tuple):
            return _single(value, place)
        if id(value) in inside:
            raise _UnfitError(f"{place} holds itself")
        if len(inside) >= _DEEP:
            raise _UnfitError(f"it is nested more than {_DEEP} deep")
        inside = (*inside, id(value))
        if isinstance(value, dict):
            names = _names(value, place)
            return {
                name: self.take(each, f"{place}.{name}", inside)
                for name, each in zip(names, value.values(), strict=True)
            }
        return [self.take(each, f"{place}[{at}]", inside) for at, each in enumerate(value)]


def _single(value: object, place: str) -> object:
    match value:
        case None | bool():
            return value
        case str():  # of an enumeration too, whose own str() is another
            return _text(str.__str__(value), place)
        case PurePath():
            return _text(str(value), place)
        case date() | time():
            return value.isoformat()
        case Integral():  # NumPy's too
            return int(value)
        case Real():
            return float(value)
    raise _UnfitError(f"{place} is of the type {type(value).__name__}")


def _names(mapping: dict[Any, Any], place: str) -> list[str]:
    if all(isinstance(name, str) for name in mapping):
        return [_text(name, place) for name in mapping]
    if all(isinstance(name, int) and not isinstance(name, bool) for name in mapping):
        return [str(name) for name in mapping]
    kinds = sorted({type(name).__name__ for name in mapping})
    raise _UnfitError(f"{place} has keys that are not text ({', '.join(kinds)})")


def _text(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _UnfitError(f"{place} is not valid Unicode text") from error
    return value
