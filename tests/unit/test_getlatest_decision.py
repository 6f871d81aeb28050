"""What becomes of one file: the whole table, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbpipe.publishing.copies.decision import (
    ABSENT,
    UNKNOWABLE,
    Action,
    Content,
    Kind,
    Mine,
    Substance,
    Taken,
    beside,
    decide,
    executable,
)

OLD, NEW, MINE = Content("01d"), Content("4e3"), Content("717e")
LINK = Content("4e3", Kind.LINK)
WORK, NEW_WORK = Substance("b45e", "python3"), Substance("4e3", "python3")
RAN_OLD = Content("0a7", substance=WORK)
RAN_NEW = Content("0a8", substance=NEW_WORK)
OLD_NOTEBOOK, NEW_NOTEBOOK = replace(OLD, substance=WORK), replace(NEW, substance=NEW_WORK)
RERUN_UPSTREAM = Content("7e7", substance=WORK)
UNREADABLE = Content("bad", substance=UNKNOWABLE)


def there(content: Content) -> Mine:
    return Mine(content.kind, content)


OUR_FOLDER = Mine(Kind.FOLDER, ours=True)
FOLDER, FIFO, BEHIND_A_LINK = Mine(Kind.FOLDER), Mine(Kind.OTHER), Mine(Kind.BLOCKED)


@pytest.mark.parametrize(
    ("new", "base", "mine", "becomes"),
    [
        (NEW, None, ABSENT, Action.ADD),
        (NEW, None, there(NEW), Action.SAME),
        (NEW, None, there(MINE), Action.BESIDE),
        (NEW, None, there(LINK), Action.BESIDE),
        (NEW, None, FOLDER, Action.BESIDE),
        (NEW, None, FIFO, Action.BESIDE),
        (NEW, None, BEHIND_A_LINK, Action.BLOCKED),
        (NEW, OLD, ABSENT, Action.STAYS_DELETED),
        (NEW, OLD, there(OLD), Action.UPDATE),
        (NEW, OLD, there(NEW), Action.SAME),
        (NEW, OLD, there(MINE), Action.BESIDE),
        (NEW, OLD, there(LINK), Action.BESIDE),
        (NEW, OLD, FOLDER, Action.BESIDE),
        (NEW, OLD, FIFO, Action.BESIDE),
        (NEW, OLD, BEHIND_A_LINK, Action.BLOCKED),
        (OLD, OLD, ABSENT, Action.STAYS_DELETED),
        (OLD, OLD, there(OLD), Action.SAME),
        (OLD, OLD, there(MINE), Action.KEEP),
        (OLD, OLD, FOLDER, Action.KEEP),
        (OLD, OLD, FIFO, Action.KEEP),
        (OLD, OLD, BEHIND_A_LINK, Action.KEEP),
        (LINK, OLD, there(OLD), Action.UPDATE),
        (NEW, LINK, there(LINK), Action.UPDATE),
        (None, OLD, ABSENT, Action.FORGET),
        (None, OLD, there(OLD), Action.GONE),
        (None, OLD, there(MINE), Action.GONE),
        (None, OLD, FOLDER, Action.GONE),
        (None, OLD, BEHIND_A_LINK, Action.GONE),
        (NEW_NOTEBOOK, None, there(RAN_NEW), Action.RAN),
        (NEW_NOTEBOOK, None, there(RAN_OLD), Action.BESIDE),
        (NEW_NOTEBOOK, OLD_NOTEBOOK, there(RAN_OLD), Action.RENEW),
        (NEW_NOTEBOOK, OLD_NOTEBOOK, there(RAN_NEW), Action.RAN),
        (NEW_NOTEBOOK, OLD_NOTEBOOK, there(UNREADABLE), Action.BESIDE),
        (NEW_NOTEBOOK, replace(OLD, substance=UNKNOWABLE), there(UNREADABLE), Action.BESIDE),
        (OLD_NOTEBOOK, OLD_NOTEBOOK, there(RAN_OLD), Action.RAN),
        (OLD_NOTEBOOK, OLD_NOTEBOOK, there(UNREADABLE), Action.KEEP),
        (RERUN_UPSTREAM, OLD_NOTEBOOK, there(RAN_OLD), Action.RENEW),
        (None, OLD_NOTEBOOK, there(RAN_OLD), Action.GONE),
        (NEW, None, OUR_FOLDER, Action.CLEAR),
        (NEW, OLD, OUR_FOLDER, Action.CLEAR),
    ],
)
def test_the_table(new: Content | None, base: Content | None, mine: Mine, becomes: Action) -> None:
    taken = Taken(base) if base else None
    assert decide(taken=taken, mine=mine, new=new) is becomes


def test_a_deleted_file_comes_back_where_that_is_asked_for() -> None:
    assert decide(taken=Taken(OLD), mine=ABSENT, new=NEW, restore=True) is Action.RESTORE


def test_a_file_that_never_was_there_is_added_not_restored() -> None:
    assert decide(taken=None, mine=ABSENT, new=NEW, restore=True) is Action.ADD


def test_an_unchanged_file_gives_way_to_a_folder() -> None:
    assert decide(taken=Taken(OLD), mine=there(OLD), new=None, folder=True) is Action.GIVE_WAY


def test_a_changed_file_gives_way_to_nothing() -> None:
    assert decide(taken=Taken(OLD), mine=there(MINE), new=None, folder=True) is Action.GONE


def test_a_notebook_that_was_only_run_gives_way_to_a_folder() -> None:
    taken = Taken(OLD_NOTEBOOK)
    assert decide(taken=taken, mine=there(RAN_OLD), new=None, folder=True) is Action.GIVE_WAY


def test_a_folder_of_the_users_where_the_release_has_one_again_is_no_longer_a_file() -> None:
    assert decide(taken=Taken(OLD), mine=FOLDER, new=None, folder=True) is Action.FORGET


@pytest.mark.parametrize(
    ("mine", "becomes"),
    [
        (there(OLD_NOTEBOOK), Action.PRUNE),
        (there(RAN_OLD), Action.GONE),
        (there(MINE), Action.GONE),
        (FOLDER, Action.GONE),
        (ABSENT, Action.FORGET),
    ],
)
def test_what_is_pruned(mine: Mine, becomes: Action) -> None:
    assert decide(taken=Taken(OLD_NOTEBOOK), mine=mine, new=None, prune=True) is becomes


def test_what_a_crashed_run_was_about_to_remove_was_not_deleted_by_the_user() -> None:
    taken = Taken(None, writing=OLD)
    assert decide(taken=taken, mine=ABSENT, new=NEW) is Action.ADD
    assert decide(taken=taken, mine=there(OLD), new=None, prune=True) is Action.PRUNE


def test_a_run_of_what_a_crashed_run_wrote_is_a_run() -> None:
    taken = Taken(OLD_NOTEBOOK, writing=NEW_NOTEBOOK)
    newest = Content("fff", substance=Substance("fff", "python3"))
    assert decide(taken=taken, mine=there(RAN_NEW), new=newest) is Action.RENEW
    assert decide(taken=taken, mine=there(RAN_NEW), new=NEW_NOTEBOOK) is Action.RAN


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("python3", "python3", True),
        ("", "python3", True),
        ("python3", "", False),
        ("r", "ir", False),
    ],
)
def test_a_kernel_that_somebody_chose_instead_is_work(
    before: str, after: str, *, same: bool
) -> None:
    assert Substance("1", after).same_work(Substance("1", before)) is same


def test_what_a_crashed_run_wrote_is_updated_not_the_users() -> None:
    newer = Content("bbb")
    taken = Taken(OLD, writing=NEW)
    assert decide(taken=taken, mine=there(NEW), new=newer) is Action.UPDATE


def test_what_a_crashed_first_run_wrote_is_updated_too() -> None:
    newer = Content("bbb")
    assert decide(taken=Taken(None, NEW), mine=there(NEW), new=newer) is Action.UPDATE


def test_what_a_crashed_first_run_did_not_reach_is_added() -> None:
    assert decide(taken=Taken(None, NEW), mine=ABSENT, new=NEW) is Action.ADD


def test_the_same_bytes_as_a_link_are_not_the_same() -> None:
    assert not LINK.same(NEW)


@pytest.mark.parametrize(
    ("base", "mine", "new", "result"),
    [
        (False, False, True, True),
        (True, True, False, False),
        (False, True, False, True),
        (True, False, True, False),
        (False, True, True, True),
    ],
)
def test_the_x_bit_is_the_releases_unless_only_the_user_changed_it(
    *, base: bool, mine: bool, new: bool, result: bool
) -> None:
    contents = [Content("1", executable=bit) for bit in (base, mine, new)]
    assert executable(base=contents[0], mine=contents[1], new=contents[2]) is result


@pytest.mark.parametrize(
    ("name", "number", "result"),
    [
        ("intro.ipynb", 1, "intro__0123456.ipynb"),
        ("intro.ipynb", 2, "intro__0123456-2.ipynb"),
        ("Makefile", 1, "Makefile__0123456"),
        (".hidden", 1, ".hidden__0123456"),
        ("data.tar.gz", 1, "data.tar__0123456.gz"),
    ],
)
def test_the_name_beside(name: str, number: int, result: str) -> None:
    assert beside(name, "0123456", number) == result


def test_a_name_beside_is_never_too_long_for_a_file_system() -> None:
    name = beside("é" * 120 + ".ipynb", "0123456")
    assert name.endswith("é__0123456.ipynb")
    assert len(name.encode()) <= 255


RELEASED = Content("e8e", substance=replace(WORK, executed=True))


@pytest.mark.parametrize(
    ("mine", "becomes"),
    [
        (there(OLD_NOTEBOOK), Action.RERUN),
        (there(RELEASED), Action.SAME),
        (there(RAN_OLD), Action.RAN),
        (there(MINE), Action.KEEP),
        (ABSENT, Action.STAYS_DELETED),
        (BEHIND_A_LINK, Action.KEEP),
    ],
)
def test_what_upstream_has_only_run_is_unchanged(mine: Mine, becomes: Action) -> None:
    assert decide(taken=Taken(OLD_NOTEBOOK), mine=mine, new=RELEASED) is becomes


@pytest.mark.parametrize(
    ("base", "new"),
    [
        (replace(OLD, substance=NEW_WORK), RELEASED),
        (OLD_NOTEBOOK, replace(RELEASED, executable=True)),
        (OLD_NOTEBOOK, replace(RELEASED, substance=WORK)),
        (OLD, RELEASED),
    ],
    ids=["a cell", "the mode", "outputs that somebody committed", "an unknown base"],
)
def test_any_other_change_upstream_is_an_update(base: Content, new: Content) -> None:
    assert decide(taken=Taken(base), mine=there(base), new=new) is Action.UPDATE


def test_what_a_crashed_run_wrote_is_brought_to_what_the_release_has() -> None:
    taken = Taken(OLD_NOTEBOOK, writing=NEW_NOTEBOOK)
    assert decide(taken=taken, mine=there(NEW_NOTEBOOK), new=RELEASED) is Action.UPDATE
    assert decide(taken=taken, mine=there(OLD_NOTEBOOK), new=RELEASED) is Action.RERUN
