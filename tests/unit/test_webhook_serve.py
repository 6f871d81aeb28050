"""Where `nbpipe serve` listens, for which collections, and what keeps it from starting."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from pasts import opened, past_run, record, result

from nbpipe.cli.serve import serve
from nbpipe.config.service import chosen
from nbpipe.config.settings import (
    CollectionSettings,
    HistorySettings,
    Settings,
    WebhookSettings,
)
from nbpipe.errors import ConfigError, UsageError
from webhook.pages.past import configured
from webhook.service import address
from webhook.wiring import repository, wire

FILE = Path("/etc/nbpipe/nbpipe.toml")
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
    assert [one.name for one in chosen(SETTINGS, FILE, ())] == ["english", "spanish"]
    assert [one.name for one in chosen(SETTINGS, FILE, ("spanish",))] == ["spanish"]


def test_an_unknown_collection_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="unknown collection french") as caught:
        chosen(SETTINGS, FILE, ("french", "english"))
    assert "There are: english, spanish." in str(caught.value)


def test_two_collections_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="collection english: the name is given more than once"):
        wire([collection("english")] * 2, WebhookSettings(), {"HOOK": "x"})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f"""
        [[collection]]
        name = "english"
        origin = "https://github.com/ORG/REPO.git"
        root = "{tmp_path}"
        secrets = ["env:NBPIPE_WEBHOOK_SECRET"]
        """
    )
    return file


def test_an_empty_secret_keeps_it_from_starting(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBPIPE_WEBHOOK_SECRET", "")
    ended = CliRunner().invoke(serve, ["--config", str(config)])
    assert isinstance(ended.exception, ConfigError)
    assert "env:NBPIPE_WEBHOOK_SECRET is empty or missing" in str(ended.exception)


def test_a_configuration_without_a_collection_keeps_it_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Or the history that another test has left would be served, without an end.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "nbpipe.toml").write_text("")
    ended = CliRunner().invoke(serve, ["--config", str(tmp_path / "nbpipe.toml")])
    assert isinstance(ended.exception, ConfigError)
    assert "no [[collection]]" in str(ended.exception)


def test_with_a_history_and_no_collection_the_results_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with opened("sqlite:///history.sqlite", tmp_path, collection="nb") as history:
        record(history, past_run("r1"), result("a.ipynb", "passed"))
    caplog.set_level("INFO")
    settings = Settings(history=HistorySettings(url="sqlite:///history.sqlite"))
    service = wire([], WebhookSettings(), {}, past=configured(settings, tmp_path, {}))
    folder = tmp_path / "state" / "nbpipe" / "serve"
    (token,) = folder.rglob("token")
    assert f"the pages ask for the token in {token}" in caplog.text
    assert (folder.stat().st_mode & 0o777) == 0o700
    client = service.app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token.read_text().strip()}"
    assert client.get("/collections/nb").status_code == 200
    assert client.get("/health").get_json()["status"] == "ok"
    assert 'nbpipe_history_notebooks{collection="nb",outcome="passed"} 1.0' in client.get(
        "/metrics"
    ).get_data(as_text=True)
    service.stop()


@pytest.mark.parametrize("option", [["--collection", "nb"], ["--no-worker"]])
def test_an_option_about_collections_is_refused_where_there_is_none(
    tmp_path: Path, option: list[str]
) -> None:
    file = tmp_path / "nbpipe.toml"
    file.write_text('[history]\nurl = "sqlite:///history.sqlite"\n')
    ended = CliRunner().invoke(serve, ["--config", str(file), *option])
    assert isinstance(ended.exception, UsageError)
    assert f"{option[0]}: {file} has no [[collection]]" in str(ended.exception)


def test_an_unknown_collection_is_named(config: Path) -> None:
    ended = CliRunner().invoke(serve, ["--config", str(config), "--collection", "none"])
    assert isinstance(ended.exception, UsageError)
    assert f"{config}: unknown collection none" in str(ended.exception)
    assert "There are: english." in str(ended.exception)


def test_a_port_that_is_taken_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBPIPE_WEBHOOK_SECRET", "secret-of-the-hook")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(serve, ["--config", str(config), "--port", str(port)])
    assert isinstance(ended.exception, UsageError)
    assert f"127.0.0.1:{port}: cannot listen there" in str(ended.exception)
    assert "Another service has that port" in str(ended.exception)


@pytest.mark.parametrize(
    ("host", "said", "hint"),
    [
        ("no.such.host.invalid", "no such host is known", "--host"),
        ("192.0.2.1", "Cannot assign requested address", "is not this machine's"),
    ],
)
def test_a_host_that_is_unknown_or_not_ours_is_no_matter_of_the_port(
    config: Path, monkeypatch: pytest.MonkeyPatch, host: str, said: str, hint: str
) -> None:
    monkeypatch.setenv("NBPIPE_WEBHOOK_SECRET", "secret-of-the-hook")
    ended = CliRunner().invoke(serve, ["--config", str(config), "--host", host])
    assert isinstance(ended.exception, UsageError)
    assert host in str(ended.exception)
    assert said in str(ended.exception)
    assert hint in str(ended.exception)
    assert "Another service" not in str(ended.exception)


@pytest.mark.parametrize(
    "origin_url",
    [
        "https://github.com/ORG/REPO.git",
        "https://github.com/ORG/REPO",
        "https://github.com/ORG/REPO/",
        "ssh://git@github.com/ORG/REPO.git",
        "git@github.com:ORG/REPO.git",
        "file:///srv/git/ORG/REPO.git",
    ],
)
def test_the_repository_is_by_default_the_end_of_the_origin(origin_url: str) -> None:
    assert repository(CollectionSettings(name="n", origin=origin_url, root="/x")) == "ORG/REPO"


def test_an_origin_that_does_not_end_like_that_asks_for_the_repository() -> None:
    with pytest.raises(ConfigError, match="does not end with ORG/REPO"):
        repository(CollectionSettings(name="n", origin="https://example.org", root="/x"))
