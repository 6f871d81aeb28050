"""Files that are there whole or not at all, and locks."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from nbpipe.system import files, locks

if TYPE_CHECKING:
    from pathlib import Path


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize(
    ("mode", "umask", "given"),
    [(0o666, 0o022, 0o644), (0o666, 0o077, 0o600), (0o600, 0o022, 0o600), (0o700, 0o277, 0o700)],
)
def test_a_private_mode_is_exact_and_another_one_follows_the_umask(
    tmp_path: Path, mode: int, umask: int, given: int
) -> None:
    file = tmp_path / "file"
    before = os.umask(umask)
    try:
        files.replace(file, b"new", mode=mode)
    finally:
        os.umask(before)
    assert (file.read_bytes(), mode_of(file)) == (b"new", given)


def test_what_is_left_over_of_a_killed_writer_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half of something long")
    (tmp_path / "file.new").chmod(0o644)
    files.replace(tmp_path / "file", b"new", mode=0o600, durable=True)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert ((tmp_path / "file").read_bytes(), mode_of(tmp_path / "file")) == (b"new", 0o600)


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def broken() -> None:
        with files.replacing(file, mode=0o640) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "old"
    with files.replacing(file, mode=0o640) as stream:
        stream.write(b"new")
        assert file.read_text() == "old"
    assert (file.read_text(), mode_of(file)) == ("new", 0o640)


def test_of_two_that_create_a_file_the_first_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert files.create(file, b"mine", mode=0o600)
    assert not files.create(file, b"other", mode=0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["token"]
    assert (file.read_bytes(), mode_of(file)) == (b"mine", 0o600)


def test_a_line_that_a_crash_tore_is_ended_before_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    files.append_line(file, b"one", mode=0o600)
    with file.open("ab") as stream:
        stream.write(b"tw")
    files.append_line(file, b"three", mode=0o600)
    assert file.read_bytes() == b"one\ntw\nthree\n"


def test_a_link_leads_elsewhere_in_one_step(tmp_path: Path) -> None:
    link, fresh = tmp_path / "current", tmp_path / "current.new"
    fresh.symlink_to("nowhere")
    for target in ("one", "two"):
        files.relink(link, tmp_path / target, fresh=fresh)
        assert link.readlink() == tmp_path / target
    assert not fresh.is_symlink()


def test_a_lock_is_of_one_open_file_and_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with file.open("w") as one, file.open("w") as other:
        assert locks.take(one.fileno())
        assert locks.take(one.fileno())
        assert not locks.take(other.fileno())
        assert not locks.take(other.fileno(), shared=True)
        one.close()
        assert locks.take(other.fileno(), wait=True)


def test_shared_locks_stand_beside_each_other(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with file.open("w") as one, file.open("w") as other:
        assert locks.take(one.fileno(), shared=True)
        assert locks.take(other.fileno(), shared=True)
        assert not locks.take(other.fileno())
