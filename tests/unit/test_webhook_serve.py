"""Where `nbpipe serve` listens, and for which collections."""

from __future__ import annotations

import pytest

from nbpipe.cli.serve import address, chosen
from nbpipe.config import CollectionSettings, Settings, WebhookSettings
from nbpipe.errors import ConfigError, UsageError
from webhook.wiring import wire

HUB = {"JUPYTERHUB_SERVICE_URL": "http://10.0.0.7:9001/services/notebooks/"}


def collection(name: str) -> CollectionSettings:
    return CollectionSettings(
        name=name,
        origin="https://github.com/ORG/REPO.git",
        root="/srv/nbpipe",
        secrets=("env:HOOK",),
    )


SETTINGS = Settings(
    collection=(collection("english"), collection("spanish")),
    webhook=WebhookSettings(host="192.0.2.1", port=8081),
)


def test_the_file_says_where_to_listen() -> None:
    assert address(SETTINGS, None, None, {}) == ("192.0.2.1", 8081)


def test_jupyterhub_says_where_its_services_listen() -> None:
    assert address(SETTINGS, None, None, HUB) == ("10.0.0.7", 9001)


def test_the_options_come_first() -> None:
    assert address(SETTINGS, "127.0.0.1", 0, HUB) == ("127.0.0.1", 0)


def test_all_collections_are_served_or_those_that_are_named() -> None:
    assert [one.name for one in chosen(SETTINGS, ())] == ["english", "spanish"]
    assert [one.name for one in chosen(SETTINGS, ("spanish",))] == ["spanish"]


def test_an_unknown_collection_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="french: no such collection") as caught:
        chosen(SETTINGS, ("french", "english"))
    assert "There are: english, spanish." in str(caught.value)


def test_two_collections_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="collection english: the name is given more than once"):
        wire([collection("english")] * 2, WebhookSettings(), {"HOOK": "x"})
