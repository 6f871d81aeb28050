"""Which variables of the environment hold secrets, as a configuration names them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from nbpipe.config.settings import (
    CollectionSettings,
    GithubSettings,
    NotifySettings,
    Settings,
    WebhookSettings,
)
from nbpipe.config.variables import kept_from_notebooks, named, without
from nbpipe.notify.channels import channels
from nbpipe.notify.events import Occasion
from webhook.wiring import wire

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_command_that_is_notified_inherits_no_secret(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    settings = NotifySettings(command=("sh", "-c", f"env > {seen}"), webhook="env:HOOK")
    environ = {"PATH": os.environ["PATH"], "HOOK": "https://example.org/secret", "MINE": "1"}
    (*_, command) = channels(settings, environ, hidden=named(settings))

    command.send([], Occasion(about="it", host="here"))

    assert "secret" not in seen.read_text()
    assert "MINE=1" in seen.read_text()


def test_the_worker_of_a_service_has_the_secrets_of_its_own_collection_only(
    tmp_path: Path,
) -> None:
    one, two = (
        CollectionSettings(
            name=name,
            origin=f"https://example.org/o/{name}.git",
            root=str(tmp_path),
            secrets=(f"env:{name}",),
        )
        for name in ("one", "two")
    )
    environ = {"PATH": "/bin", "one": "1" * 32, "two": "2" * 32, "PAGES": "3" * 32}
    service = wire([one, two], WebhookSettings(), environ, hidden=frozenset(environ) - {"PATH"})

    try:
        seen = [set(worker.publisher.environ) for worker in service.workers]
    finally:
        service.stop()
    assert seen == [{"PATH", "one"}, {"PATH", "two"}]


def test_what_is_needed_stays_and_so_does_all_else() -> None:
    environ = {"PATH": "/bin", "NEW": "1", "GIT": "2", "TWO": "3", "HOOK": "4"}

    assert without(environ, named(SETTINGS), but=ONE) == {"PATH": "/bin", "NEW": "1", "GIT": "2"}
    assert without(environ, named(SETTINGS)) == {"PATH": "/bin"}


def test_notebooks_inherit_no_secret_that_is_named_and_all_else() -> None:
    assert set(kept_from_notebooks(SETTINGS)) == named(SETTINGS)
    used = {"parameters": {"where": "env:MINE"}}
    fallen_back = {"test": used, "github": {"name": "tests"}}
    assert kept_from_notebooks(msgspec.convert(fallen_back, Settings)) == ()
    written = {"github": {"token": "env:GITHUB_TOKEN", "key": "env:KEY"}}
    assert kept_from_notebooks(msgspec.convert(written, Settings)) == ("GITHUB_TOKEN", "KEY")
