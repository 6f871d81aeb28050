"""The record of a reference run: written, validated, read, refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from manifests import PLAIN, manifest, validated
from schemas import meaning

from nbpipe.reference import manifest as manifests
from nbpipe.reference.manifest import (
    Acceptance,
    Column,
    ManifestError,
    Output,
    Part,
    Statistics,
)

if TYPE_CHECKING:
    from pathlib import Path

ZCAT = Output(
    path="out/zcat.fits",
    bytes=5760,
    sha256="a" * 64,
    kind="fits",
    parts=(
        Part(
            name="1 ZCAT",
            form="table",
            rows=2,
            columns=(
                Column(
                    name="Z",
                    dtype="float64",
                    unit="km / s",
                    statistics=Statistics(count=2, nan=1, min=0.5, max=0.5, mean=0.5, std=0.0),
                ),
            ),
            attributes={"EXTNAME": "ZCAT", "VERSION": 3, "OK": True, "EMPTY": None},
        ),
    ),
)


def test_the_published_schema_is_the_one_of_the_classes() -> None:
    assert meaning(manifests.schema()) == meaning(manifests.derived_schema())
    Draft202012Validator.check_schema(manifests.schema())


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    accepted = Acceptance(only=("*.fits",), reason="new zeropoint", when="2026-02-01", run="r2")
    made = manifest(ZCAT, accepted=(accepted,))
    manifests.write(made, tmp_path / "manifest.json")
    assert manifests.read(tmp_path / "manifest.json") == made
    assert [each.name for each in tmp_path.iterdir()] == ["manifest.json"]


def test_a_manifest_is_valid_json_of_the_published_schema() -> None:
    document = validated(manifest(ZCAT))
    assert document["format"] == 1
    assert document["jobs"][0]["children"] == ["2"]
    assert document["outputs"][0]["parts"][0]["columns"][0]["unit"] == "km / s"


def test_the_schema_refuses_an_output_without_its_bytes() -> None:
    document = validated(manifest(ZCAT))
    del document["outputs"][0]["bytes"]
    assert not Draft202012Validator(manifests.schema()).is_valid(document)


def test_a_name_that_is_no_unicode_and_a_parameter_that_is_no_number_are_spelled_out() -> None:
    odd = Output(path="a\udcff.txt", bytes=0, sha256=None, kind="text", error="gone")
    document = validated(manifest(odd, parameters={"limit": float("nan")}))
    assert document["outputs"][0]["path"] == "a\\udcff.txt"
    assert document["parameters"] == {"limit": "nan"}


def test_a_newer_format_is_refused_with_the_way_on() -> None:
    document = {**validated(PLAIN), "format": 2, "notebook": "of another shape"}
    with pytest.raises(ManifestError) as caught:
        manifests.decode(json.dumps(document).encode(), "m.json")
    assert str(caught.value) == (
        "m.json: its format is 2, this nbpipe reads up to 1\n  Update nbpipe."
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": "1"}',
        b'{"name": "x", "run": "r", "created": "", "notebook": {"path": "", "sha256": ""}}',
        b"[" * 100_000,
        manifests.encode(PLAIN)[:-100],
        manifests.encode(PLAIN).replace(b'"minitest"', b"3"),
    ],
)
def test_a_damaged_manifest_is_refused_by_its_name(data: bytes) -> None:
    with pytest.raises(ManifestError, match=r"^m\.json: not a manifest: "):
        manifests.decode(data, "m.json")


def test_a_manifest_with_a_key_of_a_later_version_is_read() -> None:
    document = {**validated(PLAIN), "carbon": 12}
    assert manifests.decode(json.dumps(document).encode(), "m.json") == PLAIN


def test_a_manifest_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no\.json: cannot be read: No such file"):
        manifests.read(tmp_path / "no.json")
