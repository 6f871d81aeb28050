"""A comparison as JSON: versioned, with a published schema, comparison.schema.json beside this.

Versions of the format; a new key is no new version, a changed or removed one is:

1. 2026-11-21: the first.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, cast

import msgspec

from nbpipe.reference.comparison.model import Comparison
from nbpipe.reference.manifest import encodable


def encode(comparison: Comparison) -> str:
    """Return the comparison as JSON."""
    plain = encodable(msgspec.to_builtins(comparison))
    text = json.dumps(plain, indent=1, allow_nan=False)
    return f"{text}\n"


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of a comparison (draft 2020-12)."""
    room = files("nbpipe.reference.comparison")
    text = room.joinpath("comparison.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def derived_schema() -> dict[str, Any]:
    """Return the schema as the classes say it; the published one is made from it."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A reference run compared with another, format 1",
    }
    made = msgspec.json.schema(Comparison)
    return cast("dict[str, Any]", json.loads(msgspec.json.encode({**head, **made})))
