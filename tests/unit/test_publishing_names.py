"""Which names of a tree may become names on disk."""

from __future__ import annotations

import pytest

from nbpipe.publishing.origin.names import collision_key, problem, shown

GIT = "its name is .git on some file systems"


@pytest.mark.parametrize(
    "name",
    [
        "a.ipynb",
        ".gitignore",
        ".gitmodules",
        "été.ipynb",
        "データ.csv",
        "a b",
        "...",
        "git~",
        "x.git",
        "👩‍🚀.ipynb",
        "~backup",
        "a" * 255,
    ],
)
def test_an_ordinary_name_is_published(name: str) -> None:
    assert problem(name.encode()) is None


@pytest.mark.parametrize(
    "name",
    [
        b".git",
        b".GIT",
        b".Git",
        b"git~1",
        b"GIT~1",
        b"git~2",
        b".git.",
        b".git ",
        b".git. .",
        b".git::$INDEX_ALLOCATION",
        b".git:stream",
        ".g\u200cit".encode(),
        ".gi\ufefft".encode(),
        "\u200e.git".encode(),
        b".git\\config",
        b"a\\.git",
        "\uff0egit".encode(),
    ],
)
def test_git_in_any_disguise_is_refused(name: bytes) -> None:
    assert problem(name, backslashes=True) == GIT


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"", "its name is empty"),
        (b".", "its name stands for a folder"),
        (b"..", "its name stands for a folder"),
        (b"../escaped", "its name has a slash in it"),
        (b"a/b", "its name has a slash in it"),
        (b"\xff\xfe", "its name is not UTF-8"),
        (b"\xed\xa0\x80", "its name is not UTF-8"),
        (b"a\nb", "its name has control characters in it"),
        (b"\x1b[2J", "its name has control characters in it"),
        ("a\u2028b".encode(), "its name has control characters in it"),
        ("a\u0085b".encode(), "its name has control characters in it"),
        ("gpj\u202e.ipynb".encode(), "its name changes the direction of writing"),
        ("a\u2066b".encode(), "its name changes the direction of writing"),
        (b"a\\b", "its name has a backslash in it"),
        (b"..\\up", "its name leads elsewhere on some systems"),
        (b"a" * 256, "its name is 256 bytes long, 255 is the most"),
        ("é".encode() * 128, "its name is 256 bytes long, 255 is the most"),
    ],
)
def test_a_dangerous_name_is_refused_with_the_reason(name: bytes, why: str) -> None:
    assert problem(name) == why


def test_a_backslash_is_published_where_the_settings_allow_it() -> None:
    assert problem(b"a\\b", backslashes=True) is None


def test_names_that_differ_in_case_or_normalisation_collide() -> None:
    assert collision_key("Readme.md") == collision_key("README.MD")
    assert collision_key("caf\u00e9") == collision_key("cafe\u0301")
    assert collision_key("a") != collision_key("b")


def test_a_name_in_a_message_does_nothing_to_a_terminal() -> None:
    assert shown(b"\x1b[2J\xff\xe2\x80\xae") == "\\x1b[2J\\\\xff\\u202e"
