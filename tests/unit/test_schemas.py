"""Two schemas are the same when they accept the same: no drift is missed, no spelling counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from schemas import meaning


class Part(msgspec.Struct):
    """A part."""

    name: str
    size: int | None = None


class Whole(msgspec.Struct):
    """A whole."""

    title: str
    kind: str | None
    parts: tuple[Part, ...] = ()
    notes: dict[str, str] = msgspec.field(default_factory=dict)


MADE = msgspec.json.schema(Whole)

BY_HAND: dict[str, Any] = {
    "description": "Told in other words.",
    "type": "object",
    "required": ["kind", "title"],
    "properties": {
        "notes": {"type": "object", "additionalProperties": {"type": "string"}},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "size": {"type": ["null", "integer"], "default": None},
                    "name": {"type": "string"},
                },
                "required": ["name"],
            },
        },
        "kind": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "title": {"type": "string"},
    },
}


def test_the_same_shape_in_another_spelling_is_the_same() -> None:
    assert meaning(MADE) == meaning(BY_HAND)


FIELDS: dict[str, tuple[Any, ...]] = {
    "title": (str,),
    "kind": (str | None,),
    "parts": (tuple[Part, ...], ()),
    "notes": (dict[str, str], msgspec.field(default_factory=dict)),
}


@pytest.mark.parametrize(
    "drift",
    [
        {"kind": (str,)},
        {"kind": (str | None, None)},
        {"parts": (tuple[str, ...], ())},
        {"notes": (dict[str, int], msgspec.field(default_factory=dict))},
        {"new": (str, "")},
    ],
    ids=["not nullable", "not required", "other items", "other values", "one more"],
)
def test_a_class_that_drifted_is_another(drift: dict[str, tuple[Any, ...]]) -> None:
    fields = [(name, *rest) for name, rest in {**FIELDS, **drift}.items()]
    drifted = msgspec.defstruct("Whole", fields, kw_only=True)
    assert meaning(msgspec.json.schema(drifted)) != meaning(MADE)


@pytest.mark.parametrize("gone", FIELDS)
def test_a_class_that_lost_a_field_is_another(gone: str) -> None:
    fields = [(name, *rest) for name, rest in FIELDS.items() if name != gone]
    drifted = msgspec.defstruct("Whole", fields, kw_only=True)
    assert meaning(msgspec.json.schema(drifted)) != meaning(MADE)
