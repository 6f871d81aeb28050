"""What becomes of one file: the whole table, line by line."""

from __future__ import annotations

import pytest

from nbpipe.publishing.copies.decision import (
    ABSENT,
    Action,
    Content,
    Kind,
    Mine,
    Taken,
    beside,
    decide,
    executable,
)

OLD, NEW, MINE = Content("01d"), Content("4e3"), Content("717e")
LINK = Content("4e3", Kind.LINK)


def there(content: Content) -> Mine:
    return Mine(content.kind, content)


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
