"""Who speaks in what git prints, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbpipe.publishing.errors import BranchGone, MirrorError, OriginError, PublishError, Refused
from nbpipe.publishing.origin import complaints

FOLDER = Path("/srv/.nbpipe/nb/cache.git")
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def meaning(said: str, heard: str = "") -> PublishError:
    return complaints.of_origin(said, heard, where="nb: x", branch="main")


@pytest.mark.parametrize(
    "line",
    [
        "fatal: write error: No space left on device",
        "error: file write error: Disk quota exceeded",
        "fatal: Unable to create '/srv/cache.git/shallow.lock': Read-only file system.",
    ],
)
def test_what_git_cannot_write_here_is_told_from_what_the_origin_cannot_write(line: str) -> None:
    assert complaints.full(complaints.own(f"{line}\nfatal: index-pack failed"))
    assert not complaints.full(complaints.own(f"remote: {line}\nfatal: early EOF"))
    assert not complaints.full(complaints.own(f"fatal: remote error: {line}"))
    assert not complaints.full(f"fatal: expected 'packfile', received '{line}'")


def test_a_full_disk_and_one_that_is_read_only_have_different_ways_out() -> None:
    assert "Make room" in str(complaints.no_room(FOLDER, "write error: No space left on device"))
    assert "read-only" in str(complaints.no_room(FOLDER, "mkdir: Read-only file system"))


def test_git_lfs_is_short_of_room_here_only_where_it_names_our_folder() -> None:
    here = f"write {FOLDER}/lfs/tmp/x: no space left on device"

    assert complaints.full_below(here, FOLDER)
    assert not complaints.full_below("Server error 507: no space left on device", FOLDER)


@pytest.mark.parametrize(
    "line",
    [
        f"fatal: bad object {COMMIT}",
        "fatal: packfile ./objects/pack/pack-x.pack cannot be accessed",
        f"error: object file objects/61/13 is empty\nfatal: loose object {COMMIT} is corrupt",
        "error: https://x/y did not send all necessary objects",
    ],
)
def test_only_gits_own_words_make_the_cache_suspicious(line: str) -> None:
    theirs = "\n".join(f"remote: {each}" for each in line.splitlines())

    assert complaints.suspicious(complaints.own(line))
    assert not complaints.suspicious(complaints.own(theirs))
    assert isinstance(meaning(theirs), OriginError)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("fatal: couldn't find remote ref refs/heads/main", BranchGone),
        ("fatal: mismatched algorithms: client sha1; server sha256", MirrorError),
    ],
)
def test_what_the_other_side_says_is_never_a_verdict(line: str, kind: type[PublishError]) -> None:
    assert type(meaning(line)) is kind
    assert type(meaning(f"remote: {line}")) is OriginError
    assert type(meaning("fatal: Could not read from remote repository.", line)) is OriginError


@pytest.mark.parametrize("end", ["", "remote: "])
def test_an_object_that_either_git_cannot_take_is_refused(end: str) -> None:
    assert type(meaning(f"{end}fatal: fsck error in packed object")) is Refused
    assert type(meaning("fatal: early EOF", "fatal: empty filename in tree entry")) is Refused


def test_what_both_sides_say_is_one_line_each_with_its_speaker() -> None:
    error = meaning("fatal: Could not read\nfrom remote", "Permission denied (publickey).\n")

    first, hint = str(error).split("\n")
    assert first == (
        "nb: x: git fetch failed; the other side said: Permission denied (publickey).; "
        "git said: fatal: Could not read from remote"
    )
    assert "deploy key" in hint


def test_objects_of_another_style_are_no_damage() -> None:
    style = f"error in commit {COMMIT}: missingEmail: invalid author/committer line"

    assert complaints.only_of_style(f"notice: No default references\n{style}\n")
    assert not complaints.only_of_style(f"{style}\nmissing blob {COMMIT}")
    assert not complaints.only_of_style("")
