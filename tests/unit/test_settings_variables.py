"""Which variables of the environment hold secrets, as a configuration names them."""

from __future__ import annotations

import msgspec

from nbpipe.settings import GithubSettings, Settings
from nbpipe.settings.variables import named, without

SETTINGS = msgspec.convert(
    {
        "collection": [
            {
                "name": "one",
                "origin": "o",
                "root": "/r",
                "token": "env:GIT",
                "secrets": ["env:NEW", "env:OLD", "file:/x"],
            },
            {"name": "two", "origin": "o", "root": "/r", "token": "env:TWO"},
        ],
        "webhook": {"token": "env:PAGES"},
        "notify": {"webhook": "env:HOOK", "email": {"password": "env:MAIL"}},
        "history": {"url": "env:DATABASE"},
    },
    Settings,
)
ONE = SETTINGS.collection[0]


def test_every_table_is_looked_at() -> None:
    assert named(SETTINGS) == {
        *("NEW", "OLD", "GIT", "TWO"),
        *("PAGES", "HOOK", "MAIL", "DATABASE"),
    }


def test_the_variable_that_github_falls_back_to_counts_where_github_is_configured() -> None:
    assert named(GithubSettings()) == set()
    assert named(GithubSettings(name="tests")) == {"GITHUB_TOKEN"}
    where = {"key": "env:MINE", "token": "file:/t"}
    assert named(msgspec.convert(where, GithubSettings)) == {"MINE"}


def test_what_is_needed_stays_and_so_does_all_else() -> None:
    environ = {"PATH": "/bin", "NEW": "1", "GIT": "2", "TWO": "3", "HOOK": "4"}

    assert without(environ, named(SETTINGS), but=ONE) == {"PATH": "/bin", "NEW": "1", "GIT": "2"}
    assert without(environ, named(SETTINGS)) == {"PATH": "/bin"}
