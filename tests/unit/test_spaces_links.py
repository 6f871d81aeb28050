"""The link in a home, whatever the user left there; homes are plain folders here."""

from __future__ import annotations

import os
import socket
from datetime import date
from typing import TYPE_CHECKING

import pytest

from nbpipe.publishing.spaces import space
from nbpipe.publishing.spaces.space import State, inspect, link, unlink, would

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = "/srv/nbpipe/notebooks-latest/current"
NAME = "notebooks-latest"
TODAY = date(2026, 1, 31)
KEPT = "notebooks-latest.before-2026-01-31-1"


class OpenHome:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def link(self) -> tuple[State, str]:
        return link(self.descriptor, NAME, TARGET, TODAY)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[OpenHome]:
    opened = OpenHome(tmp_path)
    yield opened
    os.close(opened.descriptor)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("NBPIPE_REQUIRE") != "all",
    reason="root's own links need root",
)


def test_an_empty_home_gets_the_link_and_nothing_else(home: OpenHome) -> None:
    assert home.link() == (State.CREATED, "")
    assert str((home.path / NAME).readlink()) == TARGET
    assert home.names() == [NAME]


def test_a_second_time_nothing_happens(home: OpenHome) -> None:
    home.link()
    before = (home.path / NAME).lstat()
    assert home.link() == (State.PRESENT, "")
    assert (home.path / NAME).lstat().st_ctime_ns == before.st_ctime_ns


def test_a_folder_of_the_users_is_kept_with_all_its_files(home: OpenHome) -> None:
    (home.path / NAME).mkdir()
    (home.path / NAME / "thesis.ipynb").write_text("mine")
    assert home.link() == (State.KEPT, f"a folder, now {KEPT}")
    assert (home.path / KEPT / "thesis.ipynb").read_text() == "mine"
    assert str((home.path / NAME).readlink()) == TARGET


def test_a_file_of_the_users_is_kept(home: OpenHome) -> None:
    (home.path / NAME).write_text("mine")
    assert home.link() == (State.KEPT, f"a file, now {KEPT}")
    assert (home.path / KEPT).read_text() == "mine"


def test_a_fifo_is_neither_opened_nor_lost(home: OpenHome) -> None:
    os.mkfifo(home.path / NAME)
    assert home.link() == (State.KEPT, f"a FIFO, now {KEPT}")
    assert (home.path / KEPT).is_fifo()


def test_a_socket_is_kept(home: OpenHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(NAME)
        assert home.link() == (State.KEPT, f"a socket, now {KEPT}")
    assert (home.path / KEPT).is_socket()


def test_names_for_what_is_kept_are_counted(home: OpenHome) -> None:
    (home.path / KEPT).write_text("kept this morning")
    (home.path / NAME).write_text("mine")
    assert home.link() == (State.KEPT, "a file, now notebooks-latest.before-2026-01-31-2")
    assert (home.path / KEPT).read_text() == "kept this morning"
    assert (home.path / "notebooks-latest.before-2026-01-31-2").read_text() == "mine"


@needs_root
def test_a_link_left_by_a_crash_is_used_again(home: OpenHome) -> None:
    (home.path / KEPT).symlink_to(TARGET)
    (home.path / NAME).write_text("mine")
    assert home.link() == (State.KEPT, f"a file, now {KEPT}")
    assert home.names() == [NAME, KEPT]


@needs_root
def test_a_link_of_the_users_is_kept_and_its_target_untouched(
    home: OpenHome, tmp_path_factory: pytest.TempPathFactory
) -> None:
    etc = tmp_path_factory.mktemp("etc")
    (home.path / NAME).symlink_to(etc)
    os.lchown(home.path / NAME, 12345, 12345)
    assert home.link() == (State.KEPT, f"a link to '{etc}', now {KEPT}")
    assert (home.path / KEPT).readlink() == etc
    assert list(etc.iterdir()) == []


@needs_root
def test_an_old_link_of_roots_is_replaced_and_not_kept(home: OpenHome) -> None:
    (home.path / NAME).symlink_to("/old/shared/folder")
    assert home.link() == (State.REPLACED, "was a link to '/old/shared/folder'")
    assert home.names() == [NAME]
    assert str((home.path / NAME).readlink()) == TARGET


@needs_root
def test_the_users_own_right_link_is_right(home: OpenHome) -> None:
    (home.path / NAME).symlink_to(TARGET)
    os.lchown(home.path / NAME, 12345, 12345)
    assert home.link() == (State.PRESENT, "")


@needs_root
def test_the_link_belongs_to_root(home: OpenHome) -> None:
    os.chown(home.path, 12345, 12345)
    home.link()
    assert (home.path / NAME).lstat().st_uid == 0


def test_without_exchange_what_was_there_is_kept_too(
    home: OpenHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbpipe.system.rename._function", lambda: None)
    (home.path / NAME).write_text("mine")
    assert home.link() == (State.KEPT, f"a file, now {KEPT}")
    assert (home.path / KEPT).read_text() == "mine"
    assert str((home.path / NAME).readlink()) == TARGET


@needs_root
def test_a_file_slipped_in_for_an_old_link_is_kept(
    home: OpenHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.path / NAME).symlink_to("/old")
    original = space.exchange

    def slip_in(*names: str, folder: int) -> bool:
        (home.path / NAME).unlink()
        (home.path / NAME).write_text("just now")
        return original(*names, folder=folder)

    monkeypatch.setattr(space, "exchange", slip_in)
    assert home.link() == (State.KEPT, f"made by the user in this instant, now {KEPT}")
    assert (home.path / KEPT).read_text() == "just now"


def test_a_user_who_is_always_faster_fails_alone(
    home: OpenHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_gone(*_: object, **__: object) -> bool:
        raise FileNotFoundError

    (home.path / NAME).write_text("mine")
    monkeypatch.setattr(space, "exchange", always_gone)
    with pytest.raises(OSError, match="changes faster than it can be looked at"):
        home.link()
    assert (home.path / NAME).read_text() == "mine"


@pytest.mark.parametrize(
    ("state", "result"),
    [
        (State.MISSING, (State.CREATED, "")),
        (State.OLD, (State.REPLACED, "")),
        (State.OTHER, (State.KEPT, f"would be {KEPT}")),
        (State.PRESENT, (State.PRESENT, "")),
        (State.SKIPPED, (State.SKIPPED, "")),
    ],
)
def test_what_a_dry_run_says(state: State, result: tuple[State, str]) -> None:
    assert would(state, NAME, TODAY) == result


@needs_root
def test_unlink_takes_roots_link_away(home: OpenHome) -> None:
    home.link()
    assert unlink(home.descriptor, NAME, TARGET, TODAY) == (State.REMOVED, "")
    assert home.names() == []


def test_unlink_leaves_a_folder_of_the_users(home: OpenHome) -> None:
    (home.path / NAME).mkdir()
    assert unlink(home.descriptor, NAME, TARGET, TODAY) == (State.OTHER, "a folder")
    assert home.names() == [NAME]


@needs_root
def test_unlink_leaves_a_link_of_the_users(home: OpenHome) -> None:
    (home.path / NAME).symlink_to(TARGET)
    os.lchown(home.path / NAME, 12345, 12345)
    assert unlink(home.descriptor, NAME, TARGET, TODAY) == (State.OTHER, "the user's own link")


def test_inspect_escapes_what_a_link_says(home: OpenHome) -> None:
    (home.path / NAME).symlink_to("/x\x1b[2J")
    assert inspect(home.descriptor, NAME, TARGET)[1] == "a link to '/x\\x1b[2J'"
