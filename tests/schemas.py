"""JSON schemas by what they mean, not by how a release of a library spells them."""

from __future__ import annotations

import json
from typing import Any

_WORDS = frozenset({"$schema", "$defs", "title", "description", "examples"})
"""Keywords that accept and refuse nothing: they are told, and named, as the library likes."""
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})
"""Keywords whose values are schemas by names of ours, which can be `title` as well."""
_SETS = frozenset({"required", "enum", "type", "anyOf", "oneOf", "allOf"})


def meaning(schema: dict[str, Any]) -> Any:  # noqa: ANN401  (JSON)
    """Return what the schema accepts, in one spelling for all.

    References are followed, alternatives sorted, `type: [a, b]` is `anyOf`, a `const` an `enum`
    of one; a `default` that is an empty container is dropped (msgspec tells those of a factory
    since 0.23 only; that the property may be missing stands in `required`).

    Raises:
        KeyError: A reference leads nowhere.
        RecursionError: A class holds itself; ours do not.
    """
    return _meaning(schema, schema.get("$defs", {}))


def _meaning(part: Any, defined: dict[str, Any]) -> Any:  # noqa: ANN401
    if not isinstance(part, dict):
        return part
    made: dict[str, Any] = {}
    for key, value in part.items():
        if key in _WORDS or (key == "default" and value in ({}, [], ())):
            continue
        if key == "$ref":
            made |= _meaning(defined[value.removeprefix("#/$defs/")], defined)
        elif key in _NAMED:
            made[key] = {name: _meaning(each, defined) for name, each in value.items()}
        elif key == "const":
            made["enum"] = [json.dumps(value)]
        elif key == "type" and isinstance(value, list):
            made["anyOf"] = _sorted([{"type": each} for each in value])
        elif key in _SETS and isinstance(value, list):
            made[key] = _sorted([_meaning(each, defined) for each in value])
        elif isinstance(value, list):
            made[key] = [_meaning(each, defined) for each in value]
        else:
            made[key] = _meaning(value, defined) if key != "default" else value
    return made


def _sorted(alternatives: list[Any]) -> list[str]:
    return sorted({json.dumps(each, sort_keys=True) for each in alternatives})
