"""Which folders are homes, and which are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nbpipe.publishing.spaces.homes import Account, Accounts, Home, find

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("NBPIPE_REQUIRE") != "all",
    reason="giving folders to users needs root",
)

ANN, BOB = Account("ann", 12001, 12001), Account("bob", 12002, 12002)


def found(*patterns: str, exclude: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    accounts = {12001: ANN, 12002: BOB}
    return [
        (place.path, place.account.name if isinstance(place, Home) else place.reason)
        for place, _ in find(patterns, exclude=exclude, accounts=accounts.get)
    ]


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    for name, uid in (("ann", 12001), ("bob", 12002)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, uid, uid)
    return tmp_path


def test_every_folder_of_a_user_is_a_home(homes: Path) -> None:
    assert found(f"{homes}/*") == [(f"{homes}/ann", "ann"), (f"{homes}/bob", "bob")]


def test_a_home_is_yielded_with_its_own_descriptor(homes: Path) -> None:
    pairs = find([f"{homes}/*"], exclude=(), accounts={12001: ANN, 12002: BOB}.get)
    inodes = [os.fstat(descriptor).st_ino for _, descriptor in pairs]
    assert inodes == [(homes / "ann").stat().st_ino, (homes / "bob").stat().st_ino]


def test_what_is_no_home_is_skipped_with_the_reason(homes: Path) -> None:
    (homes / "lost+found").mkdir()
    (homes / "nobody").mkdir()
    os.chown(homes / "nobody", 12999, 12999)
    (homes / "zfile").write_text("")
    (homes / "zlink").symlink_to("/etc")
    os.mkfifo(homes / "zpipe")
    assert found(f"{homes}/*") == [
        (f"{homes}/ann", "ann"),
        (f"{homes}/bob", "bob"),
        (f"{homes}/lost+found", "belongs to root"),
        (f"{homes}/nobody", "belongs to uid 12999, which no account has"),
        (f"{homes}/zfile", "is not a folder"),
        (f"{homes}/zlink", "is a link; name the folder itself in `homes`"),
        (f"{homes}/zpipe", "is not a folder"),
    ]


def test_hidden_folders_match_only_a_hidden_pattern(homes: Path) -> None:
    (homes / ".snapshots").mkdir()
    assert len(found(f"{homes}/*")) == 2
    assert found(f"{homes}/.s*") == [(f"{homes}/.snapshots", "belongs to root")]


def test_a_folder_that_two_patterns_match_comes_once(homes: Path) -> None:
    assert len(found(f"{homes}/*", f"{homes}/a*")) == 2


def test_excluded_homes_do_not_come(homes: Path) -> None:
    assert found(f"{homes}/*", exclude=(f"{homes}/b*",)) == [(f"{homes}/ann", "ann")]


def test_a_single_folder_needs_no_wildcard(homes: Path) -> None:
    assert found(f"{homes}/ann") == [(f"{homes}/ann", "ann")]
    assert found(f"{homes}/carol") == []


def test_a_link_before_the_first_wildcard_is_the_administrators(homes: Path) -> None:
    link = homes.with_name(homes.name + "-link")
    link.symlink_to(homes)
    assert found(f"{link}/a*") == [(f"{link}/ann", "ann")]


def test_a_link_that_a_user_put_into_the_path_is_not_followed(homes: Path) -> None:
    (homes / "ann/desk").symlink_to(homes / "bob")
    (homes / "bob/desk").mkdir()
    os.chown(homes / "bob/desk", 12002, 12002)
    (homes / "bob/desk/inner").mkdir()
    os.chown(homes / "bob/desk/inner", 12002, 12002)
    assert found(f"{homes}/*/desk/inner") == [(f"{homes}/bob/desk/inner", "bob")]
    assert found(f"{homes}/*/desk") == [
        (f"{homes}/ann/desk", "is a link; name the folder itself in `homes`"),
        (f"{homes}/bob/desk", "bob"),
    ]


def test_no_folder_at_all_is_no_home(tmp_path: Path) -> None:
    assert found(f"{tmp_path}/nothing/*") == []


def test_accounts_know_this_machines_users() -> None:
    assert Accounts()(0) == Account("root", 0, 0)
    assert Accounts()(4_000_000_000) is None
