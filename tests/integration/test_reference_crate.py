"""A release as others can read it: its RO-Crate, judged by the validator, and its archive."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
import requests
from manifests import PLAIN
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

from nbpipe.batch import promotion
from nbpipe.cli.reference import command
from nbpipe.reference.manifest import Job, write
from nbpipe.reference.products import describe_outputs
from nbpipe.reference.store import Store, StoredRelease

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = "https://w3id.org/ro/crate/"
BIOSCHEMAS = "https://bioschemas.org/"
RENAMED = {
    "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
    "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
    "output": f"{BIOSCHEMAS}ComputationalWorkflow#output",
}
"""What RO-Crate 1.1 calls them; rocrate brings the context of its own newest version only."""


@pytest.fixture
def release(tmp_path: Path) -> StoredRelease:
    """A promoted run with two products, one of them with a name that an address must quote."""
    keep = Store(tmp_path / "store")
    run = keep.new_run("mini", "20260131T120000-a3e82e")
    (run.work / "qa").mkdir(parents=True)
    (run.work / "qa/mini.ipynb").write_text("{}")
    (run.work / "qa/z cat#1.csv").write_text("id,z\n1,2\n")
    (run.work / "plot.png").write_bytes(b"no picture")
    run.write("request.json", {"notebook": "qa/mini.ipynb"})
    (run.folder / "job.out").write_text("done")
    made = replace(
        PLAIN,
        name="mini",
        run=run.id,
        release=None,
        notebook=replace(PLAIN.notebook, path="qa/mini.ipynb", executed=None),
        parameters={"shift": 0.5, "two words": "x", "list": [1, 2]},
        jobs=(Job(id="1", state="completed"),),
        outputs=describe_outputs(run.work, ["*.csv", "*.png"]),
    )
    write(made, run.folder / "manifest.json")
    return promotion.promote(keep, run, release="1.0", reason="the first")


def problems(crate: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the validator finds wrong with a crate; the context comes with rocrate."""
    document = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text())
    document["@context"] |= RENAMED
    context = json.dumps(document).encode()

    def answer(_: object, url: str, *__: object, **___: object) -> requests.Response:
        made = requests.Response()
        found = url.startswith(CONTEXT)
        made.url, made.status_code = url, 200 if found else 404
        made.raw = io.BytesIO(context if found else b"")
        made.headers["Content-Type"] = "application/ld+json"
        made.request = requests.Request("GET", url).prepare()
        return made

    monkeypatch.setattr(HttpRequester, "get", answer, raising=False)
    monkeypatch.setattr(requests.Session, "get", answer)
    wanted = services.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier="workflow-run-crate-0.5",
        requirement_severity=models.Severity.REQUIRED,
    )
    return [str(issue.message) for issue in services.validate(wanted).get_issues()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_release_is_a_workflow_run_ro_crate(
    release: StoredRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(release.folder, monkeypatch) == []
    graph = json.loads((release.folder / "ro-crate-metadata.json").read_text())["@graph"]
    by_id = {each["@id"]: each for each in graph}
    product = by_id["files/qa/z%20cat%231.csv"]
    outputs = {each.path: each.sha256 for each in release.manifest().outputs}
    assert product["sha256"] == outputs["qa/z cat#1.csv"]
    assert by_id["#value-shift"]["value"] == 0.5
    assert (release.folder / "record/notebook/qa/mini.ipynb").read_text() == "{}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_validator_would_tell(release: StoredRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    file = release.folder / "ro-crate-metadata.json"
    document = json.loads(file.read_text())
    for each in document["@graph"]:
        each.pop("instrument", None)
    release.folder.chmod(0o755)
    file.unlink()
    file.write_text(json.dumps(document))
    assert any("instrument" in each for each in problems(release.folder, monkeypatch))


def test_an_archive_holds_the_crate_the_record_and_metadata_for_zenodo(
    release: StoredRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mini.zip"
    words = ["export", "mini/1.0", "--to", str(target), "--store", str(tmp_path / "store")]
    about = ["--creator", "Doe, Jane", "--license", "CC-BY-4.0", "--title", "Mini"]
    assert command.main([*words, *about], standalone_mode=False) == 0
    assert capsys.readouterr().out == f"{target}: {target.stat().st_size:,} bytes\n"
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        deposit = json.loads(archive.read(".zenodo.json"))
    assert {
        *("ro-crate-metadata.json", ".zenodo.json", "manifest.json", "files/plot.png"),
        *("files/qa/z cat#1.csv", "record/job.out", "record/notebook/qa/mini.ipynb"),
    } <= names
    # Zenodo: upload_type, title, creators, description and publication_date are required.
    assert (deposit["upload_type"], deposit["title"], deposit["license"]) == (
        "dataset",
        "Mini",
        "cc-by-4.0",
    )
    assert deposit["creators"] == [{"name": "Doe, Jane"}]
    assert deposit["description"].startswith("The reference run of mini for release 1.0")


def test_an_archive_replaces_nothing_and_can_leave_the_data_out(
    release: StoredRelease, tmp_path: Path
) -> None:
    target = tmp_path / "mini.zip"
    words = ["export", "mini/1.0", "--to", str(target), "--store", str(tmp_path / "store")]
    assert command.main([*words, "--without-data"], standalone_mode=False) == 0
    with zipfile.ZipFile(target) as archive:
        assert not any(name.startswith("files/") for name in archive.namelist())
    with pytest.raises(Exception, match="exists already"):
        command.main(words, standalone_mode=False)
