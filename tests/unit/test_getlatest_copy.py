"""Copies on disk: what users do to their files, and what an update makes of it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.errors import UsageError
from nbpipe.publishing.copies import update
from nbpipe.publishing.copies.errors import CopyBusy, CopyError, ReleaseGone
from nbpipe.publishing.copies.folder import CopyFolder
from nbpipe.publishing.copies.releases import MirrorFolder
from nbpipe.publishing.copies.update import Wanted, take
from nbpipe.publishing.copies.writer import Writer
from tests.mirrors import HandMadeMirror, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbpipe.publishing.copies.report import Report

FIRST = {"a/one.ipynb": "1", "two.ipynb": "2", ".dot": "3"}


class Copy:
    """A mirror and the copy `copy` of it."""

    def __init__(self, folder: Path) -> None:
        self.mirror = HandMadeMirror(folder / "srv")
        self.path = folder / "copy"

    def take(  # noqa: PLR0913  (what a user may say)
        self,
        *,
        only: tuple[str, ...] = (),
        restore: str | None = None,
        dry_run: bool = False,
        release: str | None = None,
        prune: bool = False,
        everything: bool = False,
    ) -> Report:
        found = MirrorFolder("notebooks-latest", self.mirror.path).release(release)
        try:
            wanted = Wanted(
                only=only, restore=restore, dry_run=dry_run, prune=prune, everything=everything
            )
            return take(found, self.path, wanted)
        finally:
            found.close()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    result = Copy(tmp_path)
    result.mirror.publish("aaa", FIRST)
    return result


def test_a_new_copy_holds_every_file_dot_files_too(copy: Copy) -> None:
    report = copy.take()
    assert tree(copy.path) == FIRST
    assert report.made
    assert report.added == [".dot", "a/one.ipynb", "two.ipynb"]


def test_copies_are_writable_although_the_mirror_is_not(copy: Copy) -> None:
    copy.mirror.publish("abc", {"run.sh": "x", "n.ipynb": "y"}, executable=("run.sh",))
    copy.take()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) & 0o700 for p in copy.path.iterdir()}
    assert modes == {"run.sh": 0o700, "n.ipynb": 0o600, ".nbpipe": 0o700}


def test_a_strange_umask_leaves_the_user_their_files(copy: Copy) -> None:
    old = os.umask(0o777)
    try:
        copy.take()
    finally:
        os.umask(old)
    assert stat.S_IMODE((copy.path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((copy.path / "a/one.ipynb").stat().st_mode) == 0o600


def test_a_copy_shares_no_inode_with_the_mirror(copy: Copy) -> None:
    copy.take()
    mirror = copy.mirror.path / "current" / "two.ipynb"
    assert (copy.path / "two.ipynb").stat().st_ino != mirror.stat().st_ino
    assert mirror.stat().st_nlink == 1


def test_nothing_is_left_beside_a_new_copy(copy: Copy) -> None:
    copy.take()
    assert sorted(p.name for p in copy.path.parent.iterdir()) == ["copy", "srv"]


def test_a_second_run_changes_nothing(copy: Copy) -> None:
    copy.take()
    before = {p: p.stat().st_mtime_ns for p in copy.path.rglob("*") if p.is_file()}
    report = copy.take()
    assert not report.changed
    assert report.same == [".dot", "a/one.ipynb", "two.ipynb"]
    assert before == {p: p.stat().st_mtime_ns for p in copy.path.rglob("*") if p.is_file()}


def test_an_update_adds_updates_and_keeps(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    (copy.path / "own.ipynb").write_text("own")
    copy.mirror.publish("bbb", {"a/one.ipynb": "11", "two.ipynb": "2", "b/new.ipynb": "n"})
    report = copy.take()
    assert tree(copy.path) == {
        ".dot": "3",
        "a/one.ipynb": "11",
        "b/new.ipynb": "n",
        "own.ipynb": "own",
        "two.ipynb": "mine",
    }
    assert (report.added, report.updated) == (["b/new.ipynb"], ["a/one.ipynb"])
    assert (report.kept, report.gone, report.problems) == (["two.ipynb"], [".dot"], [])


def test_a_file_changed_by_both_keeps_its_name_and_the_new_one_lands_beside(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    report = copy.take()
    assert report.beside == [("two.ipynb", "two__bbb0000.ipynb")]
    assert tree(copy.path) == {**FIRST, "two.ipynb": "mine", "two__bbb0000.ipynb": "22"}


def test_a_conflict_is_told_once_and_kept_afterwards(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    copy.take()
    report = copy.take()
    assert (report.beside, report.kept) == ([], ["two.ipynb"])


def test_what_lies_beside_already_with_other_content_is_never_overwritten(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    (copy.path / "two__bbb0000.ipynb").write_text("mine too")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    report = copy.take()
    assert report.beside == [("two.ipynb", "two__bbb0000-2.ipynb")]
    assert (copy.path / "two__bbb0000.ipynb").read_text() == "mine too"
    assert (copy.path / "two__bbb0000-2.ipynb").read_text() == "22"


def test_a_deleted_file_stays_deleted_until_it_is_asked_for(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").unlink()
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    assert copy.take().stays_deleted == ["two.ipynb"]
    assert not (copy.path / "two.ipynb").exists()
    assert copy.take(restore="two.ipynb").restored == ["two.ipynb"]
    assert (copy.path / "two.ipynb").read_text() == "22"


def test_restore_of_one_file_leaves_the_others_deleted(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").unlink()
    (copy.path / ".dot").unlink()
    report = copy.take(restore=".dot")
    assert (report.restored, report.stays_deleted) == ([".dot"], ["two.ipynb"])


def test_restore_without_a_name_brings_everything_back(copy: Copy) -> None:
    copy.take()
    for path in FIRST:
        (copy.path / path).unlink()
    copy.take(restore="")
    assert tree(copy.path) == FIRST


def test_in_a_foreign_folder_no_file_is_touched(copy: Copy) -> None:
    (copy.path / "a").mkdir(parents=True)
    (copy.path / "a/one.ipynb").write_text("1")
    (copy.path / "two.ipynb").write_text("theirs")
    (copy.path / "two.ipynb").chmod(0o444)
    before = {p: (p.stat().st_ino, p.stat().st_mode) for p in copy.path.rglob("*.ipynb")}
    report = copy.take()
    assert (report.same, report.added) == (["a/one.ipynb"], [".dot"])
    assert report.beside == [("two.ipynb", "two__aaa0000.ipynb")]
    assert (
        before.items()
        <= {p: (p.stat().st_ino, p.stat().st_mode) for p in copy.path.rglob("*.ipynb")}.items()
    )


def test_only_a_folder(copy: Copy) -> None:
    assert copy.take(only=("a/",)).added == ["a/one.ipynb"]
    assert tree(copy.path) == {"a/one.ipynb": "1"}


def test_only_what_is_not_there_is_wrong_usage_with_the_nearest_name(copy: Copy) -> None:
    copy.mirror.publish("bbb", {"01_Intro/x.ipynb": "1"})
    with pytest.raises(UsageError, match=r"--only 01_intro: .*\n  Did you mean `01_Intro`\?"):
        copy.take(only=("01_intro",))
    assert not copy.path.exists()


def test_an_older_release_is_taken_by_the_beginning_of_its_commit(copy: Copy) -> None:
    copy.mirror.publish("bbb", {"new.ipynb": "n"})
    assert copy.take(release="aa").release == "aaa".ljust(40, "0")
    assert tree(copy.path) == FIRST


def test_a_release_that_is_not_there_is_wrong_usage(copy: Copy) -> None:
    with pytest.raises(UsageError, match="--release fff: no such release"):
        copy.take(release="fff")


def test_a_dry_run_writes_nothing_and_tells_the_same(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22", "x.ipynb": "x"})
    before = {p: p.stat().st_mtime_ns for p in copy.path.rglob("*")}
    dry = copy.take(dry_run=True)
    assert before == {p: p.stat().st_mtime_ns for p in copy.path.rglob("*")}
    real = copy.take()
    assert (dry.added, dry.beside, dry.same) == (real.added, real.beside, real.same)


def test_a_dry_run_of_a_new_copy_makes_nothing(copy: Copy) -> None:
    assert copy.take(dry_run=True).added == [".dot", "a/one.ipynb", "two.ipynb"]
    assert [p.name for p in copy.path.parent.iterdir()] == ["srv"]


def test_a_file_that_becomes_a_folder_gives_way_if_unchanged(copy: Copy) -> None:
    copy.take()
    copy.mirror.publish("bbb", {"two.ipynb/now.ipynb": "n"})
    report = copy.take()
    assert report.added == ["two.ipynb/now.ipynb"]
    assert (copy.path / "two.ipynb/now.ipynb").read_text() == "n"


def test_a_changed_file_that_becomes_a_folder_stays_and_is_told(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {"two.ipynb/now.ipynb": "n", "two.ipynb/b.ipynb": "n"})
    report = copy.take()
    assert (copy.path / "two.ipynb").read_text() == "mine"
    reason = "is not a folder (a link or a file of yours); 2 files below it not updated"
    assert report.problems == [("two.ipynb", reason)]


def test_a_folder_that_becomes_a_file_gives_way_if_nothing_of_the_users_is_in_it(
    copy: Copy,
) -> None:
    copy.take()
    (copy.path / "a/.ipynb_checkpoints").mkdir()  # what Jupyter makes when a notebook is opened
    (copy.path / "a/.ipynb_checkpoints/one-checkpoint.ipynb").write_text("1")
    copy.mirror.publish("bbb", {"a": "now a file"})
    report = copy.take()
    assert (report.added, report.gone, report.problems) == (["a"], [".dot", "two.ipynb"], [])
    assert (copy.path / "a").read_text() == "now a file"
    copy.mirror.publish("ccc", {"a/one.ipynb": "1 again", "a/b.ipynb": "n"})
    assert copy.take().added == ["a/b.ipynb", "a/one.ipynb"]
    assert (copy.path / "a/one.ipynb").read_text() == "1 again"


@pytest.mark.parametrize("mine", ["one.ipynb", "own.txt", ".ipynb_checkpoints/own-checkpoint.py"])
def test_a_folder_with_something_of_the_users_stays_and_the_file_lands_beside(
    copy: Copy, mine: str
) -> None:
    copy.take()
    (copy.path / "a" / mine).parent.mkdir(exist_ok=True)
    (copy.path / "a" / mine).write_text("mine")
    before = {name: text for name, text in tree(copy.path).items() if name.startswith("a/")}
    copy.mirror.publish("bbb", {"a": "now a file"})
    assert copy.take().beside == [("a", "a__bbb0000")]
    assert before.items() <= tree(copy.path).items()
    assert (copy.path / "a__bbb0000").read_text() == "now a file"
    copy.mirror.publish("ccc", FIRST)
    report = copy.take()
    assert (report.replaced, report.gone, report.problems) == (["a__bbb0000"], [], [])
    assert tree(copy.path) == {**FIRST, **before}


def test_an_empty_folder_of_the_users_is_not_taken_for_one_of_ours(copy: Copy) -> None:
    copy.take()
    (copy.path / "data").mkdir()
    copy.mirror.publish("bbb", {**FIRST, "data": "a file"})
    assert copy.take().beside == [("data", "data__bbb0000")]
    assert (copy.path / "data").is_dir()


def test_an_untouched_file_beside_is_replaced_by_the_next_release(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    for release, text in (("bbb", "22"), ("ccc", "222"), ("ddd", "2222")):
        copy.mirror.publish(release, {**FIRST, "two.ipynb": text})
        report = copy.take()
    assert report.beside == [("two.ipynb", "two__ddd0000.ipynb")]
    assert report.replaced == ["two__ccc0000.ipynb"]
    assert tree(copy.path) == {**FIRST, "two.ipynb": "mine", "two__ddd0000.ipynb": "2222"}


def test_a_file_beside_in_which_the_user_works_is_theirs(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    copy.take()
    (copy.path / "two__bbb0000.ipynb").write_text("mine too")
    copy.mirror.publish("ccc", {**FIRST, "two.ipynb": "222"})
    assert copy.take().replaced == []
    assert tree(copy.path) == {
        **FIRST,
        "two.ipynb": "mine",
        "two__bbb0000.ipynb": "mine too",
        "two__ccc0000.ipynb": "222",
    }


def test_a_file_beside_goes_when_the_user_takes_the_release_as_theirs(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    copy.take()
    (copy.path / "two.ipynb").write_text("22")
    assert copy.take().replaced == ["two__bbb0000.ipynb"]
    assert tree(copy.path) == {**FIRST, "two.ipynb": "22"}


def test_prune_removes_what_was_deleted_upstream_and_is_unchanged(copy: Copy) -> None:
    copy.mirror.publish("bbb", {**FIRST, "old/x.ipynb": "x", "old/y.ipynb": "y", "dead/z": "z"})
    copy.take()
    (copy.path / "old/x.ipynb").write_text("mine")
    for name in ("old", "dead"):
        (copy.path / name / ".ipynb_checkpoints").mkdir()
    (copy.path / "old/.ipynb_checkpoints/y-checkpoint.ipynb").write_text("y")
    copy.mirror.publish("ccc", FIRST)
    assert copy.take().gone == ["dead/z", "old/x.ipynb", "old/y.ipynb"]
    dry = copy.take(prune=True, dry_run=True)
    report = copy.take(prune=True)
    assert dry.pruned == report.pruned == ["dead/z", "old/y.ipynb"]
    assert report.gone == ["old/x.ipynb"]
    assert tree(copy.path) == {**FIRST, "old/x.ipynb": "mine"}
    assert sorted(path.name for path in copy.path.iterdir()) == [
        *(".dot", ".nbpipe", "a", "old", "two.ipynb"),
    ]


def test_what_was_pruned_comes_back_with_a_release_that_has_it_again(copy: Copy) -> None:
    copy.take()
    copy.mirror.publish("bbb", {"a/one.ipynb": "1"})
    assert copy.take(prune=True).pruned == [".dot", "two.ipynb"]
    copy.mirror.publish("ccc", FIRST)
    assert copy.take().added == [".dot", "two.ipynb"]


def test_prune_takes_the_untouched_file_beside_too_but_not_the_users(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    copy.take()
    (copy.path / "two.ipynb").unlink()
    copy.mirror.publish("ccc", {"a/one.ipynb": "1"})
    (copy.path / ".dot").write_text("mine")
    copy.take(prune=True)
    assert tree(copy.path) == {"a/one.ipynb": "1", ".dot": "mine"}


def test_another_source_is_said_and_prunes_nothing_the_first_time(
    copy: Copy, tmp_path: Path
) -> None:
    copy.take()
    first = copy.mirror.path
    copy.mirror = HandMadeMirror(tmp_path / "other")
    copy.mirror.publish("eee", {"hola": "hola"})
    report = copy.take(prune=True)
    assert report.notes == [
        f"from another place than before, which was {first}; nothing is pruned this time"
    ]
    assert tree(copy.path) == {**FIRST, "hola": "hola"}
    assert copy.take(prune=True).pruned == sorted(FIRST)


def test_only_is_remembered_and_said(copy: Copy) -> None:
    copy.take(only=("a/",))
    copy.mirror.publish("bbb", {**FIRST, "a/one.ipynb": "11", "a/two.ipynb": "n"})
    report = copy.take()
    assert (report.added, report.updated) == (["a/two.ipynb"], ["a/one.ipynb"])
    assert report.notes == ["only a, as chosen before; --all takes everything"]
    assert sorted(tree(copy.path)) == ["a/one.ipynb", "a/two.ipynb"]


def test_another_only_widens_what_is_remembered(copy: Copy) -> None:
    copy.take(only=("a",))
    report = copy.take(only=("two.ipynb",))
    assert report.notes == ["from now on this copy takes a, two.ipynb"]
    assert copy.take().same == ["a/one.ipynb", "two.ipynb"]


@pytest.mark.parametrize("words", [{"everything": True}, {"only": (".",)}])
def test_all_takes_everything_from_then_on(copy: Copy, words: dict[str, Any]) -> None:
    copy.take(only=("a",))
    assert copy.take(**words).notes == ["everything from now on, and not only a"]
    assert tree(copy.path) == FIRST
    assert copy.take().notes == []


def test_only_in_a_whole_copy_is_for_this_once(copy: Copy) -> None:
    copy.take()
    copy.mirror.publish("bbb", {**FIRST, "a/one.ipynb": "11", "two.ipynb": "22"})
    assert copy.take(only=("a",)).updated == ["a/one.ipynb"]
    assert copy.take().updated == ["two.ipynb"]


def test_a_folder_that_was_chosen_and_is_gone_upstream_is_said(copy: Copy) -> None:
    copy.take(only=("a",))
    copy.mirror.publish("bbb", {"b/one.ipynb": "1"})
    assert copy.take(prune=True).pruned == ["a/one.ipynb"]
    assert copy.take().notes[1] == "a: not part of this release; --list shows what is"


def test_a_manifest_that_leads_out_of_the_copy_leads_nowhere(copy: Copy, tmp_path: Path) -> None:
    copy.take()
    (tmp_path / "outside").write_text("2")
    file = copy.path / ".nbpipe/getlatest.json"
    table = json.loads(file.read_text())
    table["files"]["../outside"] = table["files"].pop("two.ipynb")
    beside = {**table["files"]["../outside"], "of": ".dot", "role": "newer"}
    table["beside"] = {"../outside": beside}
    file.write_text(json.dumps(table))
    copy.mirror.publish("bbb", {**FIRST, ".dot": "33"})
    copy.take(prune=True)
    assert (tmp_path / "outside").read_text() == "2"


def test_a_subfolder_that_the_user_made_a_link_is_never_followed(
    copy: Copy, tmp_path: Path
) -> None:
    copy.take()
    elsewhere = tmp_path / "elsewhere"
    (copy.path / "a").rename(elsewhere)
    (copy.path / "a").symlink_to(elsewhere)
    copy.mirror.publish("bbb", {"a/one.ipynb": "11", "a/new.ipynb": "n", "two.ipynb": "22"})
    report = copy.take()
    assert tree(elsewhere) == {"one.ipynb": "1"}
    assert report.updated == ["two.ipynb"]
    reason = "is not a folder (a link or a file of yours); 2 files below it not updated"
    assert report.problems == [("a", reason)]


def test_a_linked_subfolder_without_news_is_no_problem(copy: Copy, tmp_path: Path) -> None:
    copy.take()
    (copy.path / "a").rename(tmp_path / "elsewhere")
    (copy.path / "a").symlink_to(tmp_path / "elsewhere")
    report = copy.take()
    assert (report.kept, report.problems) == (["a/one.ipynb"], [])


def test_a_file_that_the_user_made_a_link_keeps_its_target_untouched(
    copy: Copy, tmp_path: Path
) -> None:
    copy.take()
    (tmp_path / "big").write_text("2")
    (copy.path / "two.ipynb").unlink()
    (copy.path / "two.ipynb").symlink_to(tmp_path / "big")
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    assert copy.take().beside == [("two.ipynb", "two__bbb0000.ipynb")]
    assert (tmp_path / "big").read_text() == "2"


def test_a_fifo_in_a_files_place_is_left_alone(copy: Copy) -> None:
    copy.path.mkdir()
    os.mkfifo(copy.path / "two.ipynb")
    assert copy.take().beside == [("two.ipynb", "two__aaa0000.ipynb")]


def test_links_of_the_collection_stay_links(copy: Copy) -> None:
    copy.mirror.publish("bbb", {"a/one.ipynb": "1", "same.ipynb": ("a/one.ipynb",)})
    copy.take()
    assert tree(copy.path)["same.ipynb"] == "-> a/one.ipynb"
    copy.mirror.publish("ccc", {"a/one.ipynb": "1", "same.ipynb": "a file now"})
    assert copy.take().updated == ["same.ipynb"]


def test_a_link_out_of_the_collection_is_not_taken(copy: Copy) -> None:
    copy.mirror.publish("bbb", {"x": "1", "d/out": ("../../etc/passwd",), "abs": ("/etc",)})
    report = copy.take()
    assert tree(copy.path) == {"x": "1"}
    assert report.left_out == [
        ("abs", "a link out of the collection, to /etc"),
        ("d/out", "a link out of the collection, to ../../etc/passwd"),
    ]


def test_the_folder_of_our_own_notes_is_never_the_collections(copy: Copy) -> None:
    copy.mirror.publish("bbb", {"x": "1", ".nbpipe/getlatest.json": "{}"})
    assert [path for path, _ in copy.take().left_out] == [".nbpipe/getlatest.json"]


def test_a_changed_x_bit_arrives(copy: Copy) -> None:
    copy.take()
    copy.mirror.publish("bbb", FIRST, executable=("two.ipynb",))
    copy.take()
    assert (copy.path / "two.ipynb").stat().st_mode & 0o100
    assert (copy.path / "two.ipynb").stat().st_mode & 0o200


def test_an_x_bit_of_the_users_stays(copy: Copy) -> None:
    copy.take()
    (copy.path / "two.ipynb").chmod(0o755)
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    assert copy.take().updated == ["two.ipynb"]
    assert (copy.path / "two.ipynb").stat().st_mode & 0o100


def test_two_at_once_the_second_says_so(copy: Copy) -> None:
    copy.take()
    with (copy.path / ".nbpipe/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CopyBusy, match="another getlatest is at work"):
            copy.take()


def test_two_first_copies_at_once_the_second_says_so(copy: Copy) -> None:
    building = copy.path.with_name(".copy.getlatest")
    (building / ".nbpipe").mkdir(parents=True)
    with (building / ".nbpipe/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CopyBusy, match="another getlatest is at work"):
            copy.take()


def test_another_one_that_ends_between_two_looks_is_not_in_the_way(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.take()
    building = copy.path.rename(copy.path.with_name(".copy.getlatest"))

    def opened(path: Path) -> CopyFolder:
        found = CopyFolder(path)
        if path == building and not copy.path.exists():
            building.rename(copy.path)
        return found

    monkeypatch.setattr(update, "CopyFolder", opened)
    assert len(copy.take().same) == len(FIRST)
    assert tree(copy.path) == FIRST


def test_another_one_that_is_removed_between_two_looks_was_there(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path) -> CopyFolder:
        found = CopyFolder(path)
        path.rmdir()
        return found

    monkeypatch.setattr(update, "CopyFolder", opened)
    with pytest.raises(CopyBusy, match="another getlatest ended just now"):
        copy.take()


def test_what_a_crash_left_half_built_is_built_again(copy: Copy) -> None:
    building = copy.path.with_name(".copy.getlatest")
    (building / ".nbpipe").mkdir(parents=True)
    (building / ".nbpipe/lock").touch()
    (building / "half.ipynb").write_text("from a release that is gone")
    copy.take()
    assert tree(copy.path) == FIRST
    assert not building.exists()


def test_a_folder_of_the_users_in_the_building_place_is_not_emptied(copy: Copy) -> None:
    building = copy.path.with_name(".copy.getlatest")
    building.mkdir()
    (building / "thesis.ipynb").write_text("mine")
    with pytest.raises(CopyError, match="is in the way"):
        copy.take()
    assert (building / "thesis.ipynb").read_text() == "mine"


def test_a_damaged_manifest_stops_the_update(copy: Copy) -> None:
    copy.take()
    (copy.path / ".nbpipe/getlatest.json").write_text('{"format": 1')
    with pytest.raises(CopyError, match=r"getlatest\.json: is damaged"):
        copy.take()


def test_a_manifest_of_a_newer_getlatest_is_not_guessed_at(copy: Copy) -> None:
    copy.take()
    (copy.path / ".nbpipe/getlatest.json").write_text('{"format": 2}')
    with pytest.raises(CopyError, match="another version of getlatest"):
        copy.take()


def test_a_link_in_place_of_our_notes_is_refused(copy: Copy, tmp_path: Path) -> None:
    copy.path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (copy.path / ".nbpipe").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CopyError, match=r"copy/\.nbpipe: cannot be used"):
        copy.take()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_manifest_names_release_blob_and_mode(copy: Copy) -> None:
    copy.mirror.publish("bbb", {"hello": "hello\n"}, executable=("hello",))
    copy.take()
    table = json.loads((copy.path / ".nbpipe/getlatest.json").read_text())
    assert table["release"] == "bbb".ljust(40, "0")
    # git hash-object of "hello\n"
    blob = "ce013625030ba8dba906f756967f9e9ca394464a"
    assert table["files"] == {"hello": {"blob": blob, "mode": "100755"}}


def test_a_flip_while_copying_does_not_mix_releases(copy: Copy) -> None:
    release = MirrorFolder("notebooks-latest", copy.mirror.path).release()
    copy.mirror.publish("bbb", {"a/one.ipynb": "11", "two.ipynb": "22"})
    take(release, copy.path, Wanted())
    release.close()
    assert tree(copy.path) == FIRST


def test_a_release_cleaned_up_while_copying_is_said(copy: Copy) -> None:
    release = MirrorFolder("notebooks-latest", copy.mirror.path).release()
    copy.mirror.publish("bbb", {"two.ipynb": "22"})
    copy.mirror.remove("aaa")
    with pytest.raises(ReleaseGone, match="was cleaned up while it was being read"):
        take(release, copy.path, Wanted())
    release.close()
    assert [p.name for p in copy.path.parent.iterdir()] == ["srv"]


def test_an_update_that_lost_its_release_goes_on_with_the_next(copy: Copy) -> None:
    copy.take()
    copy.mirror.publish("bbb", {**FIRST, "a/one.ipynb": "11", "two.ipynb": "22"})
    release = MirrorFolder("notebooks-latest", copy.mirror.path).release()

    def lose(done: int, total: int) -> None:
        if done == total - 1 and (copy.mirror.path / "releases" / "bbb".ljust(40, "0")).exists():
            copy.mirror.publish("ccc", {**FIRST, "two.ipynb": "222"})
            file = copy.mirror.path / "releases" / "bbb".ljust(40, "0") / "two.ipynb"
            file.parent.chmod(0o755)
            file.unlink()
            copy.mirror.remove("bbb")

    with pytest.raises(ReleaseGone):
        take(release, copy.path, Wanted(), lose)
    release.close()
    assert tree(copy.path) == {**FIRST, "a/one.ipynb": "11"}
    assert copy.take().updated == ["a/one.ipynb", "two.ipynb"]
    assert tree(copy.path) == {**FIRST, "two.ipynb": "222"}


def test_a_save_in_the_instant_of_the_swap_is_not_lost(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.take()
    copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
    from nbpipe.publishing.copies import folder  # noqa: PLC0415  (the place of the instant)

    original = folder.exchange

    def save_then_exchange(*names: str, **folders: int) -> bool:
        monkeypatch.setattr(folder, "exchange", original)
        (copy.path / "two.ipynb").write_text("saved just now")
        return original(*names, **folders)

    monkeypatch.setattr(folder, "exchange", save_then_exchange)
    assert copy.take().beside == [("two.ipynb", "two__bbb0000.ipynb")]
    assert (copy.path / "two.ipynb").read_text() == "saved just now"
    assert (copy.path / "two__bbb0000.ipynb").read_text() == "22"


def test_a_save_caught_by_a_crash_in_the_swap_is_kept(copy: Copy) -> None:
    copy.take()
    (copy.path / ".nbpipe/incoming/99-1.swap").write_text("saved just then")
    (copy.path / ".nbpipe/incoming/99-2.swap").write_text("2")
    (copy.path / ".nbpipe/incoming/99-3.part").write_text("half of")
    report = copy.take()
    assert report.notes == [".nbpipe/kept-1 is a file of yours, saved in the instant of a crash"]
    assert (copy.path / ".nbpipe/kept-1").read_text() == "saved just then"
    assert list((copy.path / ".nbpipe/incoming").iterdir()) == []


def test_a_file_made_in_the_instant_of_the_move_is_not_replaced(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.take()
    copy.mirror.publish("bbb", {**FIRST, "new.ipynb": "n"})
    from nbpipe.publishing.copies import folder  # noqa: PLC0415  (the place of the instant)

    original = folder.move_to_free

    def make_then_move(*names: str, **folders: int) -> None:
        monkeypatch.setattr(folder, "move_to_free", original)
        (copy.path / "new.ipynb").write_text("made just now")
        original(*names, **folders)

    monkeypatch.setattr(folder, "move_to_free", make_then_move)
    assert copy.take().beside == [("new.ipynb", "new__bbb0000.ipynb")]
    assert (copy.path / "new.ipynb").read_text() == "made just now"
    assert (copy.path / "new__bbb0000.ipynb").read_text() == "n"


def test_a_file_system_without_exchange_still_gets_its_updates(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbpipe.system import rename  # noqa: PLC0415  (its C library is taken away)

    monkeypatch.setattr(rename, "_function", lambda: None)
    copy.take()
    (copy.path / "two.ipynb").write_text("mine")
    copy.mirror.publish("bbb", {"a/one.ipynb": "11", "two.ipynb": "22", "n": "n"})
    report = copy.take()
    assert (report.updated, report.added) == (["a/one.ipynb"], ["n"])
    assert report.beside == [("two.ipynb", "two__bbb0000.ipynb")]


def test_names_that_differ_in_case_only_are_told_where_case_does_not_count(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbpipe.publishing.copies.folder import CopyFolder  # noqa: PLC0415  (likewise)

    monkeypatch.setattr(CopyFolder, "ignores_case", lambda _: True)
    copy.mirror.publish("bbb", {"README.md": "1", "readme.md": "2", "x": "3"})
    report = copy.take()
    assert report.problems == [("readme.md", "the same name as README.md on this file system")]
    assert tree(copy.path) == {"README.md": "1", "x": "3"}


class KilledError(BaseException):
    """Stands for kill -9."""


def killed(*_: object) -> None:
    raise KilledError


def killed_the_second_time(method: Callable[..., None]) -> Callable[..., None]:
    """Return the method as it is for the first call; the second ends the process."""
    called: list[bool] = []

    def remember(writer: object, *arguments: object) -> None:
        if called:
            raise KilledError
        called.append(True)
        method(writer, *arguments)

    return remember


def test_what_a_killed_run_wrote_is_known_after_a_second_one_was_killed(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.take()
    remember = Writer._remember
    with monkeypatch.context() as patch:  # everything written, nothing of it remembered
        patch.setattr(Writer, "_remember", killed_the_second_time(remember))
        copy.mirror.publish("bbb", {**FIRST, "two.ipynb": "22"})
        with pytest.raises(KilledError):
            copy.take()
    with monkeypatch.context() as patch:  # announced, and not yet written
        patch.setattr(Writer, "_remember", killed_the_second_time(remember))
        patch.setattr(Writer, "_bring", killed)
        copy.mirror.publish("ccc", {**FIRST, "two.ipynb": "222"})
        with pytest.raises(KilledError):
            copy.take()
    assert (copy.path / "two.ipynb").read_text() == "22"
    copy.mirror.publish("ddd", {**FIRST, "two.ipynb": "2222"})
    report = copy.take()
    assert (report.updated, report.beside) == (["two.ipynb"], [])
