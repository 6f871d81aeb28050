"""What is known of a repository at its forge, and what the operator hears of a new name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe import cli
from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.origin import forge
from nbpipe.publishing.origin.forge import Known
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.publishing.releases.mirror import Mirror

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = Known(configured="ORG/REPO", id="7", now="ORG/REPO")
NEW = Known(configured="ORG/REPO", id="7", now="LAB/NEW")
TOLD = "the repository ORG/REPO is called LAB/NEW now: set `origin` (and `repository`) to that"


@pytest.fixture
def settings(tmp_path: Path) -> CollectionSettings:
    return CollectionSettings(
        name="nb",
        origin=f"file://{tmp_path}/ORG/REPO.git",
        root=str(tmp_path / "srv"),
        protocols=("file",),
    )


@pytest.fixture
def mirror(settings: CollectionSettings) -> Mirror:
    return Mirror.of(settings)


def test_a_new_name_is_told_and_written_to_the_journal_once(mirror: Mirror) -> None:
    told = [forge.learn(mirror, each, "c", now=1.0) for each in (KNOWN, NEW, NEW)]

    assert told == ["", TOLD, ""]
    assert forge.read(mirror, "org/repo") == NEW
    (entry,) = mirror.journal.entries()
    assert (entry.event, entry.commit, entry.reason) == ("renamed", "c", TOLD)


def test_a_name_that_comes_back_is_no_longer_another(mirror: Mirror) -> None:
    for each in (NEW, KNOWN):
        forge.learn(mirror, each, "c", now=1.0)

    known = forge.read(mirror, "ORG/REPO")
    assert known is not None
    assert not known.renamed


def test_what_was_learned_counts_for_the_configured_name_only(mirror: Mirror) -> None:
    forge.learn(mirror, KNOWN, "c", now=1.0)

    assert forge.read(mirror, "ORG/OTHER") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 7}'])
def test_a_record_that_cannot_be_read_is_none(mirror: Mirror, text: str) -> None:
    mirror.prepare()
    (mirror.state / "forge.json").write_text(text)

    assert forge.read(mirror, "ORG/REPO") is None


def test_health_and_publish_ask_for_the_new_name(
    settings: CollectionSettings,
    mirror: Mirror,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worker = Reconciler(settings)
    assert not worker.health().note
    forge.learn(mirror, NEW, "c", now=1.0)
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f'[[collection]]\nname = "nb"\norigin = "{settings.origin}"\nroot = "{settings.root}"\n'
        'protocols = ["file"]\n'
    )

    assert cli.run(["publish", "--config", str(file)]) == 1  # there is no such repository

    assert worker.health().note == TOLD
    assert f"note: nb: {TOLD}\n" in capsys.readouterr().err
