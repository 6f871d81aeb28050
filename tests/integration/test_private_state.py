"""What a run and a service keep of their own is for nobody else on the machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from ondisk import write_notebook

from nbpipe.notify import memory
from nbpipe.publishing import health
from nbpipe.publishing.reconcile import signal
from nbpipe.publishing.releases import manifest
from nbpipe.publishing.releases.mirror import Mirror, Pin
from nbpipe.reference.store import Store, location
from nbpipe.system import private
from webhook.receiving.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NBPIPE = (sys.executable, "-m", "nbpipe")


@pytest.fixture(autouse=True)
def everybody_may_read() -> Iterator[None]:
    """Have the usual umask, whatever the one of this machine is."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the user's own folders in a place of the test's."""
    for name in ("STATE", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    return tmp_path / "state" / "nbpipe"


def open_to_others(folder: Path) -> list[str]:
    """Return everything there, and the folder, of which others may do anything."""
    paths = [folder, *folder.rglob("*")]
    return [
        f"{path} {path.lstat().st_mode & 0o777:o}"
        for path in paths
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]


def run(cwd: Path, *words: str) -> None:
    done = subprocess.run(
        [*NBPIPE, "test", *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """Make a notebook that passes, and one that fails with a secret in its traceback."""
    folder = tmp_path / "notebooks"
    write_notebook(folder / "a/good.ipynb", "print(1)")
    write_notebook(folder / "b/bad.ipynb", "raise ValueError('password=hunter2')")
    return folder


def test_history_logs_copies_and_reports_of_a_run_are_closed(state: Path, notebooks: Path) -> None:
    run(notebooks, "--report", "html", "--report", "junit", "--report", "json", "--retries", "1")

    assert open_to_others(state) == []
    names = {path.name for path in state.rglob("*")}
    assert {"history.sqlite", "bad.ipynb", "bad.log", "good.ipynb", "bad.attempt-2.ipynb"} <= names


def test_what_an_earlier_version_left_open_is_closed(state: Path, notebooks: Path) -> None:
    run(notebooks)
    for path in (state, *state.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

    run(notebooks)

    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "history.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_a_person_names_follows_the_umask(
    state: Path, notebooks: Path, tmp_path: Path
) -> None:
    (notebooks / "nbpipe.toml").write_text(f'[history]\nurl = "sqlite:///{tmp_path}/db.sqlite"\n')

    run(notebooks, "--output-dir", str(tmp_path / "out"), "--report", f"json={tmp_path}/r.json")

    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    files = (tmp_path / "out/b/bad.ipynb", tmp_path / "out/b/bad.log", tmp_path / "r.json")
    for file in (*files, tmp_path / "db.sqlite"):
        assert file.stat().st_mode & 0o777 == 0o644, file
    assert not state.exists() or open_to_others(state) == []


def test_the_memory_of_what_was_reported_is_closed(state: Path) -> None:
    with memory.opened(memory.default("a collection")):
        pass

    assert open_to_others(state) == []
    assert len(list(state.rglob("*.json"))) == 1


@pytest.mark.usefixtures("state")
def test_the_store_of_reference_runs_is_closed_where_it_is_the_users_own(tmp_path: Path) -> None:
    Store(location({})).new_run("survey", "20260131T120000-0123ab")
    Store(location({}, tmp_path / "named")).new_run("survey", "20260131T120000-0123ab")

    assert open_to_others(tmp_path / "data/nbpipe") == []
    assert (tmp_path / "named/survey/runs").stat().st_mode & 0o777 == 0o755


def test_a_link_in_the_state_folder_is_not_followed_to_close_what_is_there(
    state: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    state.mkdir(parents=True)
    (state / "runs").symlink_to(outside)

    private.make_folder(state / "runs")

    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_service_keeps_all_but_the_mirror_to_itself(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "srv", "nb")
    mirror.prepare()
    signal(mirror, "a delivery")
    health.write(mirror, health.Record())
    held = manifest.Manifest(commit="0" * 40, folders=(), files=(), links=())
    manifest.write(mirror.state / "manifests", held)
    mirror.pin(Pin(commit="0" * 40, since=datetime.now(UTC)))
    deliveries = Deliveries(mirror.state.parent / "deliveries.sqlite")

    assert open_to_others(mirror.state.parent) == []
    assert {path.name for path in mirror.state.parent.glob("deliveries*")} == {
        f"deliveries.sqlite{ending}" for ending in ("", "-wal", "-shm")
    }
    deliveries.close()
    for folder in (mirror.path.parent, mirror.path, mirror.releases_folder):
        assert folder.stat().st_mode & 0o777 == 0o755, folder


def test_a_state_that_an_earlier_version_left_open_is_closed_and_the_mirror_stays_open(
    tmp_path: Path,
) -> None:
    mirror = Mirror(tmp_path / "srv", "nb")
    mirror.prepare()
    for folder in (mirror.state, mirror.state.parent):
        folder.chmod(0o755)

    mirror.prepare()

    for folder in (mirror.state, mirror.state.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(mirror.path.stat().st_mode) == 0o755
