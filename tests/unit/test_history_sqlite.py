"""The history in files of SQLite: what every database must do, and what is SQLite's own."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pasts import opened, past_run, record, result
from storage import Storage

from nbpipe.config.settings import HistorySettings
from nbpipe.history import HistoryError, NoHistory, Recorder, by_duration, open_history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.model import Task

URL = "sqlite:///folder/history.sqlite"


class TestSqlite(Storage):
    @pytest.fixture
    def url(self) -> str:
        return URL


def ask(root: Path) -> HistoryError | None:
    """Return what is wrong with the history when a run asks it for the order."""
    tasks: tuple[Task, ...] = tuple(result(f"{name}.ipynb", "passed").task for name in "ab")
    return by_duration(HistorySettings(url=URL), root, tasks)[1]


def write(root: Path) -> HistoryError | None:
    """Return what goes wrong when a run is recorded."""
    recorder = Recorder(HistorySettings(url=URL), root)
    recorder.begin(past_run("r9"), (result("a.ipynb", "passed").task,))
    recorder.add(result("a.ipynb", "passed"))
    recorder.end(seconds=1.0, interrupted=False)
    return recorder.problem


def test_the_file_lies_relative_to_the_root_and_is_in_wal_mode(tmp_path: Path) -> None:
    with opened(URL, tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "folder/history.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_default_is_a_file_in_the_users_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with open_history(HistorySettings(), tmp_path, create=True) as history:
        assert history.where == str(tmp_path / "nbpipe/history.sqlite")
    assert (tmp_path / "nbpipe/history.sqlite").is_file()


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match="no history yet"):
        opened(URL, tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_writes_a_whole_run(tmp_path: Path) -> None:
    assert write(tmp_path) is None
    with opened(URL, tmp_path) as history:
        run = history.run("latest")
        assert (run.id, run.seconds) == ("r9", 1.0)
        assert [each.outcome for each in history.results(run)] == ["passed"]


def test_a_recorder_forgets_what_is_too_much(tmp_path: Path) -> None:
    with opened(URL, tmp_path) as history:
        record(history, past_run("old", days=-400))
        record(history, past_run("new", days=-1))
    assert write(tmp_path) is None
    with opened(URL, tmp_path) as history:
        assert [run.id for run in history.runs(9)] == ["r9", "new"]


def test_a_broken_file_is_named_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/history.sqlite").write_text("no database " * 100)
    for problem in (ask(tmp_path), write(tmp_path)):
        assert str(problem) == (
            f"{tmp_path}/folder/history.sqlite: file is not a database\n"
            "  Move the file away; the next run begins a new one."
        )


def test_a_newer_file_is_named_and_fails_nothing(tmp_path: Path) -> None:
    with opened(URL, tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "folder/history.sqlite")
    with connection:
        connection.execute("UPDATE nbpipe_schema SET version = 99")
    connection.close()
    for problem in (ask(tmp_path), write(tmp_path)):
        assert "was written by a newer nbpipe" in str(problem)
        assert "Upgrade nbpipe" in str(problem)


def test_a_locked_file_is_named_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbpipe.history.engine.BUSY_SECONDS", 0.1)
    with opened(URL, tmp_path):
        pass
    other = sqlite3.connect(tmp_path / "folder/history.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert ask(tmp_path) is None  # a reader does not wait for a writer
    problem = write(tmp_path)
    other.close()
    assert str(problem) == (
        f"{tmp_path}/folder/history.sqlite: database is locked\n"
        "  Another program holds it; results of this run may be missing there."
    )


def test_a_place_that_cannot_be_written_is_named_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    assert ask(tmp_path) is None
    problem = write(tmp_path)
    assert f"{tmp_path}/folder" in str(problem)
    assert "name another one with `[history] url`" in str(problem)


@contextmanager
def nobody() -> Iterator[None]:
    """Be an ordinary user: root may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_is_only_to_be_read_is_named_and_fails_nothing() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as text:  # a folder that others can look into
        root = Path(text)
        with opened(URL, root):
            pass
        (root / "folder/history.sqlite").chmod(0o444)
        (root / "folder").chmod(0o555)
        root.chmod(0o555)
        with nobody():
            problem = write(root)
        (root / "folder").chmod(0o755)
        root.chmod(0o755)
    assert "Make it writable" in str(problem)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hidden@h/d", "mysql://u:***@h/d is not a database that nbpipe can use"),
        ("sqlite://", "is not a database that nbpipe can use"),
        ("hidden", "not a valid database URL"),
        ("env:NBPIPE_NOT_SET", "the variable NBPIPE_NOT_SET is not set"),
        ("file:gone", "gone cannot be read"),
    ],
)
def test_an_url_that_cannot_be_is_explained_without_its_password(
    url: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(HistoryError) as caught:
        opened(url, tmp_path)
    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_url_may_stand_in_the_environment_or_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBPIPE_TEST_URL", "sqlite:///one.sqlite")
    (tmp_path / "url").write_text("sqlite:///two.sqlite\n")
    for url in ("env:NBPIPE_TEST_URL", "file:url"):
        with opened(url, tmp_path):
            pass
    assert sorted(tmp_path.glob("*.sqlite")) == [tmp_path / "one.sqlite", tmp_path / "two.sqlite"]


def test_a_history_that_is_switched_off_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="switched off"):
        open_history(HistorySettings(enabled=False), tmp_path, create=True)
