"""Manifests and data products for tests of reference runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from nbpipe.reference import manifest as manifests
from nbpipe.reference.manifest import Cell, Job, Manifest, Notebook

if TYPE_CHECKING:
    from nbpipe.reference.manifest import Output

PLAIN = Manifest(
    name="minitest",
    run="20260131-120000",
    release="1.0",
    created="2026-01-31T12:00:00Z",
    notebook=Notebook(path="minitest.ipynb", sha256="0" * 64, executed="minitest.ipynb"),
    parameters={"seed": 1, "survey": "main"},
    commit="c" * 40,
    packages={"numpy": "2.0.0", "astropy": "6.0.0"},
    host="n1",
    system="virtual",
    jobs=(
        Job(
            id="1",
            state="COMPLETED",
            exit=0,
            wall_seconds=100.0,
            queue_seconds=5.0,
            core_hours=0.5,
            peak_memory_bytes=10**9,
            children=("2",),
        ),
        Job(id="2", parent="1", state="COMPLETED", exit=0, wall_seconds=60.0, core_hours=0.25),
    ),
    cells=(Cell(index=1, seconds=10.0, title="simulate"), Cell(index=3, seconds=40.0)),
)


def manifest(*outputs: Output, **changes: Any) -> Manifest:  # noqa: ANN401  (any field)
    """Return a manifest with these outputs, and other values where they are given."""
    return replace(PLAIN, outputs=outputs, **changes)


def validated(made: Manifest) -> dict[str, Any]:
    """Return a manifest's JSON after it passed the published schema."""
    document: dict[str, Any] = json.loads(manifests.encode(made))
    Draft202012Validator(manifests.schema()).validate(document)
    return document
