"""What a person is told by the commands of a service: nothing published, a mistyped root."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from nbpipe.cli import run
from nbpipe.cli.getlatest import main as getlatest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A collection with three commits to come, nothing published, and no home."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "work")
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f'[[collection]]\nname = "nb"\norigin = "{tmp_path}/work"\nroot = "{tmp_path}/srv"\n'
        f'protocols = ["file"]\n[spaces]\nhomes = ["{tmp_path}/home/*"]\n'
    )
    return file


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def publish(config: Path, text: str) -> None:
    work = config.parent / "work"
    (work / "intro.ipynb").write_text(text)
    git(work, "add", ".")
    git(work, "commit", "--message", text)
    assert run(["publish", "--config", str(config)]) == 0


@pytest.mark.parametrize("words", ["list", "show", "rollback", "verify", "gc --dry-run"])
def test_where_nothing_is_published_it_is_said_and_no_mirror_is_made(
    config: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert run(["release", *words.split(), "--config", str(config)]) == 1
    assert capsys.readouterr().err == (
        f"nbpipe: {config.parent}/srv/nb: nothing is published here\n"
        "  `nbpipe publish nb` makes the mirror.\n"
    )
    assert not (config.parent / "srv").exists()


def test_a_second_rollback_goes_further_back(config: Path) -> None:
    seen = config.parent / "srv/nb/current/intro.ipynb"
    for text in ("first", "second", "third"):
        publish(config, text)
    assert run(["release", "rollback", "--config", str(config)]) == 0
    assert seen.read_text() == "second"
    assert run(["release", "rollback", "--config", str(config)]) == 0
    assert seen.read_text() == "first"
    assert run(["release", "rollback", "--config", str(config)]) == 1
    assert seen.read_text() == "first"
    assert run(["release", "unpin", "--config", str(config)]) == 0
    assert seen.read_text() == "third"
    assert run(["release", "rollback", "--config", str(config)]) == 0
    assert seen.read_text() == "second"


def test_a_root_that_cannot_be_keeps_the_receiver_from_starting(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "secret-of-the-hook")
    (config.parent / "srv").write_text("a file")
    text = config.read_text().replace("[spaces]", 'secrets = ["env:HOOK"]\n[spaces]')
    config.write_text(text)
    assert run(["serve", "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert f"{config.parent}/srv/.nbpipe/.pages: cannot be made: " in said
    assert "must be able to write below `root`" in said


def test_getlatest_takes_no_copy_of_a_mirror_before_its_first_release_or_of_all_mirrors(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = config.parent / "srv"
    (root / "nb/releases").mkdir(parents=True)
    copy = str(config.parent / "copy")
    assert getlatest(["--from", str(root / "nb"), copy]) == 4
    publish(config, "first")
    assert getlatest(["--from", str(root), copy]) == 4
    assert f"--from {root}: not a mirror, a release" in capsys.readouterr().err
    assert getlatest(["--from", str(root / "nb"), copy]) == 0


def test_spaces_of_a_relative_root_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace(f'"{config.parent}/srv"', '"srv"'))
    assert run(["space", "sync", "--config", str(config)]) == 4
    said = capsys.readouterr().err
    assert "collection nb: the root srv is not an absolute path" in said


def test_a_check_that_finds_no_home_proves_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a check must run as root")
    publish(config, "first")
    assert run(["space", "check", "--config", str(config)]) == 1
    said = capsys.readouterr().out.splitlines()[-1]
    assert (
        said == "no home to check; `nbpipe space list` says which there are and why any is skipped"
    )


def test_links_to_a_mirror_that_is_not_there_are_warned_of(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "home/ada").mkdir(parents=True)
    assert run(["space", "sync", "--dry-run", "--config", str(config)]) == 0
    assert f"warning: {config.parent}/srv/nb: nothing is published" in capsys.readouterr().err
